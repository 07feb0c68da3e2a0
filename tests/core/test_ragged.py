"""Rows of unequal lengths, against lists of tensors."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from limbeck.core import Ragged, map_rows, map_tensors, rows_of
from limbeck.core.addresses import row_count, tensors
from limbeck.errors import ArgumentError
from limbeck.training.micro_batches import micro_batches
from refusals import refused

LENGTHS = [2, 0, 3, 1, 0, 4]


def lists(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 4, generator=generator, dtype=dtype) for length in LENGTHS]


def assert_rows(ragged: Ragged, expected: list[torch.Tensor]) -> None:
    assert len(ragged) == len(expected)
    for row, other in zip(ragged, expected, strict=True):
        assert torch.equal(row, other)


def test_it_holds_the_rows_that_it_is_made_of():
    ragged = Ragged.of(lists())
    assert_rows(ragged, lists())
    assert ragged.lengths.tolist() == LENGTHS
    assert ragged.rows.tolist() == [row for row, length in enumerate(LENGTHS) for _ in range(length)]
    assert torch.equal(ragged[2], lists()[2])
    assert torch.equal(ragged[-1], lists()[-1])


@pytest.mark.parametrize(
    "rows", [slice(1), slice(1, 4), slice(4, None), slice(-2, None), slice(3, 3), slice(5, 2), slice(0, None, 2)]
)
def test_a_slice_is_that_of_a_list(rows):
    assert_rows(Ragged.of(lists())[rows], lists()[rows])


def test_numbers_and_a_mask_select_rows():
    assert_rows(Ragged.of(lists())[torch.tensor([5, 1, 0, 5])], [lists()[row] for row in (5, 1, 0, 5)])
    mask = torch.tensor([True, True, False, False, True, True])
    assert_rows(Ragged.of(lists())[mask], [lists()[row] for row in (0, 1, 4, 5)])


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6])
def test_it_is_cut_where_a_tensor_is(parts):
    ragged, numbers = Ragged.of(lists()), torch.arange(len(LENGTHS)).chunk(parts)
    for part, rows in zip(ragged.chunk(parts), numbers, strict=True):
        assert_rows(part, [lists()[row] for row in rows])
    assert_rows(Ragged.cat(ragged.chunk(parts)), lists())


def test_it_is_padded_to_its_longest_row():
    padded, mask = Ragged.of(lists()).padded(7.0)
    assert padded.shape == (6, 4, 4)
    for row, values in enumerate(lists()):
        assert torch.equal(padded[row, : len(values)], values)
        assert (padded[row, len(values) :] == 7).all()
    assert torch.equal(mask.sum(1), torch.tensor(LENGTHS))


def test_a_batch_of_them_is_changed_and_counted_by_rows():
    batch = {"boxes": Ragged.of(lists()), "inputs": {"pixels": torch.zeros(6, 2)}}
    moved = map_tensors(batch, torch.Tensor.double)
    assert_rows(moved["boxes"], [row.double() for row in lists()])
    assert moved["boxes"].offsets.dtype == torch.int64
    first = map_rows(batch, lambda value: value[:2])
    assert_rows(first["boxes"], lists()[:2])
    assert first["inputs"]["pixels"].shape == (2, 2)
    assert row_count(batch["boxes"]) == rows_of(batch) == rows_of({"boxes": batch["boxes"]}) == 6
    assert [len(tensor) for tensor in tensors(batch["boxes"])] == [10, 7]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_micro_batches_hold_whole_rows(parts):
    batch = {"row": torch.arange(6), "boxes": Ragged.of(lists())}
    found = micro_batches(batch, parts, torch.device("cpu"))
    assert_rows(Ragged.cat([part["boxes"] for part in found]), lists())
    assert [len(part["boxes"]) for part in found] == [len(part["row"]) for part in found] == [6 // parts] * parts


def test_it_goes_to_another_device_with_its_offsets():
    moved = Ragged.of(lists()).to("meta")
    assert moved.values.device.type == moved.offsets.device.type == "meta"
    assert len(moved) == 6


def test_gradients_flow_through_slices_and_masks():
    values = torch.ones(10, 4, requires_grad=True)
    ragged = Ragged(values, Ragged.of(lists()).offsets)
    ragged.where(torch.tensor([True, True, False, True, True, True]), 0)[1:4].values.sum().backward()
    expected = torch.zeros(10, 4)
    expected[5] = 1
    assert torch.equal(values.grad, expected)


def test_copies_hold_the_same_rows():
    ragged = Ragged.of(lists())
    for twin in (copy.deepcopy(ragged), pickle.loads(pickle.dumps(ragged))):
        assert_rows(twin, lists())


def test_a_loss_per_row_equals_one_over_padded_rows():
    ragged = Ragged.of(lists())
    sums = torch.zeros(6).index_add(0, ragged.rows, ragged.values.square().sum(1))
    padded, _ = ragged.padded()
    torch.testing.assert_close(sums, padded.square().sum((1, 2)))


@pytest.mark.parametrize(
    ("values", "offsets", "message"),
    [
        (torch.zeros(3), torch.tensor([0, 2, 1, 3]), r"the offsets fall from 2 to 1 at row 1"),
        (torch.zeros(3), torch.tensor([1, 3]), r"run from 1 to 3 and there are 3 values; expected 0 to 3"),
        (torch.zeros(3), torch.tensor([0, 2]), r"run from 0 to 2 and there are 3 values"),
        (torch.zeros(3), torch.tensor([0.0, 3.0]), r"the offsets are torch.float32 \[2\]; expected torch.int64"),
        (torch.zeros(3), torch.tensor([[0, 3]]), r"the offsets are torch.int64 \[1, 2\]"),
        (torch.zeros(3), torch.zeros(0, dtype=torch.int64), r"\[0\]; expected torch.int64 \[B \+ 1\]"),
        (torch.zeros(()), torch.tensor([0]), r"the values have shape \[\]"),
        (torch.zeros(3, device="meta"), torch.tensor([0, 3]), r"on meta, the offsets are on cpu"),
    ],
)
def test_offsets_that_cannot_be_right_are_refused(values, offsets, message):
    with pytest.raises(ArgumentError, match=message):
        Ragged(values, offsets)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([torch.zeros(2, 4), torch.zeros(2, 3)], r"shapes \[\[2, 4\], \[2, 3\]\]; expected \[L, \*\]"),
        ([torch.zeros(()), torch.zeros(())], r"shapes \[\[\], \[\]\]"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ArgumentError, match=message):
        Ragged.of(rows)


def test_selecting_rows_as_if_they_were_values_is_refused():
    with refused(ArgumentError, "out_of_range", "offsets", match="run from 0 to 10 and there are 2 values"):
        map_tensors(Ragged.of(lists()), lambda tensor: tensor[:2])
