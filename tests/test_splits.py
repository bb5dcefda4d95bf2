from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headstart as hs
from headstart.data import copies, splits
from headstart.errors import DataError, OptionError


def units_of(n: int) -> np.ndarray:
    return np.arange(n)


def words(n: int, start: int = 0) -> list[str]:
    return [f"example number {number} of {number * 7919 % 104729}" for number in range(start, start + n)]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(20, 300), share=st.floats(0.1, 0.5), seed=st.integers(0, 5), classes=st.integers(1, 4))
def test_every_class_gives_about_its_share(n: int, share: float, seed: int, classes: int) -> None:
    strata = [index % classes for index in range(n)]
    held = splits.held_out(units_of(n), words(n), strata, share, seed)
    for label, size in Counter(strata).items():
        count = sum(held[index] for index in range(n) if strata[index] == label)
        if size >= 3:
            assert abs(count - max(1, share * size)) <= max(1, splits.TOLERATED * share * size)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(list(range(60))), seed=st.integers(0, 3))
def test_the_order_of_examples_changes_nothing(order: list[int], seed: int) -> None:
    keys, strata = words(60), [index % 3 for index in range(60)]
    held = splits.held_out(units_of(60), keys, strata, 0.25, seed)
    mixed = splits.held_out(units_of(60), [keys[i] for i in order], [strata[i] for i in order], 0.25, seed)
    assert [bool(held[i]) for i in order] == mixed.tolist()


def test_examples_stay_where_they_are_when_others_are_added() -> None:
    moved = total = 0
    for seed in range(20):
        few = splits.held_out(units_of(500), words(500), [0, 1] * 250, 0.2, seed)
        more = splits.held_out(units_of(550), words(550), [0, 1] * 275, 0.2, seed)
        moved += int((few != more[:500]).sum())
        total += 500
    assert moved / total < 0.001


def test_other_seeds_give_other_splits() -> None:
    one, other = (splits.held_out(units_of(100), words(100), [0] * 100, 0.3, seed) for seed in (0, 1))
    assert (one != other).any()


def test_groups_are_never_separated() -> None:
    rows = [{"text": text, "label": str(i % 2), "who": f"p{i // 5}"} for i, text in enumerate(words(100))]
    data = hs.read(rows, group="who")
    train, test = data.split(test=0.3)
    assert not set(train.groups or ()) & set(test.groups or ())
    assert len(train) + len(test) == 100
    fold = data.folds(5)
    for group in set(data.groups or ()):
        assert len({fold[i] for i, one in enumerate(data.groups or ()) if one == group}) == 1


def test_copies_and_near_copies_stand_on_one_side() -> None:
    texts = words(200)
    texts[150] = texts[10]
    texts[160] = texts[20] + "!"
    data = hs.read([(text, str(i % 2)) for i, text in enumerate(texts)])
    for seed in range(10):
        train, test = data.split(test=0.4, seed=seed)
        for one, other in ((texts[10], texts[150]), (texts[20], texts[160])):
            assert not any(one in part.inputs and other not in part.inputs for part in (train, test))


def test_clusters_that_tie_a_class_together_are_reported_instead() -> None:
    texts = words(80) + [f"a template that is the same for everybody but for the number {n}" for n in range(20)]
    data = hs.read([(text, "x" if i >= 60 else "y") for i, text in enumerate(texts)])
    assert data.tied_too_widely.sum() == 20
    assert "near_duplicates_not_tied" in {finding.code for finding in hs.check(data)}
    train, test = data.split(test=0.3)
    assert any("template" in str(text) for text in train.inputs)
    assert any("template" in str(text) for text in test.inputs)


def test_folds_are_even_in_size_and_class() -> None:
    fold = splits.fold_of(units_of(103), words(103), [i % 4 == 0 for i in range(103)], 5, 0)
    assert max(np.bincount(fold)) - min(np.bincount(fold)) <= 2
    rare = np.bincount(fold[[i for i in range(103) if i % 4 == 0]], minlength=5)
    assert rare.max() - rare.min() <= 1


def test_too_few_examples_to_hold_out() -> None:
    with pytest.raises(DataError, match="too few to hold out a test set"):
        hs.read([("one thing", "a"), ("another", "b")]).split(test=0.01)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(OptionError, match="the test share is out of range"):
        hs.read([("one thing", "a"), ("another", "b")]).split(test=share)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=60), st.data())
def test_near_hashes_are_found_as_by_brute_force(hashes: list[int], data: st.DataObject) -> None:
    flips = data.draw(st.lists(st.integers(0, 63), max_size=6, unique=True))
    near = hashes[0]
    for bit in flips:
        near ^= 1 << bit
    hashes = [*hashes, near]
    expected = {
        (i, j) for i in range(len(hashes)) for j in range(i) if (hashes[i] ^ hashes[j]).bit_count() <= copies.IMAGE_BITS
    }
    cluster = copies.clusters(len(hashes), copies.near_images(hashes))
    brute = copies.clusters(len(hashes), expected)
    assert (np.equal.outer(cluster, cluster) == np.equal.outer(brute, brute)).all()


def test_near_texts_reach_the_stated_similarity() -> None:
    texts = [
        "The quick brown fox jumps over the lazy dog",
        "the quick brown  fox jumps over the lazy dog.",
        "other words",
    ]
    assert copies.near_texts(texts) == [(0, 1)]
