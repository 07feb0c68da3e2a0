"""What a recipe may name as its source: options of readers, row types and label types, and a reader from a plugin."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck import registry
from limbeck.data import (
    ClassLabels,
    FloatLabels,
    ImageSet,
    NoLabels,
    TableSet,
    TagLabels,
    TagSet,
    TextSet,
    from_objects,
    load,
    source_constructor,
    sources_for,
)
from limbeck.data.readers import FileReader, InvalidRow, Record
from limbeck.errors import ArgumentError, DataError
from refusals import refused

READERS = ["conll", "csv", "datasets", "jsonl", "parquet", "txt"]
FILES = ["file", "validation_file", "test_file"]


class MadeUp(FileReader):
    """A reader of a user's: `key=value; key=value` in each line."""

    def __init__(self, *, file: str, test_file: str | None = None, comment: str = "%") -> None:
        super().__init__(file=file, test_file=test_file)
        self.comment = comment

    def rows(self, file: Path) -> Iterator[Record | InvalidRow]:
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.startswith(self.comment):
                cells = [cell.split("=", 1) for cell in line.split("; ")]
                whole = all(len(cell) == 2 for cell in cells)
                yield dict(cells) if whole else InvalidRow(f"{line!r} is not key=value")


@pytest.fixture
def made_up() -> Iterator[None]:
    with registry.temporary():
        registry.register("reader", "made_up")(MadeUp)
        yield


def options(row_type: Any, label_type: Any, **spec: Any) -> dict[str, Any]:
    parameters = inspect.signature(source_constructor(row_type, label_type, spec)).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    ("row_type", "complete"),
    [
        (ImageSet, ["digits", "idx", "image_folder", "mnist5k", "npz"]),
        (TableSet, ["breast_cancer", "diabetes", "npz"]),
        (TextSet, []),
        (TagSet, []),
        ((TableSet, ImageSet), ["breast_cancer", "diabetes", "digits", "idx", "image_folder", "mnist5k", "npz"]),
    ],
)
def test_the_names_for_each_row_type(row_type: Any, complete: list[str]) -> None:
    assert list(sources_for(row_type)) == sorted([*complete, *READERS])


def test_the_options_are_those_of_reader_row_type_and_label_type() -> None:
    texts = ["text", "pair", "label", "multi_label", "separator", "skip"]
    assert list(options(TextSet, ClassLabels, use="csv")) == [*FILES, *texts]
    assert list(options(TagSet, TagLabels, use="jsonl")) == [*FILES, "words", "tags", "skip"]
    # The columns of these files have numbers.
    conll = options(TagSet, TagLabels, use="conll")
    assert (list(conll), conll["words"], conll["tags"]) == ([*FILES, "words", "tags", "skip"], 0, -1)
    # A line is a text without a label.
    assert list(options(TextSet, ClassLabels, use="txt")) == [*FILES, "skip"]
    assert list(options(TableSet, FloatLabels, use="csv")) == [
        *FILES,
        *("features", "categorical", "label", "unit", "skip"),
    ]
    assert list(options(ImageSet, NoLabels, use="csv"))[3:] == ["size", "image", "folder", "mode", "memory", "skip"]
    assert options(ImageSet, FloatLabels, use="digits") == {}


def test_a_recipe_chooses_one_of_several_row_types() -> None:
    both = (TableSet, ImageSet)
    assert "features" in options(both, FloatLabels, use="csv")
    assert options(both, FloatLabels, use="csv")["rows"] == "tables"
    assert "size" in options(both, FloatLabels, use="csv", rows="images")
    assert isinstance(load(both, FloatLabels, {"use": "digits"})["train"], ImageSet)
    assert isinstance(load(both, FloatLabels, {"use": "diabetes"})["train"], TableSet)


@pytest.mark.parametrize(
    ("row_type", "name", "message"),
    [
        (TextSet, "cvs", "no source or reader 'cvs'. Did you mean 'csv'?"),
        (TextSet, "digits", "the source 'digits' has other rows than this task takes, TextSet."),
        ((TableSet, ImageSet), "digit", "no source or reader 'digit'. Did you mean 'digits'?"),
    ],
)
def test_a_name_that_is_none(row_type: Any, name: str, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        source_constructor(row_type, ClassLabels, {"use": name})
    assert str(caught.value).startswith(message)


def test_an_option_that_is_none(tmp_path: Path) -> None:
    with refused(ArgumentError, "unknown_name", "txet", match=r"csv takes no 'txet'\. Did you mean 'text'"):
        load(TextSet, ClassLabels, {"use": "csv", "file": "x", "txet": "a"})
    with refused(ArgumentError, "unknown_name", "label"):
        load(TextSet, ClassLabels, {"use": "txt", "file": "x", "label": "a"})


def test_a_source_that_may_give_several_row_types_is_checked_once_it_is_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.zeros((4, 3)), y=np.array([0, 1, 0, 1]))
    spec = {"use": "npz", "file": str(tmp_path / "rows.npz")}
    assert load(TableSet, ClassLabels, spec)["train"].shape == (3, 0)
    with pytest.raises(DataError, match="npz: train is a TableSet; this task takes ImageSet"):
        load(ImageSet, ClassLabels, spec)


def test_a_reader_of_a_plugin_serves_every_row_type_of_records(made_up: None, tmp_path: Path) -> None:
    for number in range(4):
        Image.new("L", (6, 6), color=60 * number).save(tmp_path / f"{number}.png")
    lines = [f"name={n}.png; words=row {n}; kind={'ab'[n % 2]}; size={n}" for n in range(4)]
    (tmp_path / "rows").write_text("% made up\n" + "\n".join(lines), encoding="utf-8")
    made = {"use": "made_up", "file": str(tmp_path / "rows")}
    texts = load(TextSet, ClassLabels, {**made, "text": "words", "label": "kind"})["train"]
    assert (texts.texts[1], texts.classes, texts.target.tolist()) == (("row 1",), ("a", "b"), [0, 1, 0, 1])
    table = load(TableSet, FloatLabels, {**made, "features": ("kind",), "label": "size"})["train"]
    assert (table.categorical.tolist(), table.target.tolist()) == ([[1], [2], [1], [2]], [0.0, 1.0, 2.0, 3.0])
    reading = {"image": "name", "folder": str(tmp_path), "size": 3, "mode": "L"}
    images = load(ImageSet, FloatLabels, {**made, **reading, "label": "size", "unit": "mm"})["train"]
    assert images.images.take(torch.arange(4))[:, 0, 1, 1].tolist() == [0, 60, 120, 180]
    assert images.target.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert images.targets[0].unit == "mm"
    several = load(ImageSet, ClassLabels, {**made, **reading, "label": "kind", "separator": ";"})["train"]
    assert several.target.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_a_row_that_a_plugin_cannot_read_is_refused_or_skipped(made_up: None, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("text=a; label=x\nnothing\ntext=b; label=y", encoding="utf-8")
    made = {"use": "made_up", "file": str(tmp_path / "rows")}
    with pytest.raises(DataError, match="rows, row 2: 'nothing' is not key=value; mend the row, or say skip: true"):
        load(TextSet, ClassLabels, made)
    assert load(TextSet, ClassLabels, {**made, "skip": True})["train"].index.tolist() == [0, 2]


def test_images_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,label\nnone.png,a\n", encoding="utf-8")
    spec = {"use": "csv", "file": str(tmp_path / "rows.csv"), "folder": str(tmp_path), "size": 4}
    with pytest.raises(DataError, match=r"rows\.csv, row 1: no file .*none\.png; mend the row"):
        load(ImageSet, ClassLabels, spec)
    with pytest.raises(ArgumentError, match="size is 0"):
        load(ImageSet, ClassLabels, {**spec, "size": 0})


def test_objects_that_are_no_rows() -> None:
    with pytest.raises(ArgumentError, match=r"data is a int; give a data frame, a list of mappings, or \{'train': Tab"):
        from_objects(TableSet, FloatLabels, 5)
    sets = {"train": load(TableSet, FloatLabels, {"use": "diabetes"})["train"]}
    assert from_objects(TableSet, FloatLabels, sets) is sets
    with pytest.raises(ArgumentError, match="takes no 'lable'"):
        from_objects(TableSet, FloatLabels, [{"a": 1}], lable="a")
