"""The section data: sources of a task with every default written out, and data that are given in Python."""

from __future__ import annotations

from typing import Any

import pandas
import pytest

from limbeck.data import ImageSet, TextSet
from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.data_sources import load_object, load_source, parse_data, resolve_object, resolve_source
from limbeck.tasks import (
    ImageClassification,
    Regression,
    TabularClassification,
    TextClassification,
    TokenClassification,
)
from refusals import refused

FRAME = pandas.DataFrame({"review": ["good", "bad", "fine", "poor"], "verdict": ["yes", "no", "yes", None]})


def test_defaults_of_reader_rows_and_labels_are_written_out() -> None:
    assert resolve_source(TextClassification, {"use": "csv", "file": "a.csv", "label": ["x", "y"]}, "data") == {
        "use": "csv",
        "file": "a.csv",
        "validation_file": None,
        "test_file": None,
        "text": "text",
        "pair": None,
        "label": ["x", "y"],
        "multi_label": False,
        "separator": None,
        "skip": False,
    }
    assert resolve_source(ImageClassification, "digits", "data") == {"use": "digits"}


@pytest.mark.parametrize(
    ("task", "spec", "code", "path"),
    [
        (TextClassification, {"use": "csv"}, "missing", "data.file"),
        (TextClassification, {"use": "csv", "file": 5}, "wrong_type", "data.file"),
        (TextClassification, {"use": "csv", "file": "a", "skp": True}, "unknown_name", "data.skp"),
        (TextClassification, {"use": "txt", "file": "a", "label": "b"}, "unknown_name", "data.label"),
        (TokenClassification, {"use": "conll", "file": "a", "tags": "b"}, "wrong_type", "data.tags"),
        (TextClassification, {"use": "digits"}, "unsupported", "data"),
        (TextClassification, {"file": "a"}, "missing", "data"),
    ],
)
def test_a_section_that_cannot_be_with_its_place(task: Any, spec: Any, code: str, path: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_source(task, spec, "data")
    assert (caught.value.code, caught.value.path) == (code, path)


@pytest.mark.parametrize(
    ("task", "spec", "message"),
    [
        (TextClassification, {"use": "csv"}, "data: csv needs 'file'; give it a value of type str"),
        (TextClassification, {"use": "csv", "file": "a", "skp": True}, "data: csv takes no 'skp'. Did you mean 'skip'"),
        (TextClassification, {"use": "digits"}, "data: the source 'digits' has other rows than this task takes"),
        (TextClassification, {"file": "a"}, "data is {'file': 'a'}; write a name, or {use: NAME} with its options"),
    ],
)
def test_a_section_that_cannot_be(task: Any, spec: Any, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_source(task, spec, "data")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("task", "name", "code", "path", "fitting"),
    [
        (TabularClassification, "diabetes", "out_of_range", "data.test", "regression"),
        (ImageClassification, "diabetes", "unsupported", "data", "regression"),
        (Regression, "breast_cancer", "wrong_type", "data", "tabular_classification"),
        (ImageClassification, "breast_cancer", "unsupported", "data", "tabular_classification"),
        (TabularClassification, "digits", "unsupported", "data", "image_classification or regression"),
    ],
)
def test_the_task_that_fits_is_named(task: Any, name: str, code: str, path: str, fitting: str) -> None:
    with refused(LimbeckError, code, path, match=rf"he task that fits these data is {fitting}\.?$"):
        parse_data({"use": name}, task, False).load(task)


def test_too_few_rows_for_their_classes_name_no_other_task() -> None:
    with pytest.raises(LimbeckError) as caught:
        parse_data({"use": "digits", "test": 0.001}, ImageClassification, False).load(ImageClassification)
    assert "task" not in str(caught.value)


@pytest.mark.parametrize("option", ["test", "validation"])
def test_a_file_in_place_of_a_share_is_met_with_the_option_for_files(option: str) -> None:
    given = {"use": "csv", "file": "a.csv", option: "b.csv"}
    with refused(RecipeError, "wrong_type", f"data.{option}", match=rf"another file are {option}_file: b\.csv"):
        parse_data(given, TextClassification, False)


def test_what_a_source_refuses_is_told_with_its_place() -> None:
    spec = resolve_source(ImageClassification, {"use": "image_folder", "folder": "x", "size": 0}, "data.unlabelled")
    with pytest.raises(RecipeError, match=r"data\.unlabelled: size is 0"):
        load_source(ImageClassification, spec, "data.unlabelled")


def test_a_data_frame_is_read_by_the_options_of_the_section() -> None:
    spec = resolve_object(TextClassification, {"text": "review", "label": "verdict"})
    assert (spec["use"], spec["pair"], spec["skip"]) == ("object", None, False)
    data = load_object(TextClassification, {"train": FRAME, "test": FRAME[:2]}, spec)
    assert data["train"].target.tolist() == [1, 0, 1, -100]
    assert data["test"].texts == [("good",), ("bad",)]
    with pytest.raises(RecipeError, match=r"data: data from Python takes no 'txet'\. Did you mean 'text'"):
        resolve_object(TextClassification, {"txet": "review"})


def test_other_objects_are_those_of_the_task() -> None:
    sets = {
        "train": load_object(TextClassification, FRAME, {"use": "object", "text": "review", "label": None})["train"]
    }
    assert isinstance(sets["train"], TextSet)
    assert load_object(TextClassification, sets, {"use": "object"}) == sets
    digits = load_source(ImageClassification, {"use": "digits"}, "data")
    assert isinstance(load_object(ImageClassification, digits, {"use": "object"})["train"], ImageSet)
