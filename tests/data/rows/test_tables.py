"""Tables: columns against pandas and scikit-learn, what is refused, and rows of a second source."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.preprocessing import OrdinalEncoder

from data.record_files import WRITERS, to_csv, to_jsonl
from limbeck.data import ClassLabels, Column, FloatTarget, TableSet, source_constructor, split
from limbeck.errors import DataError


def tables(reader: str, **options: Any) -> Any:
    return source_constructor(TableSet, ClassLabels, {"use": reader})(**options)


def frame(rows: int, seed: int = 0) -> pandas.DataFrame:
    """Two columns of numbers with holes and two of categories, one of these with holes, and a label."""
    random = np.random.default_rng(seed)
    table = pandas.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "work": random.choice(["private", "state", "self-emp"], rows),
            "hours": random.normal(40, 9, rows),
            "country": random.choice(["US", "DE", "FR"], rows),
            "label": random.choice(["<=50K", ">50K"], rows),
        }
    )
    table["hours"] = table["hours"].where(random.random(rows) > 0.1)
    table["country"] = table["country"].where(random.random(rows) > 0.1)
    return table


def expected(table: pandas.DataFrame, train: pandas.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    names = ["work", "country"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    encoder.fit(train[names].dropna())
    return table[["age", "hours"]].to_numpy(np.float32), encoder.transform(table[names]).astype(np.int64) + 1


def same(data: TableSet, table: pandas.DataFrame, train: pandas.DataFrame) -> None:
    numbers, codes = expected(table, train)
    np.testing.assert_array_equal(data.numeric.numpy(), numbers)
    assert data.categorical.tolist() == codes.tolist()
    assert [data.classes[number] for number in data.target.tolist()] == table["label"].tolist()


@pytest.mark.parametrize("reader", WRITERS)
def test_columns_are_those_of_pandas_and_of_an_ordinal_encoder(reader: str, tmp_path: Path) -> None:
    train, test = frame(60), frame(20, seed=1)
    test.loc[0, "country"] = "NO"
    files = {}
    for name, table in (("file", train), ("test_file", test)):
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        files[name] = str(WRITERS[reader](tmp_path / name, rows))
    sets = tables(reader, **files).load()
    same(sets["train"], train, train)
    same(sets["test"], test, train)
    assert sets["test"].categorical[0, 1] == 0
    assert sets["train"].columns == (
        Column("age"),
        Column("work", ("private", "self-emp", "state")),
        Column("hours"),
        Column("country", ("DE", "FR", "US")),
    )
    assert (sets["train"].shape, sets["train"].codes) == ((2, 2), (4, 4))
    assert sets["test"].index.tolist() == list(range(60, 80))


def test_features_are_chosen_and_numbers_may_be_categories(tmp_path: Path) -> None:
    cells = (("02139", 3, "7.5", "a"), ("10", 12, "", "b"))
    rows = [dict(zip(("zip", "rooms", "size", "label"), row, strict=True)) for row in cells]
    file = str(to_jsonl(tmp_path / "rows", rows))
    data = tables("jsonl", file=file, features=("size", "rooms", "zip"), categorical=("zip", "rooms")).load()["train"]
    assert data.columns == (Column("size"), Column("rooms", ("3", "12")), Column("zip", ("10", "02139")))
    assert data.numeric.nan_to_num(-1).tolist() == [[7.5], [-1.0]]
    assert data.categorical.tolist() == [[1, 2], [2, 1]]
    plain = tables("jsonl", file=file).load()["train"]
    assert [column.is_numeric for column in plain.columns] == [True, True, True]


def test_cells_are_stripped_and_truth_values_are_categories(tmp_path: Path) -> None:
    rows = [{"a": " x ", "b": True, "c": 1.0, "label": "n"}, {"a": "x", "b": False, "c": 2, "label": "y"}]
    file = str(to_jsonl(tmp_path / "rows", rows))
    data = tables("jsonl", file=file, categorical=("c",)).load()["train"]
    assert [column.categories for column in data.columns] == [("x",), ("False", "True"), ("1", "2")]


BAD: dict[str, tuple[Any, str]] = {
    "list": ([1], "the column 'age' holds a list, not a number or text"),
    "infinite": (math.inf, "the column 'age' holds inf; expected a finite number of float32"),
    "large": (10**39, "the column 'age' holds 1000000000000000000000000000000000000000; expected a finite number"),
    "surrogate": ("\ud800", "the column 'age' is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_cell_that_cannot_be_is_refused_with_its_row_or_skipped(case: str, tmp_path: Path) -> None:
    value, reason = BAD[case]
    rows = [{"age": age, "label": label} for age, label in ((1, "a"), (value, "a"), (2.5, "b"))]
    file = to_jsonl(tmp_path / "rows", rows)
    with pytest.raises(DataError) as caught:
        tables("jsonl", file=str(file)).load()
    assert str(caught.value).startswith(f"{file}, row 2: {reason}")
    data = tables("jsonl", file=str(file), skip=True).load()["train"]
    assert (data.numeric.flatten().tolist(), data.index.tolist()) == ([1.0, 2.5], [0, 2])
    assert data.skipped[0].startswith(f"{file}: 1 rows skipped, 1 because {reason}")


def test_a_column_of_numbers_and_text_is_refused_with_a_row_of_text(tmp_path: Path) -> None:
    rows = [{"age": age, "label": "a" if age == "1" else "b"} for age in ("1", "", "1_000", "2")]
    file = to_csv(tmp_path / "rows.csv", rows)
    with pytest.raises(DataError) as caught:
        tables("csv", file=str(file)).load()
    assert str(caught.value) == (
        f"{file}, row 3: the column 'age' holds '1_000', and numbers in other rows; mend the row, or say categorical: "
        "[age]"
    )
    assert tables("csv", file=str(file), categorical=("age",)).load()["train"].codes == (4,)


def test_text_in_a_column_of_numbers_of_another_file(tmp_path: Path) -> None:
    train = to_csv(tmp_path / "train.csv", [{"age": 1, "label": "a"}, {"age": 2, "label": "b"}])
    test = to_csv(tmp_path / "test.csv", [{"age": "?", "label": "a"}, {"age": 3, "label": "b"}])
    files = {"file": str(train), "test_file": str(test)}
    with pytest.raises(DataError, match=r"test\.csv, row 1: the column 'age' holds '\?', not a number; mend the row"):
        tables("csv", **files).load()
    assert tables("csv", **files, skip=True).load()["test"].index.tolist() == [3]
    short = to_csv(tmp_path / "short.csv", [{"weight": 1, "label": "a"}])
    with pytest.raises(DataError, match=r"short\.csv, row 1: it has no column 'age'"):
        tables("csv", file=str(train), test_file=str(short)).load()
    with pytest.raises(DataError, match=r"short\.csv has no column 'age'"):
        tables("csv", file=str(train), test_file=str(short), features=("age",)).load()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"a": "", "label": "x"}], {}, "the column 'a' has no value in the training rows; leave it out of features"),
        ([{"label": "x"}], {}, "rows has no column of features; expected at least one beside the labels"),
        ([{"age": 1, "label": "x"}], {"categorical": ("aeg",)}, "categorical: no feature 'aeg'. Did you mean 'age'?"),
    ],
)
def test_columns_that_cannot_be(rows: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        tables("csv", file=str(to_csv(tmp_path / "rows", rows)), **options).load()
    assert message in str(caught.value)


def made(start: int = 0) -> TableSet:
    columns = (Column("size"), Column("kind", ("a", "b")), Column("age"))
    numeric = torch.tensor([[1.0, 10.0], [2.0, math.nan], [3.0, 30.0]])
    codes = torch.tensor([[1], [2], [0]])
    return TableSet(numeric, codes, columns, torch.tensor([0, 1, 0]), torch.arange(start, start + 3), ("x", "y"))


def test_rows_of_a_second_table_are_encoded_as_those_of_the_first() -> None:
    columns = (Column("age"), Column("extra", ("z",)), Column("kind", ("b", "c")), Column("size"))
    others = TableSet(
        torch.tensor([[7.0, 8.0], [9.0, 10.0]]),
        torch.tensor([[1, 1], [0, 2]]),
        columns,
        torch.tensor([-100, -100]),
        torch.arange(2),
    )
    joined = made().with_unlabelled(others)
    assert joined.columns == made().columns
    assert joined.numeric[3:].tolist() == [[8.0, 7.0], [10.0, 9.0]]
    # "b" is the second category of the first table; "c" is none.
    assert joined.categorical.flatten().tolist() == [1, 2, 0, 2, 0]
    assert joined.target.tolist() == [0, 1, 0, -100, -100]
    assert joined.index.tolist() == [0, 1, 2, 3, 4]
    same_columns = made().encoded_like(made(5))
    assert torch.equal(same_columns.categorical, made().categorical)
    with pytest.raises(DataError, match="no column 'size'; expected the columns of the training rows"):
        made().with_unlabelled(replace(others, columns=(*columns[:3], Column("width"))))
    swapped = TableSet(
        torch.zeros(1, 2),
        torch.zeros(1, 1).long(),
        (Column("kind"), Column("age"), Column("size", ("s",))),
        torch.tensor([-100]),
        torch.arange(1),
    )
    with pytest.raises(DataError, match="the column 'size' holds categories, in the training rows numbers"):
        made().with_unlabelled(swapped)


def test_subsets_and_splits_keep_columns_together() -> None:
    data = made().subset(torch.tensor([2, 0]))
    assert data.numeric.tolist() == [[3.0, 30.0], [1.0, 10.0]]
    assert (data.categorical.tolist(), data.index.tolist(), data.target.tolist()) == ([[0], [1]], [2, 0], [0, 0])
    many = TableSet(
        torch.arange(40.0)[:, None],
        torch.empty((40, 0), dtype=torch.int64),
        (Column("n"),),
        torch.arange(40) % 2,
        torch.arange(40),
        ("x", "y"),
    )
    parts = split({"train": many}, validation=0.2, test=0.25, seed=0)
    for part in (parts.train, parts.validation, parts.test):
        assert torch.equal(part.numeric[:, 0].long(), part.index)
        assert part.counts.diff().abs() <= 1


def test_sets_of_one_source_have_the_same_columns() -> None:
    other = replace(made(3), columns=(Column("size"), Column("kind", ("a", "z")), Column("age")))
    with pytest.raises(DataError, match=r"test has columns .*'z'.*, train has .*; expected the same"):
        split({"train": made(), "test": other}, validation=0, test=0, seed=0)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"numeric": torch.zeros(3, 3)}, "wrong_shape", "numeric"),
        ({"numeric": torch.zeros(3, 2).double()}, "wrong_type", "numeric"),
        ({"numeric": torch.full((3, 2), math.inf)}, "not_finite", "numeric"),
        ({"categorical": torch.full((3, 1), 3)}, "out_of_range", "categorical"),
        ({"categorical": torch.full((3, 1), -1)}, "out_of_range", "categorical"),
        ({"categorical": torch.zeros(3, 2).long()}, "wrong_shape", "categorical"),
        ({"target": torch.tensor([0, 1, 2])}, "out_of_range", "row 2"),
    ],
)
def test_values_that_cannot_be_are_refused_with_its_place(changes: dict[str, Any], code: str, path: str) -> None:
    with pytest.raises(DataError) as refused:
        replace(made(), **changes)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numeric": torch.zeros(3, 3)}, r"numeric has .* shape \(3, 3\); expected torch.float32 of shape \(3, 2\)"),
        ({"numeric": torch.full((3, 2), math.inf)}, "row 0 holds an infinite number"),
        ({"categorical": torch.full((3, 1), 3)}, r"a code out of range; columns have \[3\] codes"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(made(), **changes)


def test_every_part_of_a_table_stands_in_its_fingerprint() -> None:
    data = made()
    floats = {"target": torch.zeros(3), "classes": ()}
    others = [
        replace(data, numeric=data.numeric + 1),
        replace(data, categorical=data.categorical.flip(0)),
        replace(data, columns=(Column("size"), Column("kind", ("a", "c")), Column("age"))),
        replace(data, target=1 - data.target),
        replace(data, classes=("x", "z")),
        made(1),
        replace(data, **floats, targets=(FloatTarget("p", "m"),)),
        replace(data, **floats, targets=(FloatTarget("p", "s"),)),
        data.subset(torch.tensor([0, 1])),
    ]
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == len(others) + 1
    assert data.subset(torch.arange(3)).fingerprint() == data.fingerprint()
