"""Numbers to predict: what files may hold, what classification refuses, and how rows are drawn by them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.stats
import torch

from data.record_files import WRITERS, to_csv, to_jsonl, to_parquet
from limbeck.data import (
    ClassLabels,
    Digits,
    FloatLabels,
    FloatTarget,
    ImageSet,
    TableSet,
    TextSet,
    from_objects,
    load,
    source_constructor,
    split,
)
from limbeck.data.stratified import quantile_bins
from limbeck.errors import ArgumentError, DataError
from refusals import refused

PRICES = [1.5, -2.0, None, 1e-3, 40.0]


def rows(values: list[Any]) -> list[dict[str, Any]]:
    return [{"text": f"row {number}", "price": value, "size": number} for number, value in enumerate(values)]


def floats(row_type: type, reader: str, file: Path, **options: Any) -> Any:
    return source_constructor(row_type, FloatLabels, {"use": reader})(file=str(file), **options).load()["train"]


@pytest.mark.parametrize("reader", WRITERS)
@pytest.mark.parametrize("row_type", [TextSet, TableSet])
def test_numbers_of_every_reader_and_row_type(row_type: type, reader: str, tmp_path: Path) -> None:
    file = WRITERS[reader](tmp_path / "rows", rows(PRICES))
    data = floats(row_type, reader, file, label="price", unit="EUR")
    expected = torch.tensor([math.nan if price is None else price for price in PRICES])
    torch.testing.assert_close(data.target, expected, rtol=0, atol=0, equal_nan=True)
    assert data.labelled.tolist() == [True, True, False, True, True]
    assert (data.targets, data.classes) == ((FloatTarget("price", "EUR"),), ())
    assert data.target.dtype == torch.float32


def test_several_numbers_some_of_them_unknown(tmp_path: Path) -> None:
    values = [{"text": "a", "x": 1, "y": ""}, {"text": "b", "x": "", "y": ""}, {"text": "c", "x": "nan", "y": "2.5"}]
    data = floats(TextSet, "csv", to_csv(tmp_path / "rows", values), label=("x", "y"), unit=("m", "s"))
    assert data.target.isnan().tolist() == [[False, True], [True, True], [True, False]]
    assert data.labelled.tolist() == [True, False, True]
    assert data.targets == (FloatTarget("x", "m"), FloatTarget("y", "s"))


def test_no_label(tmp_path: Path) -> None:
    data = floats(TextSet, "jsonl", to_jsonl(tmp_path / "rows", rows(PRICES)), label=None)
    assert data.target.isnan().all()
    labelled = floats(TextSet, "jsonl", tmp_path / "rows", label="price")
    joined = labelled.with_unlabelled(data)
    assert joined.labelled.tolist() == [*labelled.labelled.tolist(), *[False] * 5]
    assert joined.targets == labelled.targets


BAD = {
    "cheap": "the column 'price' holds 'cheap', not a number",
    "inf": "the column 'price' holds 'inf'; expected a finite number of float32",
    "1e39": "the column 'price' holds '1e39'; expected a finite number of float32",
    True: "the column 'price' holds a bool, not a number",
    (1.0,): "the column 'price' holds a list, not a number",
}


@pytest.mark.parametrize("value", BAD, ids=str)
def test_what_is_no_number(value: Any, tmp_path: Path) -> None:
    file = to_jsonl(tmp_path / "rows", rows([1, value, 2.5]))
    with pytest.raises(DataError) as caught:
        floats(TextSet, "jsonl", file, label="price")
    assert str(caught.value) == f"{file}, row 2: {BAD[value]}; mend the row, or say skip: true"
    data = floats(TextSet, "jsonl", file, label="price", skip=True)
    assert (data.target.tolist(), data.index.tolist()) == ([1.0, 2.5], [0, 2])


@pytest.mark.parametrize(
    ("options", "code", "path"),
    [
        ({"label": ("a", "a")}, "duplicate", "label"),
        ({"label": ()}, "missing", "label"),
        ({"label": ("a", "b"), "unit": ("m",)}, "mismatch", "unit"),
    ],
)
def test_options_that_do_not_go_together_with_its_place(options: dict[str, Any], code: str, path: str) -> None:
    with refused(ArgumentError, code, path):
        FloatLabels(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": ("a", "a")}, r"label is \['a', 'a'\]; give different columns"),
        ({"label": ("a", "b"), "unit": ("m",)}, "unit has 1 entries, label has 2"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        FloatLabels(**options)


def classes(reader: str, file: Path, **options: Any) -> Any:
    return source_constructor(TextSet, ClassLabels, {"use": reader})(file=str(file), **options).load()["train"]


def test_classification_refuses_numbers_of_a_csv_and_names_regression(tmp_path: Path) -> None:
    file = to_csv(tmp_path / "rows.csv", rows(["2", "", "0.37", "1.0", "0.5"]))
    with pytest.raises(DataError) as caught:
        classes("csv", file, label="price")
    assert str(caught.value) == (
        f"{file}, row 3: the label 0.37 is a number that is not whole, not a class; to predict numbers, use task: "
        "regression"
    )


@pytest.mark.parametrize(
    ("values", "names", "target"),
    [
        (["1.0", "", "0.0"], ("0.0", "1.0"), [1, -100, 0]),
        (["0.5", "half", "0.25"], ("0.25", "0.5", "half"), [1, 2, 0]),
        (["v1.5", "v2.5", "v1.5"], ("v1.5", "v2.5"), [0, 1, 0]),
    ],
)
def test_whole_numbers_blanks_and_names_stay_classes(
    values: list[str], names: tuple[str, ...], target: list[int], tmp_path: Path
) -> None:
    data = classes("csv", to_csv(tmp_path / "rows.csv", rows(values)), label="price")
    assert (data.classes, data.target.tolist()) == (names, target)


@pytest.mark.parametrize("write", [to_jsonl, to_parquet])
def test_whole_numbers_that_a_file_holds_as_floats_are_classes(write: Any, tmp_path: Path) -> None:
    """As pandas writes a column of whole numbers with missing values."""
    file = write(tmp_path / "rows", rows([10.0, 9.0, math.nan]))
    data = classes("jsonl" if write is to_jsonl else "parquet", file, label="price")
    assert (data.classes, data.target.tolist()) == (("9", "10"), [1, 0, -100])
    file = write(tmp_path / "fractions", rows([10.0, 9.5]))
    with pytest.raises(DataError, match=r"row 2: .*holds a float, not .*; to predict numbers, use task: regression"):
        classes("jsonl" if write is to_jsonl else "parquet", file, label="price")


def table(target: Any, **named: Any) -> TableSet:
    count = len(target)
    empty = torch.empty((count, 0), dtype=torch.int64)
    return TableSet(torch.zeros((count, 0)), empty, (), torch.as_tensor(target), torch.arange(count), **named)


def test_a_source_adapts_its_labels() -> None:
    """Floats that are whole are classes, and classes that are numbers are floats."""
    target = torch.tensor([2.0, math.nan, 0.0, 2.0])
    source = {"train": table(target, targets=(FloatTarget("y"),)), "test": table(target, targets=(FloatTarget("y"),))}
    sets = ClassLabels.adapt(source, "made")
    assert (sets["train"].classes, sets["train"].target.tolist()) == (("0", "2"), [1, -100, 0, 1])
    assert sets["test"].targets == ()
    back = FloatLabels.adapt(sets, "made")["train"]
    torch.testing.assert_close(back.target, target, rtol=0, atol=0, equal_nan=True)
    digits = load(ImageSet, FloatLabels, {"use": "digits"})["train"]
    assert torch.equal(digits.target, Digits().load()["train"].target.float())
    with pytest.raises(DataError, match=r"made: train has the label 0\.5, not a class; .* task: regression"):
        ClassLabels.adapt({"train": table([1.0, 0.5], targets=(FloatTarget("y"),))}, "made")
    with pytest.raises(DataError, match=r"made: test, row 1: the label '7' does not occur in the training rows"):
        ClassLabels.adapt({**source, "test": table([7.0], targets=(FloatTarget("y"),))}, "made")
    with pytest.raises(DataError, match="named has the classes 'cat', 'dog'; expected numbers to predict"):
        FloatLabels.adapt({"train": table(torch.tensor([0, 1]), classes=("cat", "dog"))}, "named")


@pytest.mark.parametrize(
    ("target", "named", "code", "path"),
    [
        (torch.tensor([1.0, math.inf]), {"targets": (FloatTarget("y"),)}, "not_finite", "row 1"),
        (torch.zeros(2, dtype=torch.float64), {"targets": (FloatTarget("y"),)}, "wrong_type", "target"),
        (torch.zeros(2, 3), {"targets": (FloatTarget("y"),) * 2}, "wrong_shape", "target"),
        (torch.zeros(2), {"targets": (FloatTarget("y"),) * 2}, "wrong_shape", "target"),
    ],
)
def test_targets_that_cannot_be_right_with_its_place(
    target: torch.Tensor, named: dict[str, Any], code: str, path: str
) -> None:
    with pytest.raises(DataError) as refused:
        table(target, **named)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("target", "named", "message"),
    [
        (torch.tensor([1.0, math.inf]), {"targets": (FloatTarget("y"),)}, "row 1 has an infinite target"),
        (torch.zeros(2, 3), {"targets": (FloatTarget("y"),) * 2}, r"shape \(2, 3\); expected .* of shape \(2, 2\)"),
    ],
)
def test_targets_that_cannot_be_right(target: torch.Tensor, named: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(target, **named)


def tenths(values: Any) -> list[int]:
    ranks = scipy.stats.rankdata(values, method="ordinal", nan_policy="omit") - 1
    count = int((~np.isnan(values)).sum())
    return [-100 if math.isnan(rank) else int(rank * 10 // count) for rank in ranks]


def test_bins_are_tenths_by_rank() -> None:
    values = np.random.default_rng(0).permutation(200).astype(np.float32)
    assert quantile_bins(torch.from_numpy(values)).tolist() == pandas.qcut(values, 10, labels=False).tolist()
    values[::3] = np.nan
    assert quantile_bins(torch.from_numpy(values)).tolist() == tenths(values)
    equal = np.ones(20, np.float32)
    assert quantile_bins(torch.from_numpy(equal)).tolist() == tenths(equal)


def test_bins_of_several_numbers_go_by_the_mean_of_the_standardized_ones() -> None:
    values = np.random.default_rng(1).normal(size=(300, 2)) * [1, 1000] + [5, 0]
    values[0] = np.nan, 0.0
    values[1] = np.nan
    frame = pandas.DataFrame(values.astype(np.float32).astype(np.float64))
    mean = ((frame - frame.mean()) / frame.std(ddof=0)).mean(axis=1)
    assert quantile_bins(torch.from_numpy(values).float()).tolist() == tenths(mean.to_numpy())
    assert tenths(mean.to_numpy())[1] == -100


def test_splits_take_their_share_of_every_tenth() -> None:
    target = torch.randn(400, generator=torch.Generator().manual_seed(0)).exp()
    target[::8] = math.nan
    data = table(target, targets=(FloatTarget("y"),))
    parts = split({"train": data}, validation=0.2, test=0.2, seed=0)
    bins = dict(zip(data.index.tolist(), data.strata.tolist(), strict=True))
    for part in (parts.validation, parts.test):
        assert part.labelled.all()
        assert np.bincount([bins[row] for row in part.index.tolist()]).tolist() == [7] * 10
    few, kept = data.with_labels(4, seed=0)
    # With fewer labels than bins, neighbouring bins count as one: a row of each quarter.
    assert int(kept.sum()) == 4
    assert sorted(bins[row] * 4 // 10 for row in data.index[kept].tolist()) == [0, 1, 2, 3]
    assert torch.equal(few.target[kept], data.target[kept])
    assert few.target[~kept].isnan().all()
    assert data.without_labels().target.isnan().all()
    limited = split({"train": data}, validation=0.2, test=0.2, seed=0, limit=3)
    assert len(limited.train) == 3


def test_a_data_frame_of_pandas() -> None:
    frame = pandas.DataFrame({"size": [1, 2, 3], "kind": ["a", None, "b"], "price": [0.5, None, 2.0]})
    data = from_objects(TableSet, FloatLabels, {"train": frame, "test": frame[:1]}, label="price")
    assert data["train"].numeric.tolist() == [[1.0], [2.0], [3.0]]
    assert data["train"].categorical.tolist() == [[1], [0], [2]]
    assert data["train"].labelled.tolist() == [True, False, True]
    assert data["test"].index.tolist() == [3]
