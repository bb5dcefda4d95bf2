"""The report: one page that stands by itself, with a user's text escaped, and the same as JSON."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import headstart as hs
from headstart import plots
from headstart.curves import Labels
from headstart.report.thresholds import best_threshold, cost_at
from headstart.statistics import Measure

NASTY = "<script>alert('x')</script> & <b>bold</b>"


@pytest.fixture
def reported(tmp_path):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    rows = [(f"a {word} film {number} {NASTY}", word) for word in ("good", "<bad>") for number in words]
    rows += [(f"a good film that is not {number}", "<bad>") for number in words]
    result = hs.fit(rows, backbone="wordllama", out=tmp_path / "m.headstart")
    return result, (tmp_path / "m.report.html").read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_the_network_and_escapes_what_it_is_given(reported):
    _, page = reported
    assert "<script" not in page
    assert "alert(&#39;x&#39;)" in page or "alert('x')" not in page
    assert "<bad>" not in page
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert all(one.startswith(("data:", "#")) for one in addresses)


def test_the_page_is_whole_and_begins_with_the_verdict(reported):
    result, page = reported
    sentence = result.proof.sentence
    text = re.sub(r"<[^>]+>", "", page.split("</style>")[1])
    assert text.split()[:3]
    assert page.index("verdict") < page.index("The contenders")
    assert sentence[1:40].replace("&", "&amp;") in page
    assert page.rstrip().endswith("</html>")


def test_the_json_beside_it_is_what_the_command_prints(reported, tmp_path):
    result, _ = reported
    stored = json.loads((tmp_path / "m.report.json").read_text(encoding="utf-8"))
    command = stored.pop("command")
    assert stored == json.loads(json.dumps(result.as_dict()))
    assert command == f"headstart fit DATA --backbone wordllama --out {result.path}"


def test_nothing_is_reported_where_nothing_is_saved():
    rows = [(f"{word} film {n}", word) for word in ("good", "bad") for n in ["one", "two", "three", "four", "five"]]
    assert hs.fit(rows, backbone="wordllama").report is None


@pytest.mark.parametrize(("low", "is_told"), [(10.0, False), (400.0, True)])
def test_the_time_no_transfer_would_need_is_said_only_where_it_needs_more_labels(reported, low, is_told):
    result, _ = reported
    proof = replace(result.proof, labels=Labels(40, None, low, None), cpu={"with": 1.0, "without": 2.0})
    assert (proof.seconds_to_match is not None) is is_told


def test_seeds_that_would_have_taken_too_long_are_said(reported):
    proof = replace(reported[0].proof, seeds=(), untried=130.0)
    assert proof.gaps_in_words[-1] == ("one fold held out, by seed", "not tried: 2 min more")


def test_errors_of_numbers_are_told_as_they_are_and_shares_in_per_cent(reported):
    rows = [(f"film number {n} costs {n} coins", float(n)) for n in range(40)]
    numbers = hs.fit(rows, backbone="wordllama", task="regression").proof
    for proof, is_share in ((numbers, False), (reported[0].proof, True)):
        assert [name for name, _ in proof.gaps_in_words][-1] == "shuffled labels, learned by heart"
        assert {"%" in error for _, error in proof.gaps_in_words} == {is_share}


def test_the_best_threshold_is_the_cheapest_of_all():
    dice = np.random.default_rng(0)
    truth = dice.random(200) < 0.3
    scores = np.clip(0.3 * truth + dice.random(200) * 0.7, 0, 1)
    for ratio in (1, 5, 20):
        ours = cost_at(scores, truth, best_threshold(scores, truth, ratio), ratio)[2]
        assert ours == min(cost_at(scores, truth, cut, ratio)[2] for cut in np.linspace(0, 1, 2001))
    assert best_threshold(scores, truth, 20) < best_threshold(scores, truth, 1)


def test_a_long_name_leaves_room_for_the_drawing() -> None:
    rows = [
        ("probe", Measure(0.8, 0.7, 0.9, 9, 9), True),
        ("from scratch, cut 0, given up after 334 examples", Measure(0.3, 0.2, 0.4, 9, 9), False),
    ]
    assert "<!-- from scratch, cut 0, -->" in plots.arms(rows, "accuracy")


def test_the_losses_of_a_single_epoch_are_drawn_from_the_start_of_learning() -> None:
    record = {"curve": [{}, {"fitted": 0.4}], "schedule": {"rate": 0.001}}
    drawn = plots.training_curves(record)
    assert "<!-- 0 -->" in drawn.split("<!-- epoch -->")[0]
    assert "<!-- 0.96 -->" not in drawn
