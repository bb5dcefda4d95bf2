from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.data.columns import as_label, is_missing
from headstart.errors import DataError, OptionError

from .conftest import BAD, GOOD, picture


def codes(data: hs.Dataset) -> dict[str, str]:
    return {finding.code: finding.text for finding in hs.check(data)}


def test_class_folders(photos: Path) -> None:
    data = hs.read(photos)
    assert (len(data), data.modality, data.task.labels, data.channels) == (16, "image", ("blue", "red"), 3)
    assert data.given is None
    assert "labels are the folder names" in data.notes


@pytest.mark.parametrize("other", ["val", "valid", "validation", "test"])
def test_split_folders_and_the_one_extra_set_is_the_test_set(photos: Path, tmp_path: Path, other: str) -> None:
    root = tmp_path / "set"
    for part in ("train", other):
        (root / part).mkdir(parents=True)
    (photos / "red").rename(root / "train" / "red")
    (photos / "blue").rename(root / "train" / "blue")
    for colour in ("red", "blue"):
        (root / other / colour).mkdir()
        picture(len(colour), colour).save(root / other / colour / "new.png")
    data = hs.read(root)
    assert len(data.given_part("train")) == 16
    assert len(data.given_part("test")) == 2
    assert not len(data.given_part("validation"))


def test_a_class_called_train_is_a_class(photos: Path) -> None:
    (photos / "red").rename(photos / "train")
    data = hs.read(photos)
    assert data.task.labels == ("blue", "train")
    assert data.given is None


def test_metadata_beside_images(photos: Path) -> None:
    rows = [
        f"{path.relative_to(photos)},{path.parent.name},p{i // 2}"
        for i, path in enumerate(sorted(photos.rglob("*.png")))
    ]
    (photos / "metadata.csv").write_text("file_name,label,patient_id\n" + "\n".join(rows), encoding="utf-8")
    data = hs.read(photos)
    assert len(data) == 16
    assert "group_unused" in codes(data)
    grouped = hs.read(photos, group="patient_id")
    assert len(set(grouped.groups or ())) == 8
    assert "group_unused" not in codes(grouped)


def test_a_group_with_a_handful_of_values_draws_a_hint() -> None:
    rows = [{"text": text, "label": "good", "sex": "FM"[i % 2]} for i, text in enumerate(GOOD)]
    rows += [{"text": text, "label": "bad", "sex": "FM"[i % 2]} for i, text in enumerate(BAD)]
    assert "--sensitive sex" in codes(hs.read(rows, group="sex"))["group_few_values"]


def test_tables_of_every_kind_are_read_alike(reviews: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(reviews)
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "semicolons.csv", sep=";", index=False)
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbf" + reviews.read_bytes())
    expected = hs.read(reviews)
    sources = [tmp_path / name for name in ("t.tsv", "t.parquet", "t.jsonl", "semicolons.csv", "bom.csv")]
    for source in [*sources, frame, frame.to_dict("records"), list(zip(frame.text, frame.label, strict=True))]:
        data = hs.read(source)
        assert data.inputs == expected.inputs
        assert data.values == expected.values
        assert data.contents == expected.contents


def test_inputs_and_targets_as_lists_and_pictures() -> None:
    pictures = [picture(n, colour) for n, colour in enumerate(["red", "blue"] * 3)]
    data = hs.read([*pictures], target=["red", "blue"] * 3)
    assert data.modality == "image"
    arrays = hs.read([np.asarray(one) for one in pictures], target=["red", "blue"] * 3)
    assert arrays.near == data.near


def test_huggingface_datasets(photos: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict(
        {"text": GOOD + BAD, "label": [1] * 6 + [0] * 6},
        features=datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
        ),
    )
    assert hs.read(made).values == ("good",) * 6 + ("bad",) * 6
    both = hs.read(datasets.DatasetDict({"train": made, "validation": made}))
    assert len(both.given_part("test")) == 12
    folder = datasets.load_dataset(
        "imagefolder", data_dir=str(photos), split="train", cache_dir=str(photos.parent / "c")
    )
    assert sorted(set(hs.read(folder).values)) == ["blue", "red"]


def test_only_empty_cells_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\none thing here,None\nother thing here,NA\nthird thing here,\nfourth thing,None\n")
    data = hs.read(path)
    assert data.values == ("None", "NA", "None")
    assert "1 example without a usable 'label'" in codes(data)["missing_labels"]


def test_what_a_target_is() -> None:
    def kind(values: list[object], **options: str) -> str:
        rows = [{"text": f"text number {n} {n * 7919}", "label": value} for n, value in enumerate(values)]
        return hs.read(rows, **options).task.kind  # type: ignore[arg-type]

    assert kind(["a", "b"] * 5) == "classification"
    assert kind([0, 1] * 5) == "classification"
    assert kind([1.0, 2.0] * 5) == "classification"
    assert kind([n / 7 for n in range(10)]) == "regression"
    assert kind(list(range(30))) == "regression"
    assert kind(list(range(30)), task="classification") == "classification"
    assert kind([["a"], ["a", "b"], []]) == "multilabel"
    assert kind(["a|b", "b", "a", "a|b", "a|c", "c", "b|c", "a"]) == "multilabel"
    assert kind([True, False] * 4) == "classification"


def test_label_sets() -> None:
    rows = [
        {"text": f"text {n} of {n * 7919}", "label": value}
        for n, value in enumerate(["a|b", "b", "a", "a | b", "", "b|a"])
    ]
    data = hs.read(rows, task="multilabel")
    assert data.task.labels == ("a", "b")
    assert data.values == (("a", "b"), ("b",), ("a",), ("a", "b"), (), ("a", "b"))


def test_numbers_that_are_none_are_left_out() -> None:
    rows = [
        {"text": f"text {n} of {n * 7919}", "y": value} for n, value in enumerate(["1.5", "inf", "NA", "2.5", "x", "3"])
    ]
    data = hs.read(rows, target="y", task="regression")
    assert data.values == (1.5, 2.5, 3.0)
    assert "3 examples without a usable 'y'" in codes(data)["missing_labels"]


def test_several_inputs_are_joined() -> None:
    rows = [{"title": "A", "text": "one two three", "label": "x"}, {"title": "", "text": "four five six", "label": "y"}]
    assert hs.read(rows, input=["title", "text"]).inputs == ("A\none two three", "four five six")


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (
            [("a fine film", "Rose"), ("a dull film", "rose "), ("so long a film", "tulip")],
            "label_variants",
            "letter case",
        ),
        (
            [("a fine film", "a"), ("a dull film", "a"), ("so long a film", "b")],
            "single_example",
            "1 class has one example",
        ),
        ([("a fine film", "a"), ("a fine film", "b"), ("another", "b")], "conflicting_labels", "two different labels"),
        ([("a fine film", "a"), ("a fine film", "a"), ("another", "b")], "duplicates", "1 text repeated exactly"),
        ([("a fine film", "a"), ("  ", "a"), ("another", "b")], "empty_texts", "1 text empty"),
        ([("a fine film", "a"), ("fine", None), ("another", "b")], "missing_labels", "without a usable"),
    ],
)
def test_what_is_wrong_is_said(rows: list[tuple[str, str]], code: str, words: str) -> None:
    assert words in codes(hs.read(rows))[code]


def test_a_given_split_is_reported_on_and_never_altered() -> None:
    texts = [f"text number {n} of {n * 7919 % 104729}" for n in range(40)]
    texts[30], texts[35] = texts[0], texts[1] + "."
    rows = [
        {"text": text, "label": "ab"[n % 2], "split": "train" if n < 25 else "test", "who": str(n % 30)}
        for n, text in enumerate(texts)
    ]
    rows[39]["label"] = "never seen"
    data = hs.read(rows, group="who")
    found = codes(data)
    assert len(data.given_part("train")) == 25
    assert "1 example in more than one given split" in found["copies_across_splits"]
    assert "1 near-duplicate pair across the given splits" in found["near_duplicates_across_splits"]
    assert "10 groups in more than one given split" in found["groups_across_splits"]
    assert "never seen" in found["unseen_labels"]


def test_unreadable_pictures_are_named_and_the_rest_goes_on(photos: Path) -> None:
    (photos / "red" / "broken.jpg").write_bytes(b"no picture")
    (photos / "red" / "empty.png").touch()
    (photos / "notes.txt").write_text("hello")
    data = hs.read(photos)
    assert len(data) == 16
    found = codes(data)
    assert "2 images cannot be read: red/broken.jpg (broken.jpg is not an image)" in found["unreadable_images"]
    assert "notes.txt" in found["ignored_files"]


def test_paths_that_leave_the_folder_are_refused(photos: Path) -> None:
    for name in ("../secret.png", "/etc/passwd.png"):
        (photos / "metadata.csv").write_text(f"file,label\nred/0.png,a\n{name},b\n")
        with pytest.raises(DataError, match="outside its folder"):
            hs.read(photos)


def test_arrays_with_many_bands(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for n in range(3):
            np.save(tmp_path / label / f"{n}.npy", np.random.default_rng(n).random((8, 8, 5)).astype(np.float32))
    assert hs.read(tmp_path).channels == 5
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "three.png")
    with pytest.raises(DataError, match="differ in their number of channels"):
        hs.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("nowhere/at/all", {}, "does not exist"),
        ([], {}, "the list is empty"),
        (5, {}, "not data that can be read"),
        (None, {}, "not data that can be read"),
        (["a", "b"], {}, "carries no labels"),
        (["a b", "c d"], {"target": ["x"]}, "differ in number"),
        ([("a fine film", "a"), ("another", "b")], {"task": "nonsense"}, "kind of task is unknown"),
        ([("a fine film", "a"), ("another", "b")], {"input": "words"}, "no column 'words'"),
        ([("a fine film", "a"), ("another", "b")], {"group": "who"}, "no column 'who'"),
        ([{"x": 1, "label": "a"}, {"x": 2, "label": "b"}], {}, "no column holds texts"),
        ([{"text": "a b", "x": "p", "y2": "q"}], {}, "no column is plainly the target"),
        ([{"one": "a b c", "two": "d e f", "label": "x"}], {}, "more than one column could be the input"),
        ([{"text": "a b", "label": "x", "split": "holdout"}], {}, "in no known split"),
        ([("a", None), ("b", None)], {}, "none of the 2 examples"),
    ],
)
def test_what_cannot_be_read_says_so(data: object, options: dict[str, str], words: str) -> None:
    with pytest.raises((DataError, OptionError), match=words):
        hs.read(data, **options)  # type: ignore[arg-type]


def test_one_class_only() -> None:
    with pytest.raises(DataError, match="only one class in 'label': nothing to learn"):
        hs.check(hs.read([("a fine film", "a"), ("another", "a")]))


def test_a_name_of_every_row_is_no_label() -> None:
    with pytest.raises(DataError, match="too many labels") as caught:
        hs.read([(f"text {n}", f"name {n}") for n in range(10_000)])
    assert caught.value.got == "10,000, such as 'name 0'"


def test_cells() -> None:
    assert [as_label(cell) for cell in (1.0, 1, "1", True, 2.5)] == ["1", "1", "1", "True", "2.5"]
    assert [is_missing(cell) for cell in (None, float("nan"), " ", "NA", 0, [], np.nan)] == [
        True,
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert json.loads("1") == 1


def test_a_row_with_more_cells_than_the_header_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,label\n"fine, really",pos\ngreat film, and more,pos\n')
    with pytest.raises(DataError, match=r"line 3 of t\.csv .* more cells than the header"):
        hs.read(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", [".TSV", ".JSONL", ".PARQUET"])
def test_suffixes_in_capitals(suffix: str, reviews: Path, tmp_path: Path) -> None:
    frame, path = pd.read_csv(reviews), tmp_path / f"T{suffix}"
    if suffix == ".TSV":
        frame.to_csv(path, sep="\t", index=False)
    elif suffix == ".JSONL":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    assert hs.read(path).inputs == hs.read(reviews).inputs


def test_columns_named_by_numbers() -> None:
    frame = pd.DataFrame([["a fine film", "x"], ["a dull film", "y"]])
    assert hs.read(frame, input="0", target="1").values == ("x", "y")


def test_unlabelled_rows_of_a_datasets_set_are_missing() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["n", "p"])})
    made = datasets.Dataset.from_dict({"text": ["one a", "two b", "three c"], "label": [-1, 0, 1]}, features=features)
    assert hs.read(made).values == ("n", "p")


def test_linked_class_folders_and_files_are_read(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    (root / "own").mkdir(parents=True)
    (root / "red").symlink_to(photos / "red", target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "own" / "one.png").symlink_to(photos / "blue" / "1.png")
    (root / "own" / "two.png").symlink_to(photos / "blue" / "2.png")
    (root / "own" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    data = hs.read(root)
    assert (len(data), data.task.labels) == (10, ("own", "red"))
    assert "gone.png does not exist" in codes(data)["unreadable_images"]


def test_names_that_are_not_unicode_are_read(photos: Path) -> None:
    (photos / "red" / "0.png").rename(os.fsdecode(os.fsencode(photos / "red") + b"/\xff\xfe.png"))
    assert len(hs.read(photos)) == 16


def test_images_inside_parquet_files(photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    rows = [{"image": {"bytes": path.read_bytes(), "path": None}, "label": path.parent.name} for path in files]
    rows.append({"image": {"bytes": b"no picture", "path": None}, "label": "red"})
    pd.DataFrame(rows).to_parquet(tmp_path / "p.parquet")
    data = hs.read(tmp_path / "p.parquet")
    assert len(data) == 16
    assert "row 17 (a picture is not an image)" in codes(data)["unreadable_images"]
    model = hs.adapt(data)
    answers = model.predict(tmp_path / "p.parquet")
    assert [answer.error is None for answer in answers] == [True] * 16 + [False]


def test_marks_of_missing_numbers_are_no_classes() -> None:
    rows = [
        {"text": f"text {n} of {n * 7919}", "label": value} for n, value in enumerate(["0", "1", "NA", "?", "1", "0"])
    ]
    data = hs.read(rows)
    assert data.task.labels == ("0", "1")
    words = [{**row, "label": {"0": "no", "1": "yes"}.get(row["label"], "null")} for row in rows]
    assert "null in 'label'" in codes(hs.read(words))["missing_marks"]


def test_a_test_part_without_labels_is_none() -> None:
    rows = [
        {
            "text": f"text {n} of {n * 7919}",
            "label": "ab"[n % 2] if n < 12 else "",
            "split": "train" if n < 12 else "test",
        }
        for n in range(16)
    ]
    data = hs.read(rows)
    assert data.given is None
    assert "the given split leaves only a train part with labels" in data.notes


def test_a_table_without_a_header_is_suspected(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a fine film,pos\nanother film,pos\na third film,neg\n")
    found = codes(hs.read(tmp_path / "t.csv"))
    assert "lack a header" in found["header_missing"]


def test_splits_with_a_name_before_them_and_other_folders(photos: Path) -> None:
    for part in ("seg_train", "seg_test", "extra"):
        (photos / part).mkdir()
        for colour in ("red", "blue"):
            (photos / part / colour).mkdir()
            picture(len(part), colour).save(photos / part / colour / "p.png")
    for colour in ("red", "blue"):
        shutil.rmtree(photos / colour)
    data = hs.read(photos)
    assert data.task.labels == ("blue", "red")
    assert len(data.given_part("test")) == 2
    assert "2 files passed over" in codes(data)["ignored_files"]


def test_a_given_test_set_is_what_split_gives_and_is_never_learned_from() -> None:
    rows = [
        {"text": f"text {n} of {n * 7919}", "label": "ab"[n % 2], "split": ["train", "val", "test"][n % 3]}
        for n in range(30)
    ]
    data = hs.read(rows)
    train, test = data.split(test=0.5, seed=3)
    assert (len(train), len(test)) == (20, 10)
    model = hs.adapt(data, backbone="wordllama")
    assert model.record["n"] == {"train": 10, "validation": 10}
    assert model.record["chosen_on"] == "the validation set"
    assert hs.evaluate(model, test).n == 10
    with pytest.raises(DataError, match="no train part"):
        hs.adapt(test, backbone="wordllama")


@pytest.mark.parametrize(
    ("rows", "is_medical"),
    [
        ([{"text": "a b", "label": "x", "patient_id": "1"}, {"text": "c d", "label": "y", "patient_id": "2"}], True),
        ([{"text": "a b", "label": "pneumonia"}, {"text": "c d", "label": "normal"}], True),
        ([{"text": "a b", "label": "impatient"}, {"text": "c d", "label": "calm"}], False),
        ([{"text": "a b", "label": "x", "ChestXRay": "1"}, {"text": "c d", "label": "y", "ChestXRay": "2"}], True),
        ([{"text": "a " * 40, "label": "O " * 39 + "B-Disease"}, {"text": "c d", "label": "O O"}], True),
        (
            [{"text": "a b", "label": "a net for cancer"}] + [{"text": f"c {n}", "label": f"{n} " * 40} for n in "de"],
            False,
        ),
    ],
)
def test_what_looks_like_medicine_is_said_not_to_be_for_clinical_use(
    rows: list[dict[str, str]], is_medical: bool
) -> None:
    assert ("not_for_clinical_use" in codes(hs.read(rows, input="text", target="label"))) is is_medical
