"""Real weights on real data: skipped, with the reason, where the data is not at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import headstart as hs

from ..conftest import Said

Find = Callable[[str], Path]


def test_ants_and_bees(real: Find, headstart: Callable[..., Said], tmp_path: Path) -> None:
    said = headstart("fit", real("hymenoptera"), "--out", tmp_path / "m.headstart", "--strategy", "probe", "--json")
    answer = said.json
    assert answer["n"] == {"train": 244, "validation": 0, "test": 153}
    assert answer["metrics"]["accuracy"]["value"] >= 0.92
    assert answer["metrics"]["accuracy"]["value"] > answer["baselines"]["classical"]["value"]
    ants = sorted((real("hymenoptera") / "val" / "ants").iterdir())[:20]
    labels = [prediction.label for prediction in hs.load(tmp_path / "m.headstart").predict(ants)]
    assert labels.count("ants") >= 17


def is_above_or_tied(result: hs.Result) -> bool:
    ours, rival = result.evaluation.metrics["accuracy"], result.evaluation.baselines["classical"]["accuracy"]
    return ours.value >= rival.value or ours.high >= rival.value


@pytest.mark.parametrize("name", ["flowers5", "symptom2disease"])
def test_small_sets_against_the_classical_baseline(name: str, real: Find) -> None:
    assert is_above_or_tied(hs.fit(str(real(name)), strategy=hs.Probe()))


def test_the_upper_stages_learn_the_weather(real: Find) -> None:
    result = hs.fit(str(real("weather4")), strategy=[hs.Classical(), hs.Probe(), hs.FineTune()])
    arms = {arm["strategy"]: arm for arm in result.model.record["arms"]}
    assert arms["finetune"]["error"] < arms["probe"]["error"]
    assert result.evaluation.metrics["accuracy"].value >= 0.92


def test_chest_x_rays_by_patient(real: Find) -> None:
    place = str(real("chest_xray"))
    grouped = hs.fit(place, group="patient_id", strategy=hs.Probe())
    assert grouped.n == {"train": 560, "validation": 128, "test": 111}
    assert grouped.groups["test"] < 111
    assert grouped.evaluation.metrics["accuracy"].units == grouped.groups["test"]
    assert grouped.model.record["chosen_on"] == "the validation set"
    assert not {finding.code for finding in grouped.warnings} & {"groups_across_splits"}
    hint = {finding.code: finding.text for finding in hs.read(place, group="sex").findings}
    assert "--sensitive sex" in hint["group_few_values"]


def test_imbalanced_messages(real: Find) -> None:
    result = hs.fit(str(real("sms_spam")), backbone="wordllama", strategy=hs.Probe())
    assert any("the largest class is 7 times the smallest" in note for note in result.notes)
    assert result.evaluation.metrics["balanced_accuracy"].value > 0.8
