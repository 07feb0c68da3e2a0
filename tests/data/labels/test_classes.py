"""Rows of several classes from files: what each way of writing them means, and what is refused or skipped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from data.record_files import WRITERS, texts, to_jsonl
from limbeck.data import TextSet, split
from limbeck.errors import ArgumentError, DataError
from refusals import refused

TOPICS: list[list[str] | None] = [["war", "trade"], [], ["trade"], None, ["art"]]
EXPECTED = [[0, 1, 1], [0, 0, 0], [0, 1, 0], [-100, -100, -100], [1, 0, 0]]

Rows = list[dict[str, Any]]


def lists() -> Rows:
    return [{"text": f"row {number}", "topics": topics} for number, topics in enumerate(TOPICS)]


def separated(rows: Rows) -> Rows:
    """With a semicolon; alone it is no class, nothing at all is no label."""
    topics = [row["topics"] for row in rows]
    told = ["" if held is None else "; ".join(held) or " ; " for held in topics]
    return [{**row, "topics": text} for row, text in zip(rows, told, strict=True)]


def columns(rows: Rows, empty: Any = None) -> Rows:
    names = ("art", "trade", "war")
    return [
        {
            "text": row["text"],
            **{name: empty if row["topics"] is None else int(name in row["topics"]) for name in names},
        }
        for row in rows
    ]


def check(data: TextSet) -> None:
    assert data.classes == ("art", "trade", "war")
    assert data.target.tolist() == EXPECTED
    assert data.labelled.tolist() == [True, True, True, False, True]
    assert data.counts.tolist() == [1, 2, 1]
    assert data.strata.tolist() == [2, 3, 1, -100, 0]


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_lists(name: str, tmp_path: Path) -> None:
    file = WRITERS[name](tmp_path / "rows", lists())
    check(texts(name, file=str(file), label="topics", multi_label=True).load()["train"])


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_text_with_a_separator(name: str, tmp_path: Path) -> None:
    file = WRITERS[name](tmp_path / "rows", separated(lists()))
    check(texts(name, file=str(file), label="topics", separator=";").load()["train"])


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_a_column_for_each_class(name: str, tmp_path: Path) -> None:
    file = WRITERS[name](tmp_path / "rows", columns(lists()))
    check(texts(name, file=str(file), label=("art", "trade", "war")).load()["train"])


def test_columns_stand_in_the_order_of_the_recipe_and_hold_truth_values_too(tmp_path: Path) -> None:
    rows = [{"text": "a", "war": True, "art": 0.0}, {"text": "b", "war": False, "art": 1.0}]
    data = texts("jsonl", file=str(to_jsonl(tmp_path / "rows", rows)), label=("war", "art")).load()["train"]
    assert data.classes == ("war", "art")
    assert data.target.tolist() == [[1, 0], [0, 1]]


def test_whole_numbers_are_names_in_rising_order(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": [10, 9]}, {"text": "b", "label": [9]}]
    data = texts("jsonl", file=str(to_jsonl(tmp_path / "rows", rows)), multi_label=True).load()["train"]
    assert data.classes == ("9", "10")
    assert data.target.tolist() == [[1, 1], [1, 0]]


def test_a_data_set_names_the_classes_in_its_lists(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["war", "trade", "art"])
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Sequence(names)})
    rows = {"text": ["a", "b", "c"], "label": [[1, 0], [], [2]]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    data = texts("datasets", name=str(tmp_path / "saved"), multi_label=True).load()["train"]
    assert data.classes == ("war", "trade", "art")
    assert data.target.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


BAD: dict[str, tuple[dict[str, Any], Any, str]] = {
    "text": ({}, "war", "the column 'label' holds a str, not a list; of text, name the separator"),
    "one number": ({}, 1, "the column 'label' holds a int, not a list"),
    "twice": ({}, ["war", "war"], "the column 'label' names the class 'war' twice; of columns with 0 and 1, name each"),
    "a number among text": ({}, ["war", 1], "the label is a int, that of the first row a str"),
    "no name": ({}, [""], "the column 'label' holds a class without a name"),
    "fraction": ({}, [0.5], "the column 'label' holds a float, not text or a whole number"),
    "NaN": ({}, math.nan, "the column 'label' holds a float, not a list"),
    "NaN within": ({}, [math.nan], "the column 'label' holds a float, not text"),
    "truth": ({}, [True], "the column 'label' holds a bool, not text"),
    "nothing within": ({}, [None], "the column 'label' holds a NoneType, not text"),
    "list in a list": ({}, [["war"]], "the column 'label' holds a list, not text or a whole number"),
    "surrogate": ({}, ["\ud800"], "the column 'label' is not UTF-8"),
    "list with a separator": (
        {"separator": ";"},
        ["war"],
        "the column 'label' holds a list, not text with a separator",
    ),
    "two separators": ({"separator": ";"}, "war;;art", "the column 'label' holds a class without a name"),
    "twice with a separator": ({"separator": ";"}, "war; war", "the column 'label' names the class 'war' twice"),
    "two": ({"label": ("label", "other")}, 2, "the column 'label' holds 2, not 0 or 1"),
    "yes": ({"label": ("label", "other")}, "yes", "the column 'label' holds 'yes', not 0 or 1"),
    "NaN in a column": ({"label": ("label", "other")}, math.nan, "the column 'label' holds nan, not 0 or 1"),
    "half empty": ({"label": ("label", "other")}, None, "the column 'label' is empty and others of label are not"),
    "list in a column": ({"label": ("label", "other")}, [1], r"the column 'label' holds [1], not 0 or 1"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("skip", [False, True])
def test_a_wrong_row_is_refused_by_file_and_number_or_skipped_and_counted(
    case: str, skip: bool, tmp_path: Path
) -> None:
    options, bad, reason = BAD[case]
    good = [["war", "art"], ["art"]]
    if "separator" in options:
        good = [";".join(one) for one in good]  # type: ignore[misc]
    if "label" in options:
        good = [1, 0]  # type: ignore[list-item]
    rows = [{"text": "a", "label": label, "other": 1} for label in (good[0], bad, good[1])]
    file = to_jsonl(tmp_path / "rows", rows)
    source = texts("jsonl", file=str(file), skip=skip, **{"multi_label": "label" not in options, **options})
    if not skip:
        with pytest.raises(DataError) as caught:
            source.load()
        assert str(caught.value).startswith(f"{file}, row 2: {reason}")
        return
    data = source.load()["train"]
    assert data.index.tolist() == [0, 2]
    assert data.skipped[0].startswith(f"{file}: 1 rows skipped, 1 because {reason}")


def test_a_class_that_the_training_rows_do_not_have(tmp_path: Path) -> None:
    train = to_jsonl(tmp_path / "train", [{"text": "a", "label": ["war"]}, {"text": "b", "label": ["art"]}])
    test = to_jsonl(tmp_path / "test", [{"text": "a", "label": ["war", "peace"]}, {"text": "b", "label": ["art"]}])
    given = {"file": str(train), "test_file": str(test), "multi_label": True}
    with pytest.raises(DataError, match=r"test, row 1: the label 'peace' does not occur in the training rows"):
        texts("jsonl", **given).load()
    assert len(texts("jsonl", **given, skip=True).load()["test"]) == 1


def test_a_missing_column_is_told_with_the_nearest(tmp_path: Path) -> None:
    file = to_jsonl(tmp_path / "rows", columns(lists(), empty=0))
    with pytest.raises(DataError, match=r"has no column 'trad'\. Did you mean 'trade'"):
        texts("jsonl", file=str(file), label=("war", "trad")).load()


@pytest.mark.parametrize(
    ("options", "code", "path"),
    [
        ({"label": ("one",)}, "too_few", "label"),
        ({"label": ()}, "too_few", "label"),
        ({"label": ("a", "a")}, "duplicate", "label"),
        ({"label": ("a", "b"), "separator": ";"}, "conflict", "separator"),
        ({"label": None, "separator": ";"}, "conflict", "separator"),
        ({"label": None, "multi_label": True}, "conflict", "multi_label"),
        ({"separator": " "}, "out_of_range", "separator"),
        ({"separator": ""}, "out_of_range", "separator"),
    ],
)
def test_options_that_do_not_go_together_with_its_place(options: dict[str, Any], code: str, path: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        texts("csv", file="rows.csv", **options)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": ("one",)}, r"label is \['one'\]; give at least two different columns"),
        ({"label": ("a", "b"), "separator": ";"}, "separator is for one column of classes"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        texts("csv", file="rows.csv", **options)


def test_without_the_word_a_list_is_refused_and_the_word_is_named(tmp_path: Path) -> None:
    file = to_jsonl(tmp_path / "rows", lists()[:1])
    with pytest.raises(DataError, match=r"row 1: .* holds a list, .* with multi_label: true a row may have several"):
        texts("jsonl", file=str(file), label="topics").load()


def test_unlabelled_rows_join_those_of_several_classes(tmp_path: Path) -> None:
    data = texts("jsonl", file=str(to_jsonl(tmp_path / "rows", lists())), label="topics", multi_label=True).load()[
        "train"
    ]
    others = texts("jsonl", file=str(to_jsonl(tmp_path / "more", [{"text": "x"}])), label=None).load()["train"]
    joined = data.with_unlabelled(others)
    assert joined.target.tolist() == [*EXPECTED, [-100, -100, -100]]
    assert joined.labelled.tolist() == [True, True, True, False, True, False]


def made(rows: int) -> TextSet:
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(rows, 4, generator=generator) < torch.tensor([0.5, 0.3, 0.1, 0.05])).long()
    return TextSet.of([("a",)] * rows, target, ("a", "b", "c", "d"))


def test_splits_and_kept_labels_take_their_share_of_every_class() -> None:
    data = made(400)
    parts = split({"train": data}, validation=0.2, test=0.25, seed=0)
    for part, share in ((parts.validation, 0.2), (parts.test, 0.25)):
        assert len(part) == round(share * 400)
        assert (part.counts - share * data.counts).abs().max() < 6
        assert part.counts.min() >= 1
        assert abs(int((part.target.sum(1) == 0).sum()) - share * int((data.target.sum(1) == 0).sum())) < 2
    few, kept = data.with_labels(40, seed=0)
    assert int(kept.sum()) == int(few.labelled.sum()) == 40
    assert few.counts.min() >= 1
    assert torch.equal(few.target[kept], data.target[kept])
    assert (few.target[~kept] == -100).all()


@pytest.mark.parametrize(
    ("target", "code", "path"),
    [
        ([[1, 2]], "out_of_range", "row 0"),
        ([[1, -100]], "out_of_range", "row 0"),
        ([[1, 0, 0]], "wrong_shape", "target"),
    ],
)
def test_targets_that_cannot_be_right_with_its_place(target: list[list[int]], code: str, path: str) -> None:
    with pytest.raises(DataError) as refused:
        TextSet.of([("a",)], torch.tensor(target), ("a", "b"))
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([[1, 2]], r"row 0 has target \[1, 2\]; expected a 0 or 1 for each class"),
    ],
)
def test_targets_that_cannot_be_right(target: list[list[int]], message: str) -> None:
    with refused(DataError, "out_of_range", "row 0", match=message):
        TextSet.of([("a",)], torch.tensor(target), ("a", "b"))
