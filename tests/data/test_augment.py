"""Whole-batch augmentation against a loop over samples in plain Python."""

import math

import numpy as np
import pytest
import torch

from limbeck.data.augment import Augment
from limbeck.errors import ArgumentError
from limbeck.hashing import uniform


def looped(images, row, view, seed, *, flip, crop, erase):
    """One sample after the other, in the order crop, flip, erase."""
    results = []
    for image, r, v in zip(images.numpy(), row, view, strict=True):

        def draw(number, r=r, v=v):
            return float(uniform(seed, r[None], v[None], number))

        _, height, width = image.shape
        if crop:
            padded = np.pad(image, ((0, 0), (crop, crop), (crop, crop)))
            top, left = int(draw(1) * (2 * crop + 1)), int(draw(2) * (2 * crop + 1))
            image = padded[:, top : top + height, left : left + width]
        if flip and draw(0) < 0.5:
            image = image[:, :, ::-1]
        image = image.copy()
        if erase and draw(3) < erase:
            area = height * width * (0.02 + 0.31 * draw(4))
            aspect = math.exp(math.log(0.3) + (math.log(3.3) - math.log(0.3)) * draw(5))
            tall = min(max(round(math.sqrt(area * aspect)), 1), height)
            wide = min(max(round(math.sqrt(area / aspect)), 1), width)
            top, left = int(draw(6) * (height - tall + 1)), int(draw(7) * (width - wide + 1))
            image[:, top : top + tall, left : left + wide] = 0
        results.append(image)
    return torch.from_numpy(np.stack(results))


def batch(size=64, shape=(3, 9, 7), dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (size, *shape), generator=generator)
    row = torch.randperm(1000, generator=generator)[:size]
    view = torch.randint(0, 5, (size,), generator=generator)
    return images.to(dtype) if dtype == torch.uint8 else images.to(dtype) / 255, row, view


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [0, 1, 4])
@pytest.mark.parametrize("erase", [0.0, 0.5, 1.0])
def test_equals_a_loop_over_samples(dtype, flip, crop, erase):
    images, row, view = batch(dtype=dtype)
    options = {"flip": flip, "crop": crop, "erase": erase}
    result = Augment(**options)(images, row, view, seed=3)
    assert result.dtype == dtype
    assert torch.equal(result, looped(images, row, view, 3, **options))


def test_is_the_same_object_if_all_is_off():
    images, row, view = batch()
    assert Augment()(images, row, view, seed=0) is images


def test_leaves_its_input_alone():
    images, row, view = batch()
    before = images.clone()
    Augment(flip=True, crop=2, erase=1.0)(images, row, view, seed=0)
    assert torch.equal(images, before)


def test_batch_mates_and_order_have_no_influence():
    images, row, view = batch()
    augment = Augment(flip=True, crop=2, erase=0.5)
    together = augment(images, row, view, seed=0)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images[order], row[order], view[order], seed=0), together[order])
    alone = [augment(images[i : i + 1], row[i : i + 1], view[i : i + 1], seed=0) for i in range(64)]
    assert torch.equal(torch.cat(alone), together)


def test_seed_row_and_view_each_change_the_draws():
    images = torch.randint(1, 256, (1, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = images.expand(200, 1, 16, 16)
    zeros, counted = torch.zeros(200, dtype=torch.int64), torch.arange(200)
    augment = Augment(crop=4)
    for row, view in [(counted, zeros), (zeros, counted)]:
        assert len(torch.unique(augment(images, row, view, seed=0), dim=0)) > 60
    assert not torch.equal(augment(images, counted, zeros, seed=0), augment(images, counted, zeros, seed=1))


def test_rates_are_those_asked_for():
    images = torch.arange(1, 65, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(4000, 1, 8, 8)
    row, view = torch.arange(4000), torch.zeros(4000, dtype=torch.int64)
    flipped = (Augment(flip=True)(images, row, view, seed=0)[:, 0, 0, 0] == 8).double().mean()
    erased = (Augment(erase=0.25)(images, row, view, seed=0) == 0).flatten(1).any(1).double().mean()
    assert abs(flipped - 0.5) < 0.03
    assert abs(erased - 0.25) < 0.03


@pytest.mark.parametrize(("options", "message"), [({"crop": -1}, "crop is -1"), ({"erase": 1.5}, r"erase is 1\.5")])
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Augment(**options)
