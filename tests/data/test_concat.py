"""Rows of a second source behind those of a first."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import Digits, ImageSet, MemoryImages
from limbeck.errors import DataError
from refusals import refused

NAMES = ("a", "b")


def images(count: int, start: int, dtype: torch.dtype) -> ImageSet:
    pixels = torch.arange(start, start + count).reshape(-1, 1, 1, 1).expand(count, 1, 2, 3)
    pixels = pixels.to(torch.uint8) if dtype == torch.uint8 else pixels.float() / 255
    return ImageSet.from_tensor(pixels.contiguous(), torch.arange(count) % 2, NAMES)


@pytest.mark.parametrize("second", [torch.uint8, torch.float32], ids=str)
def test_every_row_is_that_of_its_source(second: torch.dtype) -> None:
    joined = images(5, 10, torch.uint8).with_unlabelled(images(7, 100, second))
    joined = joined.with_unlabelled(images(3, 200, torch.uint8))
    assert isinstance(joined.images, MemoryImages) == (second == torch.uint8)
    expected = torch.tensor([*range(10, 15), *range(100, 107), *range(200, 203)])
    rows = torch.randperm(15, generator=torch.Generator().manual_seed(0)).repeat(2)
    pixels = joined.images.take(rows)
    values = pixels.float() if pixels.dtype == torch.uint8 else pixels * 255
    assert torch.equal(values.round().long(), expected[rows].reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3))
    assert joined.target.tolist() == [0, 1, 0, 1, 0] + [-100] * 10
    assert joined.index.tolist() == list(range(15))
    assert joined.classes == NAMES

    chosen = torch.tensor([1, 4, 6, 13])
    some = joined.subset(chosen)
    assert torch.equal(some.images.take(torch.arange(4)), joined.images.take(chosen))
    assert some.fingerprint() != joined.fingerprint()


def test_rows_of_one_part_alone() -> None:
    joined = images(5, 10, torch.uint8).with_unlabelled(images(7, 100, torch.float32))
    assert joined.images.take(torch.tensor([7, 5])).dtype == torch.float32
    assert joined.images.take(torch.tensor([0])).dtype == torch.uint8
    with pytest.raises(DataError, match="keep the order of the sources"):
        joined.subset(torch.tensor([7, 0]))


def test_images_of_another_shape_are_refused() -> None:
    with refused(DataError, "mismatch", "unlabelled"):
        images(2, 0, torch.uint8).with_unlabelled(Digits().load()["train"])
