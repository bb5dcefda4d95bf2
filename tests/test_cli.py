from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import headstart as hs
from headstart.telling import arm_in_words, why_chosen
from headstart.wording import read_seconds

from .conftest import BAD, GOOD, Said

Run = Callable[..., Said]

ERROR = st.one_of(st.sampled_from([0.0, 0.01, 0.02, 0.020000001]), st.floats(0, 0.1))


def test_fit_then_evaluate_then_predict(headstart: Run, reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.headstart"
    fitted = headstart("fit", reviews, "--backbone", "wordllama", "--out", out, "--test", "0.25", "--json")
    assert fitted.code == 0
    answer = fitted.json
    assert answer["schema"] == "headstart.fit/1"
    assert answer["model"] == str(out)
    assert answer["backbone"] == "wordllama"
    assert answer["strategy"] == "probe"
    assert answer["task"] == "classification"
    assert sum(answer["n"].values()) == 12
    assert answer["metrics"]["accuracy"].keys() >= {"value", "low", "high", "n"}
    assert answer["metrics"]["accuracy"]["n"] == answer["n"]["test"]
    assert answer["baselines"].keys() == {"majority", "classical"}
    assert answer["baselines"]["classical"]["accuracy"]["value"] == answer["baselines"]["classical"]["value"]
    assert answer["seconds"]["total"] >= answer["seconds"]["adapt"]

    again = headstart("evaluate", out, reviews, "--json")
    assert again.json["n"] == answer["n"]["test"]
    assert again.json["metrics"]["accuracy"] == answer["metrics"]["accuracy"]
    assert again.json["warnings"][0]["code"] == "seen_in_training"

    new = tmp_path / "new.csv"
    new.write_text("id,text\n1,a lovely play\n2,\n")
    predicted = headstart("predict", out, "a dreadful bore", new, "missing.txt", "--json")
    assert predicted.code == 0
    first, second, third, fourth = predicted.json["predictions"]
    assert first["input"] == "a dreadful bore"
    assert first["label"] in ("good", "bad")
    assert second["probabilities"].keys() == {"good", "bad"}
    assert third == {"input": "row 2", "error": "row 2 is empty."}
    assert fourth["error"] == "missing.txt does not exist."
    assert predicted.json["n_failed"] == 2


def test_the_same_command_gives_the_same_answer(headstart: Run, reviews: Path, tmp_path: Path) -> None:
    words = ("fit", reviews, "--backbone", "wordllama", "--json", "--out", tmp_path / "m.headstart")
    one, other = headstart(*words).json, headstart(*words).json
    for answer in (one, other):
        del answer["seconds"], answer["forecast"], answer["proof"]["cpu_seconds"]
        del answer["proof"]["cpu_seconds_to_match"]
    assert one == other


def test_words_for_people(headstart: Run, reviews: Path, tmp_path: Path) -> None:
    said = headstart("fit", reviews, "--backbone", "wordllama", "--out", tmp_path / "m.headstart")
    for words in (
        "no proven benefit",
        "accuracy",
        "majority",
        "classical",
        "95 % intervals",
        "held out as the test set",
        "headstart predict",
    ):
        assert words in said.out
    predicted = headstart("predict", tmp_path / "m.headstart", "a lovely film", "-", stdin="one line\n\nother line\n")
    assert len(predicted.out.splitlines()) == 3
    assert predicted.out.splitlines()[1].startswith("one line\t")


def test_images_are_predicted_from_files_and_folders(headstart: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.headstart"
    assert headstart("fit", photos, "--out", out).code == 0
    (photos / "red" / "broken.jpg").write_bytes(b"no")
    said = headstart("predict", out, photos / "red", photos / "blue" / "0.png", "gone.png", "--json")
    rows = said.json["predictions"]
    assert len(rows) == 11
    assert [row.get("label") for row in rows].count("red") >= 7
    assert {row["input"]: row["error"] for row in rows if "error" in row} == {
        str(photos / "red" / "broken.jpg"): "broken.jpg is not an image.",
        "gone.png": "gone.png does not exist.",
    }


def test_numbers_and_label_sets(headstart: Run, tmp_path: Path) -> None:
    lines = [
        {"text": text, "y": n / 3, "tags": ["warm"] if n % 2 else ["warm", "cold"]} for n, text in enumerate(GOOD + BAD)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    fit = (
        "fit",
        tmp_path / "t.jsonl",
        "--backbone",
        "wordllama",
        "--test",
        "0.3",
        "--json",
        "--out",
        tmp_path / "m.headstart",
    )
    number = headstart(*fit, "--target", "y")
    assert number.json["task"] == "regression"
    assert number.json["metrics"].keys() == {"r2", "mae", "rmse"}
    assert "value" in headstart("predict", tmp_path / "m.headstart", "a film", "--json").json["predictions"][0]
    assert headstart("predict", tmp_path / "m.headstart", "a film").code == 0
    sets = headstart(*fit, "--target", "tags")
    assert sets.json["task"] == "multilabel"
    assert "macro_f1" in sets.json["metrics"]
    assert "labels" in headstart("predict", tmp_path / "m.headstart", "a film", "--json").json["predictions"][0]


def test_truncated_texts_are_counted(headstart: Run, tmp_path: Path) -> None:
    rows = [f'"{text} {"word " * (700 if n == 3 else 1)}",{"ab"[n % 2]}' for n, text in enumerate(GOOD + BAD)]
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(rows))
    said = headstart("fit", tmp_path / "t.csv", "--backbone", "wordllama", "--json", "--out", tmp_path / "m.headstart")
    found = {warning["code"]: warning["text"] for warning in said.json["warnings"]}
    assert found["truncated_texts"] == "1 text cut off after 512 tokens, the most wordllama reads: row 4"


def test_backbones_lists_the_catalogue_and_own_models(headstart: Run, saved_text_model: Path) -> None:
    listed = headstart("backbones", saved_text_model.parent, "--json").json["backbones"]
    assert {"efficientnet_lite0", "minilm_l6", "wordllama", str(saved_text_model)} <= {one["name"] for one in listed}
    assert all(one["licence"] and one["trained_on"] for one in listed)
    assert "wordllama" in headstart("backbones").out


def make_tables(folder: Path) -> None:
    """Write what is wrong with a table, a file each."""
    files: dict[str, bytes] = {
        "empty.csv": b"",
        "header.csv": b"text,label\n",
        "ragged.csv": b"text,label\na,b\nc,d,e,f\n",
        "twice.csv": b"text,text,label\na b,c,d\n",
        "latin.csv": "text,label\ncaf\xe9 au lait,a\n".encode("latin-1"),
        "utf16.csv": "text,label\na b,a\n".encode("utf-16"),
        "broken.jsonl": b'{"text": "a b", "label": "x"}\n{"text": \n',
        "scalars.jsonl": b"1\n2\n",
        "broken.parquet": b"PAR1 no",
        "numbers.csv": b"a,b,label\n1,2,x\n3,4,y\n",
        "oneclass.csv": b"text,label\na fine film,x\nanother film,x\n",
        "nolabel.csv": b"text,label\na fine film,\nanother film,\n",
        "untold.csv": b"text,colour,shape\na fine film,x,y\nanother film,z,w\n",
        "badsplit.csv": b"text,label,split\na fine film,x,maybe\nanother film,y,train\n",
        "notrain.csv": b"text,label,split\na fine film,x,test\nanother film,y,test\n",
        "onlytrain.csv": b"text,label,split\na fine film,x,train\nanother film,x,train\nthird film,y,test\n",
        "two.csv": b"text,label\na fine film,x\nanother film,y\n",
        "escape.csv": b"file,label\n../../etc/passwd.png,x\nb.png,y\n",
        "gone.csv": b"file,label\na.png,x\nb.png,y\n",
        "words.csv": b"text,y\na fine film,much\nanother film,little\n",
        "letters.txt": b"a b c",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


FIT = [
    (("nowhere",), "does not exist"),
    (("bad/empty.csv",), "is empty"),
    (("bad/header.csv",), "has no rows"),
    (("bad/ragged.csv",), "cannot be read as CSV"),
    (("bad/twice.csv",), "two columns named 'text'"),
    (("bad/latin.csv",), "is not UTF-8"),
    (("bad/utf16.csv",), "is not UTF-8"),
    (("bad/broken.jsonl",), "cannot be read as JSONL"),
    (("bad/scalars.jsonl",), "cannot be read as JSONL"),
    (("bad/broken.parquet",), "cannot be read as PARQUET"),
    (("bad/letters.txt",), "is not a table"),
    (("bad/numbers.csv",), "no column holds texts"),
    (("bad/oneclass.csv",), "only one class"),
    (("bad/nolabel.csv",), "none of the 2 examples"),
    (("bad/untold.csv",), "no column is plainly the target"),
    (("bad/badsplit.csv",), "in no known split"),
    (("bad/notrain.csv",), "no train part"),
    (("bad/onlytrain.csv",), "only one label"),
    (("bad/two.csv",), "too few to hold out"),
    (("bad/escape.csv",), "outside its folder"),
    (("bad/gone.csv",), "none of the 2 examples"),
    (("bad/words.csv", "--target", "y", "--task", "regression"), "none of the 2 examples"),
    (("bad",), "no images"),
    (("hollow",), "no images"),
    (("loose",), "carry no label"),
    (("ruined",), "none of the 2 examples"),
    (("reviews.csv", "--target", "nothing"), "no column 'nothing'"),
    (("reviews.csv", "--input", "nothing"), "no column 'nothing'"),
    (("reviews.csv", "--group", "nothing"), "no column 'nothing'"),
    (("reviews.csv", "--sensitive", "nothing"), "no column 'nothing'"),
    (("reviews.csv", "--input", "text", "--target", "text"), "both input and target"),
    (("reviews.csv", "--task", "guessing"), "kind of task is unknown"),
    (("reviews.csv", "--test", "0"), "test share is out of range"),
    (("reviews.csv", "--test", "1.5"), "test share is out of range"),
    (("reviews.csv", "--test", "lots"), "Invalid value"),
    (("reviews.csv", "--nonsense"), "No such option"),
    (("reviews.csv", "--cut", "99"), "there is no cut 99"),
    (("reviews.csv", "--backbone", "minilm"), "there is no backbone"),
    (("reviews.csv", "--backbone", "efficientnet_lite0"), "reads images"),
    (("reviews.csv", "--backbone", "timm/nothing_at_all"), "timm knows no network"),
    (("reviews.csv", "--backbone", "hollow"), "is not a model"),
    (("reviews.csv", "--out", "reviews.csv"), "is not a model of ours"),
    (("reviews.csv", "--out", "bad"), "is not a model of ours"),
    (("reviews.csv", "--out", "no/such/place.headstart"), "does not exist"),
    ((), "Missing argument"),
]


@pytest.fixture
def workplace(reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_text_model: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("bad", "hollow", "loose", "ruined/a", "ruined/b"):
        (tmp_path / name).mkdir(parents=True)
    make_tables(tmp_path / "bad")
    for name in ("loose/1.png", "ruined/a/1.png", "ruined/b/2.png"):
        (tmp_path / name).write_bytes(b"no picture")
    shutil.copytree(saved_text_model, tmp_path / "m.headstart")
    return tmp_path


def one_clear_sentence(said: Said, words: str) -> None:
    assert said.code == 2
    flat = " ".join(said.err.replace("│", " ").split())
    assert words in flat
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(("words", "sentence"), FIT)
def test_a_wrong_question_to_fit(headstart: Run, workplace: Path, words: tuple[str, ...], sentence: str) -> None:
    before = sorted(workplace.rglob("*"))
    extra = () if "--backbone" in words or not words else ("--backbone", "wordllama")
    one_clear_sentence(headstart("fit", *words, *extra), sentence)
    assert sorted(workplace.rglob("*")) == before


OTHERS = [
    (("predict", "gone.headstart", "a text"), "there is no model at"),
    (("predict", "reviews.csv", "a text"), "is not a saved model"),
    (("predict", "hollow", "a text"), "is not a saved model"),
    (("predict", "m.headstart"), "Missing argument"),
    (("predict", "m.headstart", ""), "none of the 1 inputs"),
    (("predict", "m.headstart", "gone.txt"), "none of the 1 inputs"),
    (("predict", "m.headstart", "hollow"), "none of the 1 inputs"),
    (("predict", "m.headstart", "bad/numbers.csv"), "no column holds texts"),
    (("predict", "m.headstart", "-"), "there is nothing to predict"),
    (("evaluate", "m.headstart", "nowhere"), "does not exist"),
    (("evaluate", "m.headstart", "bad/untold.csv"), "no column 'label'"),
    (("evaluate", "m.headstart", "bad/two.csv"), "none of the data's labels"),
    (("evaluate", "m.headstart", "reviews.csv"), "all 12 examples were used to train"),
    (("evaluate", "m.headstart", "reviews.csv", "--target", "nothing"), "no column 'nothing'"),
    (("demo", "--out", "reviews.csv"), "cannot be written"),
    (("nonsense",), "No such command"),
]


@pytest.mark.parametrize(("words", "sentence"), OTHERS)
def test_other_wrong_questions(headstart: Run, workplace: Path, words: tuple[str, ...], sentence: str) -> None:
    before = sorted(workplace.rglob("*"))
    one_clear_sentence(headstart(*words, stdin=""), sentence)
    assert sorted(workplace.rglob("*")) == before


def test_errors_in_json_have_their_fields(headstart: Run, workplace: Path) -> None:
    said = headstart("fit", "reviews.csv", "--target", "nothing", "--json")
    assert said.code == 2
    assert said.json == {
        "schema": "headstart.error/1",
        "error": "OptionError",
        "problem": "there is no column 'nothing'.",
        "expected": "one of text, label",
        "got": "'nothing'",
        "hint": None,
    }


def test_a_column_that_is_nearly_right_is_hinted_at(headstart: Run, workplace: Path) -> None:
    assert "did you mean 'label'?" in headstart("fit", "reviews.csv", "--target", "labl").err


def test_every_verb_can_be_called_twice(reviews: Path, tmp_path: Path) -> None:
    for _ in range(2):
        result = hs.fit(str(reviews), backbone="wordllama", out=tmp_path / "m.headstart")
        data = hs.read(reviews)
        train, test = data.split(test=0.4)
        model = hs.adapt(train, backbone="wordllama")
        assert hs.evaluate(model, test).n == len(test)
        assert hs.load(tmp_path / "m.headstart").predict(["a film"])[0].label in ("good", "bad")
        assert hs.list_backbones()
        assert result.path is not None
        assert np.isfinite(result.evaluation.metrics["accuracy"].value)
    for verb in (hs.fit, hs.read, hs.adapt, hs.evaluate, hs.load, hs.check, hs.list_backbones, hs.load_backbone):
        assert callable(verb)


def test_a_demo_makes_models_and_says_what_to_type_next(
    headstart: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("headstart.demo.TESTED_A_CLASS", 3)
    said = headstart("demo")
    assert said.code == 0
    assert "headstart fit headstart-demo/digits --cut 16" in said.out
    for name in ("digits", "scipy"):
        assert f"headstart predict headstart-demo/{name}.headstart" in said.out
        assert hs.load(tmp_path / "headstart-demo" / f"{name}.headstart").task.kind == "classification"
    assert headstart("predict", "headstart-demo/digits.headstart", "headstart-demo/digits/test/7").code == 0


def test_bytes_from_standard_input_that_are_no_text(headstart: Run, saved_text_model: Path) -> None:
    said = headstart("predict", saved_text_model, "-", "--json", stdin=bytes(range(128, 256)) + b"\na good film\n")
    assert said.code == 0
    assert len(said.json["predictions"]) >= 2


def test_strings_in_a_list_are_texts_and_paths_are_files(text_model: hs.Model, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a lovely film")
    answers = text_model.predict([".", str(tmp_path), tmp_path / "one.txt", tmp_path / "gone.txt", 5, None])
    assert [answer.error is None for answer in answers] == [True, True, True, False, False, False]
    assert len(text_model.predict(tmp_path)) == 1
    assert len(text_model.predict(str(tmp_path / "one.txt"))) == 1


def test_a_command_line_that_cannot_be_understood_has_its_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from headstart import cli

    monkeypatch.setattr("sys.argv", ["headstart", "fit", "x", "--test", "abc", "--json"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    captured = capsys.readouterr()
    assert json.loads(captured.out)["schema"] == "headstart.error/1"
    assert "Invalid value" in captured.err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hs.load(None), "this is no path"),  # type: ignore[arg-type]
        (lambda: hs.load_backbone(5), "no name of a backbone"),  # type: ignore[arg-type]
        (lambda: hs.adapt("x.csv"), "not a data set"),  # type: ignore[arg-type]
        (lambda: hs.adapt(hs.read([("a b", "x"), ("c d", "y")]), strategy="probe"), "strategy is unknown"),  # type: ignore[arg-type]
        (lambda: hs.adapt(hs.read([("a b", "x"), ("c d", "y")]), seed=None), "seed is out of range"),  # type: ignore[arg-type]
        (lambda: hs.Probe(cut=0), "nothing lies below cut 0"),
        (lambda: hs.list_backbones("nowhere"), "is not a folder"),
    ],
)
def test_wrong_arguments_in_python(call: Callable[[], object], words: str) -> None:
    with pytest.raises(hs.HeadstartError, match=words):
        call()


def test_one_example_can_be_evaluated(headstart: Run, saved_text_model: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\na nice one,good\n")
    answer = headstart("evaluate", saved_text_model, tmp_path / "one.csv", "--json").json
    assert answer["n"] == 1
    assert answer["metrics"]["accuracy"]["high"] - answer["metrics"]["accuracy"]["low"] > 0.5
    assert "class_not_tested" in {warning["code"] for warning in answer["warnings"]}


def test_a_demo_leaves_other_things_alone(headstart: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scipy.csv").write_text("mine")
    assert headstart("demo", "--out", tmp_path / "mine").code == 2
    assert (tmp_path / "mine" / "scipy.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("behind", "chosen", "words"),
    [
        ((0.03, 0.0), 1, "probe, which comes before it, was worse by 0.0300, more than one standard error (± 0.0200)"),
        ((0.01, 0.0), 0, "fine-tuning (cut 13) was better by 0.0100, no more than one standard error (± 0.0200)"),
        ((0.0, 0.01), 0, "probe is taken: it comes first, and none was better"),
    ],
)
def test_the_screen_says_why_a_strategy_was_chosen(behind: tuple[float, float], chosen: int, words: str) -> None:
    arms = [
        {
            "strategy": name,
            "word": "fine-tuning",
            "cut": cut,
            "behind": own,
            "standard_error": 0.02,
            "chosen": place == chosen,
        }
        for place, (name, cut, own) in enumerate(zip(("probe", "finetune"), ("top", 13), behind, strict=True))
    ]
    assert words in why_chosen(arms)


@given(st.lists(st.tuples(ERROR, ERROR), min_size=1, max_size=5), st.data())
def test_the_reason_is_true_of_its_own_numbers(standings: list[tuple[float, float]], data: st.DataObject) -> None:
    least = min(behind for behind, _ in standings)
    behind = [one - least for one, _ in standings]
    errors = [0.0 if gap == 0 else error for gap, (_, error) in zip(behind, standings, strict=True)]
    by_rule = next(place for place, gap in enumerate(behind) if gap <= errors[place])
    chosen = data.draw(st.sampled_from([by_rule, by_rule, len(behind) - 1]))
    names = ("majority", "classical", "probe", "lora", "scratch")
    arms = [
        {"strategy": name, "cut": "", "behind": gap, "standard_error": error, "chosen": place == chosen}
        for place, (name, gap, error) in enumerate(zip(names, behind, errors, strict=False))
    ]
    said = why_chosen(arms)
    numbers = [float(one) for one in re.findall(r"\d+\.\d+(?:e-\d+)?|\d+e-\d+", said)]
    own = f"{arm_in_words(arms[chosen])} is taken"
    assert own in said
    if "no more than one standard error" in said:
        assert numbers[0] <= numbers[1]
        assert behind[chosen] <= errors[chosen]
    elif "more than one standard error" in said:
        assert numbers[0] > numbers[1]
        assert all(gap > error for gap, error in zip(behind[:chosen], errors[:chosen], strict=True))
    elif "none was better" in said:
        assert chosen == 0 == behind[0]
    else:
        assert chosen != by_rule
        assert said.endswith(f"it would have been {arm_in_words(arms[by_rule])}")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("5min", 300), (" 2 h", 7200)])
def test_a_budget_is_a_time(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["0", "-3", "five", "5d", "nan", ""])
def test_what_is_no_time_gets_a_sentence(headstart: Callable[..., Said], reviews: Path, text: str) -> None:
    said = headstart("fit", reviews, "--budget", text)
    assert said.code == 2
    assert "the budget is no time" in said.err
    assert "90s, 5m or 2h" in said.err


ENDING = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count()))
from headstart.cli import RARELY, main
sys.argv = ["headstart", "--version"]
try:
    main()
finally:
    assert gc.isenabled() and gc.get_threshold()[0] == RARELY
"""


def test_a_command_ends_without_looking_for_lost_objects_among_all_it_made() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=True)
    version, frozen = done.stdout.split("\n")[:2]
    assert version == f"headstart {hs.__version__}"
    assert int(frozen) > 10_000, "typer alone makes more than that"
