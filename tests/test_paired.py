"""Paired comparisons against published examples, SciPy, and computations done the long way."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm, rankdata, ttest_rel
from scipy.stats import t as student

from headstart.paired import (
    corrected_t,
    detectable_share,
    difference_of_auroc,
    difference_of_means,
    difference_of_shares,
    mcnemar,
    placements,
    tango,
)
from headstart.statistics import midranks, two_sided

Z = norm.ppf(0.975)


def test_mcnemar_gives_the_published_p():
    assert mcnemar(12, 2) == pytest.approx(0.0129, abs=5e-5)  # Armitage and Berry 1994, p. 127
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)  # Fagerland, Lydersen and Laake 2013, table 5
    assert mcnemar(0, 0) == 1
    for wins, losses in ((0, 7), (5, 5), (40, 61), (900, 1100)):
        assert mcnemar(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_equal_values_share_the_mean_of_their_ranks():
    values = np.random.default_rng(0).integers(0, 20, 100) / 7
    assert np.array_equal(midranks(values), rankdata(values))


def test_an_interval_is_as_wide_as_scipy_has_it():
    for level in (0.8, 0.95):
        assert two_sided(level) == pytest.approx(norm.isf((1 - level) / 2), rel=1e-12)
        assert two_sided(level, 14) == pytest.approx(student.isf((1 - level) / 2, 14), rel=1e-9)


def test_intervals_of_paired_shares_are_the_published_ones():
    # Airway hyper-responsiveness of 21 children (Bentur et al. 2009) in Fagerland, Lydersen and Laake 2014, table VI.
    assert tango(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("wins", "losses", "n"), [(1, 7, 21), (40, 20, 160), (0, 1, 44), (9, 0, 30), (0, 0, 30)])
def test_tango_is_the_inverted_score_test_with_a_likelihood_maximised_numerically(wins, losses, n):
    def credible(shift):
        def surprise(second):
            cells = (second + shift, second, 1 - 2 * second - shift)
            seen = (wins, losses, n - wins - losses)
            return -sum(k * np.log(max(cell, 1e-300)) for k, cell in zip(seen, cells, strict=True) if k)

        bounds = (max(0.0, -shift), (1 - shift) / 2)
        second = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        return (wins - losses - n * shift) ** 2 - Z**2 * n * (2 * second + shift * (1 - shift))

    value = (wins - losses) / n
    low, high = tango(wins, losses, n)
    assert low == pytest.approx(brentq(credible, -1 + 1e-9, value - 1e-7), abs=1e-6)
    assert high == pytest.approx(brentq(credible, value + 1e-7, 1 - 1e-9), abs=1e-6)


def test_the_ends_of_the_scale_are_intervals_too():
    assert tango(10, 0, 10)[1] == 1
    assert 0.4 < tango(10, 0, 10)[0] < 1
    assert tango(0, 0, 30) == pytest.approx((-0.1135, 0.1135), abs=1e-4)  # z²/(n + z²), the score interval of 0 of n


def test_tango_covers_what_it_should():
    dice = np.random.default_rng(0)
    for n, gain in product((60, 300), (0.0, 0.08)):
        drawn = dice.multinomial(n, [0.1 + gain, 0.1, 0.8 - gain], 2000)
        held = [low <= gain <= high for low, high in (tango(int(b), int(c), n) for b, c, _ in drawn)]
        assert 0.93 < np.mean(held) < 0.97


def test_a_difference_of_shares_is_claimed_only_where_test_and_interval_agree():
    one, other = np.ones(60, dtype=bool), np.arange(60) >= 6
    found = difference_of_shares(one, other)
    assert found.value == pytest.approx(0.1)
    assert found.low > 0
    assert found.p == pytest.approx(2 * 0.5**6)
    assert found.is_claimed
    assert not difference_of_shares(one, np.arange(60) >= 5).is_claimed


def test_means_are_compared_as_scipy_does():
    dice = np.random.default_rng(1)
    one, other = dice.normal(0.3, 1, 40), dice.normal(0, 1, 40)
    found, known = difference_of_means(one, other), ttest_rel(one, other)
    assert found.p == pytest.approx(known.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval(0.95)), abs=1e-12)


def test_copies_of_every_example_in_a_group_add_no_certainty():
    dice = np.random.default_rng(2)
    one, other = dice.random(50) < 0.8, dice.random(50) < 0.6
    alone = difference_of_means(one, other)
    grouped = difference_of_shares(np.repeat(one, 7), np.repeat(other, 7), np.repeat(np.arange(50), 7))
    assert (grouped.units, grouped.n) == (50, 350)
    assert (grouped.value, grouped.low, grouped.high, grouped.p) == pytest.approx(
        (alone.value, alone.low, alone.high, alone.p)
    )


def test_a_single_unit_proves_nothing():
    found = difference_of_means(np.ones(5), np.zeros(5), np.zeros(5))
    assert not found.is_claimed
    assert found.low == -np.inf


def test_delong_is_what_all_pairs_give():
    dice = np.random.default_rng(3)
    truth = dice.random(60) < 0.4
    one, other = (np.round(dice.normal(truth * gain, 1), 1) for gain in (1.2, 0.6))  # rounded, so that there are ties

    def pairs(scores):
        return (scores[truth][:, None] > scores[~truth]) + 0.5 * (scores[truth][:, None] == scores[~truth])

    first, second = pairs(one), pairs(other)
    value = first.mean() - second.mean()
    rows, columns = (first - second).mean(1), (first - second).mean(0)
    error = np.sqrt(rows.var(ddof=1) / truth.sum() + columns.var(ddof=1) / (~truth).sum())
    found = difference_of_auroc(truth, one, other)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((value - Z * error, value + Z * error), abs=1e-9)
    assert found.p == pytest.approx(2 * norm.sf(abs(value) / error), abs=1e-9)
    assert placements(truth, one)[0] == pytest.approx(first.mean(), abs=1e-12)


def test_delong_over_groups_of_one_is_nearly_delong_and_copies_add_no_certainty():
    dice = np.random.default_rng(4)
    truth = dice.random(200) < 0.5
    one, other = dice.normal(truth, 1), dice.normal(truth * 0.5, 1)
    plain = difference_of_auroc(truth, one, other)
    alone = difference_of_auroc(truth, one, other, np.arange(200))
    copied = difference_of_auroc(*(np.repeat(each, 5) for each in (truth, one, other, np.arange(200))))
    assert alone.p == pytest.approx(plain.p, rel=0.05)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_the_corrected_t_test_widens_as_nadeau_and_bengio_say():
    gaps = np.array([0.02, 0.05, 0.01, 0.04, 0.03])
    found = corrected_t(gaps, 0.2)
    plain = ttest_rel(gaps, np.zeros(5))
    assert found.value == pytest.approx(0.03)
    statistic = plain.statistic / np.sqrt((1 / 5 + 0.25) / (1 / 5))
    assert found.value / (found.high - found.value) == pytest.approx(statistic / 2.7764451, rel=1e-6)


def test_power_is_what_simulation_gives():
    n, discordant = 300, 0.2
    shift = detectable_share(n, discordant)
    dice = np.random.default_rng(5)
    drawn = dice.multinomial(n, [(discordant + shift) / 2, (discordant - shift) / 2, 1 - discordant], 2000)
    # Connor's formula is for the asymptotic test; the exact one sees a little less.
    assert np.mean([abs(b - c) / np.sqrt(max(1, b + c)) > Z for b, c, _ in drawn]) == pytest.approx(0.8, abs=0.04)
    assert detectable_share(5, 0.3) is None


def test_a_few_groups_that_happen_to_agree_prove_nothing():
    gaps = np.zeros(20)
    gaps[[0, 10]] = 1
    found = difference_of_means(gaps, np.zeros(20), np.repeat([0, 1], 10))
    assert found.low < 0 < found.high
    assert found.p > 0.1


def test_one_group_tells_nothing_and_json_holds_it():
    found = difference_of_means(np.ones(5), np.zeros(5), np.zeros(5, dtype=int))
    assert not found.is_claimed
    assert found.as_dict()["low"] is None


def test_units_that_all_differ_by_the_same_are_a_sign_test():
    assert difference_of_means(np.ones(4), np.zeros(4)).p == pytest.approx(2 * 0.5**4)
    assert difference_of_means(np.ones(4), np.ones(4)).p == 1
