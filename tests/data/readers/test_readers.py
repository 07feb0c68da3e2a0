"""Texts from files: against readers of others, and what is refused or skipped."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets.arrow_writer import ArrowWriter

from data.record_files import WRITERS, texts, to_csv, to_jsonl
from limbeck.data import TextSet
from limbeck.data.readers import Objects, reader_of
from limbeck.errors import ArgumentError, DataError
from refusals import refused

ROWS: list[dict[str, Any]] = [
    {"text": "a good film", "label": "yes"},
    {"text": 'said "no",\nthen left', "label": "no"},
    {"text": "Überraschend, 良い", "label": "yes"},
    {"text": "of no label", "label": None},
]


def labels(data: TextSet) -> list[str | None]:
    return [None if number == -100 else data.classes[number] for number in data.target.tolist()]


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_read_as_datasets_reads_it(name: str, tmp_path: Path) -> None:
    file = WRITERS[name](tmp_path / f"rows.{name}", ROWS)
    data = texts(name, file=str(file)).load()["train"]
    # `load_dataset` would ask a server first, also for a file.
    read = {"csv": "from_csv", "jsonl": "from_json", "parquet": "from_parquet"}[name]
    theirs = getattr(datasets.Dataset, read)(str(file), cache_dir=str(tmp_path / "cache"))
    assert [row for (row,) in data.texts] == theirs["text"][:]
    assert labels(data) == [label or None for label in theirs["label"]]
    assert data.classes == ("no", "yes")
    assert data.index.tolist() == [0, 1, 2, 3]


def test_a_data_set_saved_to_disk_names_its_classes(tmp_path: Path) -> None:
    features = datasets.Features({"a": datasets.Value("string"), "b": datasets.Value("string")})
    features["label"] = datasets.ClassLabel(names=["same", "other", "unused"])
    rows = {"a": ["x", "y", "z"], "b": ["p", "q", "r"], "label": [1, 0, -1]}
    train = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": train, "dev": train}).save_to_disk(str(tmp_path / "saved"))
    source = texts("datasets", name=str(tmp_path / "saved"), validation_split="dev", text="a", pair="b")
    sets = source.load()
    assert sets["train"].classes == ("same", "other", "unused")
    assert sets["train"].texts == [("x", "p"), ("y", "q"), ("z", "r")]
    assert sets["train"].target.tolist() == [1, 0, -100]
    assert sets["validation"].index.tolist() == [3, 4, 5]


@pytest.mark.parametrize("name", ["no_such/folder/anywhere", "./missing", "/missing/folder"])
def test_a_missing_folder_is_told_in_one_line_without_a_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(datasets, "load_dataset", asked)
    with pytest.raises(DataError, match=f"no folder {name}; give one that save_to_disk wrote") as caught:
        texts("datasets", name=name).load()
    assert "\n" not in str(caught.value)


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `datasets` keeps what it has fetched, on a machine without a network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_data_set_is_found_by_name(fetched: Path) -> None:
    folder = fetched / "owner___reviews" / "short" / "0.0.0" / ("a" * 40)
    folder.mkdir(parents=True)
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    splits = {"train": [("a good film", 1), ("left", 0)], "held": [("fine", 1)]}
    for split, rows in splits.items():
        with ArrowWriter(features=features, path=str(folder / f"reviews-{split}.arrow")) as writer:
            for text, label in rows:
                writer.write({"text": text, "label": label})
            writer.finalize()
    described = {
        "features": features,
        "builder_name": "parquet",
        "dataset_name": "reviews",
        "config_name": "short",
        "version": "0.0.0",
        "splits": {split: {"name": split, "num_bytes": 1, "num_examples": len(rows)} for split, rows in splits.items()},
    }
    datasets.DatasetInfo(**described).write_to_directory(str(folder))
    found = texts("datasets", name="owner/reviews", config="short", test_split="held").load()
    assert {split: (data.texts, labels(data)) for split, data in found.items()} == {
        "train": ([("a good film",), ("left",)], ["yes", "no"]),
        "test": ([("fine",)], ["yes"]),
    }


def test_a_data_set_that_cannot_be_fetched_is_told_in_one_line(fetched: Path) -> None:
    with refused(
        DataError, "unreadable", "owner/nonesuch", match=r"^the data set 'owner/nonesuch' cannot be loaded \("
    ):
        texts("datasets", name="owner/nonesuch").load()


BAD: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "empty": ("jsonl", [{"text": " \t", "label": 0}], "the column 'text' is empty"),
    "nothing": ("jsonl", [{"text": None, "label": 0}], "the column 'text' holds nothing, not text"),
    "number": ("jsonl", [{"text": 5, "label": 0}], "the column 'text' holds a int, not text"),
    "lone surrogate": ("jsonl", [{"text": "\ud800", "label": 0}], "the column 'text' is not UTF-8"),
    "float label": ("jsonl", [{"text": "b", "label": 0.5}], "the column 'label' holds a float"),
    "list label": ("parquet", [{"text": "b", "label": [1]}], "the column 'label' holds a list"),
    "true": ("jsonl", [{"text": "b", "label": True}], "the column 'label' holds a bool"),
    "another type": ("jsonl", [{"text": "b", "label": "0"}], "the label is a str, that of the first row a int"),
    "empty csv": ("csv", [{"text": "", "label": "no"}], "the column 'text' is empty"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("skip", [False, True])
def test_a_wrong_row_is_refused_by_file_and_number_or_skipped_and_counted(
    case: str, skip: bool, tmp_path: Path
) -> None:
    kind, bad, reason = BAD[case]
    good = {
        "jsonl": [{"text": "a", "label": 0}, {"text": "c", "label": 1}],
        "csv": [{"text": "a", "label": "no"}, {"text": "c", "label": "yes"}],
        "parquet": [],
    }[kind]
    file = WRITERS[kind](tmp_path / "rows", [*good[:1], *bad, *good[1:]])
    read = texts(kind, file=str(file), skip=skip)
    number = len(good[:1]) + 1
    if not skip:
        with pytest.raises(DataError) as caught:
            read.load()
        assert str(caught.value).startswith(f"{file}, row {number}: {reason}")
        assert (caught.value.code, caught.value.path) == ("invalid_row", f"{file}, row {number}")
        assert "\n" not in str(caught.value)
    elif good:
        data = read.load()["train"]
        assert [text for (text,) in data.texts] == ["a", "c"]
        # Rows keep their numbers.
        assert data.index.tolist() == [0, 2]
        assert data.skipped == (data.skipped[0],)
        assert data.skipped[0].startswith(f"{file}: 1 rows skipped, 1 because {reason}")


@pytest.mark.parametrize(
    ("kind", "reason"), [("csv", "the column 'text' is not UTF-8"), ("jsonl", "the line is not UTF-8")]
)
def test_bytes_that_are_not_utf_8(kind: str, reason: str, tmp_path: Path) -> None:
    rows = [{"text": "erstens", "label": "a"}, {"text": "größer", "label": "b"}, {"text": "c", "label": "b"}]
    file = WRITERS[kind](tmp_path / "rows", rows)
    if kind == "jsonl":
        file.write_text(file.read_text().encode().decode("unicode_escape"), encoding="latin-1")
    else:
        file.write_text(file.read_text(encoding="utf-8"), encoding="latin-1")
    with refused(DataError, "invalid_row", f"{file}, row 2", match=f"row 2: {reason}"):
        texts(kind, file=str(file)).load()
    assert [text for (text,) in texts(kind, file=str(file), skip=True).load()["train"].texts] == ["erstens", "c"]


@pytest.mark.parametrize("line", ["{", "[1, 2]", '"text"'])
def test_a_line_that_is_no_object(line: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"text": "a", "label": 1}}\n{line}\n')
    with refused(DataError, "invalid_row", f"{file}, row 2"):
        texts("jsonl", file=str(file)).load()


def test_a_row_of_other_columns_and_a_column_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\na,1\nb,0,9\n")
    with refused(DataError, "invalid_row", f"{file}, row 2", match=r"it has other columns than the first line"):
        texts("csv", file=str(file)).load()
    with refused(DataError, "unknown_name", file, match=r"has no column 'txet'\. Did you mean 'text'"):
        texts("csv", file=str(file), text="txet", skip=True).load()
    with refused(DataError, "not_found", tmp_path / "none.csv"):
        texts("csv", file=str(tmp_path / "none.csv")).load()


def test_labels_of_other_files_are_those_of_the_training_rows(tmp_path: Path) -> None:
    train = to_jsonl(tmp_path / "train.jsonl", [{"text": "a", "label": 10}, {"text": "b", "label": 9}])
    test = to_jsonl(tmp_path / "test.jsonl", [{"text": "c", "label": 9}, {"text": "d", "label": 11}])
    with refused(DataError, "invalid_row", f"{test}, row 2", match="label 11 does not occur in the training rows"):
        texts("jsonl", file=str(train), test_file=str(test)).load()
    sets = texts("jsonl", file=str(train), test_file=str(test), skip=True).load()
    # As numbers, not as text.
    assert sets["train"].classes == ("9", "10")
    assert (sets["test"].target.tolist(), sets["test"].index.tolist()) == ([0], [2])


def test_two_dashes_and_a_number_are_a_name(tmp_path: Path) -> None:
    file = to_jsonl(tmp_path / "rows.jsonl", [{"text": "a", "label": "--1"}, {"text": "b", "label": "2"}])
    assert texts("jsonl", file=str(file)).load()["train"].classes == ("--1", "2")


def test_a_file_without_labels(tmp_path: Path) -> None:
    data = texts("jsonl", file=str(to_jsonl(tmp_path / "plain.jsonl", [{"text": "a"}])), label=None).load()["train"]
    assert (data.classes, data.target.tolist()) == ((), [-100])


def test_the_limit_of_csv_is_as_before_where_a_row_is_refused(tmp_path: Path) -> None:
    file = to_csv(tmp_path / "rows.csv", [{"text": "", "label": "no"}, {"text": "b", "label": "yes"}])
    before = csv.field_size_limit()
    with pytest.raises(DataError, match="is empty") as caught:
        texts("csv", file=str(file)).load()
    # With the exception, its frames are still there.
    assert caught.value.__traceback__ is not None
    assert csv.field_size_limit() == before


def test_a_long_cell_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    before = csv.field_size_limit()
    file.write_text("\ufefftext,label\n" + "long " * 60_000 + ",1\nb,0\n", encoding="utf-8")
    assert len(texts("csv", file=str(file)).load()["train"].texts[0][0]) == 300_000
    assert csv.field_size_limit() == before


def test_a_header_that_is_not_utf_8_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\na,yes\nb,no\n", encoding="utf-16")
    with refused(DataError, "unreadable", f"{file}, line 1", match="the names of the columns are not UTF-8"):
        texts("csv", file=str(file)).load()


def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n', encoding="utf-8-sig")
    assert [text for (text,) in texts("jsonl", file=str(file)).load()["train"].texts] == ["a", "b"]


def test_a_damaged_block_of_a_parquet_file_is_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    table = pa.table({"text": [f"row {number}" for number in range(200)], "label": [0, 1] * 100})
    pyarrow.parquet.write_table(table, file, compression="snappy")
    whole = file.read_bytes()
    file.write_bytes(whole[:300] + bytes(400) + whole[700:])
    with refused(DataError, "damaged", file, match=r"rows\.parquet is damaged \(.+\); write it again"):
        texts("parquet", file=str(file)).load()


@pytest.mark.parametrize(("file", "name"), [("a/rows.CSV", "csv"), ("b.jsonl", "jsonl"), ("c.conll", "conll")])
def test_a_reader_is_found_by_the_ending_of_a_file(file: str, name: str) -> None:
    assert reader_of(file) == name


def test_a_file_that_no_reader_knows() -> None:
    with refused(ArgumentError, "unsupported", "rows.parqet", match=r"no reader for .* Did you mean '\.parquet'"):
        reader_of("rows.parqet")


def test_columns_of_pyarrow_and_lists_of_mappings_are_records() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
    for table in (rows, pa.Table.from_pylist(rows)):
        assert [record for _, record in Objects({"train": table}).records()["train"]] == rows
    for wrong in (5, "text", [], {"train": [1, 2]}):
        with refused(ArgumentError, "wrong_type", "data"):
            Objects(wrong)
