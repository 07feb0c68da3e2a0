"""Image sets: what they refuse, what they keep, what their fingerprint covers."""

import pytest
import torch

from limbeck.data import UNKNOWN, ImageSet, MemoryImages
from limbeck.errors import ArgumentError, DataError
from refusals import refused

CLASSES = ("a", "b", "c")


def make(rows: int = 30) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (rows, 1, 4, 5), dtype=torch.uint8, generator=generator)
    return ImageSet.from_tensor(pixels, torch.arange(rows) % 3, CLASSES, start=100)


def test_subset_keeps_pixels_target_and_index_together():
    data = make()
    rows = torch.tensor([7, 3, 3 + 9])
    part = data.subset(rows)
    assert len(part) == 3
    assert part.index.tolist() == [107, 103, 112]
    assert torch.equal(part.target, data.target[rows])
    assert torch.equal(part.images.take(torch.arange(3)), data.images.take(rows))


def test_an_empty_subset_keeps_its_shape():
    part = make().subset(torch.empty(0, dtype=torch.int64))
    assert (len(part), part.shape) == (0, (1, 4, 5))


def test_take_copies():
    data = make()
    data.images.take(torch.arange(3)).zero_()
    assert data.images.take(torch.arange(3)).any()


def test_labels_are_kept_by_class_and_others_are_unknown():
    data = make()
    part, kept = data.with_labels(6, seed=0)
    assert torch.equal(part.labelled, kept)
    assert torch.bincount(part.target[kept]).tolist() == [2, 2, 2]
    assert torch.equal(part.target[kept], data.target[kept])
    assert (part.target[~kept] == UNKNOWN).all()
    assert torch.equal(part.index, data.index)
    assert data.labelled.all()
    assert not torch.equal(kept, data.with_labels(6, seed=1)[1])


def test_labels_are_drawn_from_labelled_rows():
    few, kept = make().with_labels(9, seed=0)
    fewer, again = few.with_labels(3, seed=1)
    assert (again & ~kept).sum() == 0
    assert sorted(fewer.target[again].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("count", [2, 31])
def test_a_number_of_labels_that_cannot_be_is_refused(count):
    with refused(ArgumentError, "out_of_range", "labels"):
        make().with_labels(count, seed=0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "image 2 holds NaN or infinity"),
        (float("inf"), "image 2 holds NaN or infinity"),
        (1.5, r"image 2 holds values from 0 to 1\.5; expected 0\.\.1"),
        (-0.25, r"image 2 holds values from -0\.25 to 0; expected 0\.\.1"),
    ],
)
def test_float_images_that_cannot_be_are_refused_by_row(value, message):
    pixels = torch.zeros(4, 1, 2, 2)
    pixels[2, 0, 1, 1] = value
    with pytest.raises(DataError, match=message):
        MemoryImages(pixels)


@pytest.mark.parametrize("pixels", [torch.zeros(4, 8, 8), torch.zeros(4, 0, 8, 8)])
def test_wrong_shapes_are_refused(pixels):
    with refused(DataError, "wrong_shape", "pixels"):
        MemoryImages(pixels)


def test_wrong_types_are_refused():
    with refused(DataError, "wrong_type", "pixels", match=r"images have type torch\.float64; expected torch\.uint8"):
        MemoryImages(torch.zeros(4, 1, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"target": torch.zeros(3, dtype=torch.int64)}, "wrong_shape", "target"),
        ({"target": torch.zeros(4)}, "wrong_type", "target"),
        ({"index": torch.arange(5)}, "wrong_shape", "index"),
        ({"index": torch.tensor([0, 1, 1, 2])}, "duplicate", "index"),
        ({"target": torch.tensor([0, 1, 2, 0])}, "out_of_range", "row 2"),
        ({"target": torch.tensor([0, -1, 1, 0])}, "out_of_range", "row 1"),
        ({"classes": ("one",), "target": torch.zeros(4, dtype=torch.int64)}, "too_few", "classes"),
        ({"classes": ("one", "one")}, "duplicate", "classes"),
    ],
)
def test_columns_that_disagree_are_refused_with_its_place(changes, code, path):
    fields = {
        "images": MemoryImages(torch.zeros(4, 1, 2, 2)),
        "target": torch.tensor([0, 1, 1, 0]),
        "index": torch.arange(4),
        "classes": ("a", "b"),
    }
    ImageSet(**fields)
    with pytest.raises(DataError) as refused:
        ImageSet(**fields | changes)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": torch.zeros(3, dtype=torch.int64)}, r"target has type torch\.int64 and shape \(3,\).*shape \(4,\)"),
        ({"index": torch.tensor([0, 1, 1, 2])}, "index holds a number twice"),
        ({"target": torch.tensor([0, 1, 2, 0])}, r"row 2 has target 2; expected 0\.\.1, or -100"),
        ({"classes": ("one",), "target": torch.zeros(4, dtype=torch.int64)}, r"1 class\(es\).*expected at least 2"),
    ],
)
def test_columns_that_disagree_are_refused(changes, message):
    fields = {
        "images": MemoryImages(torch.zeros(4, 1, 2, 2)),
        "target": torch.tensor([0, 1, 1, 0]),
        "index": torch.arange(4),
        "classes": ("a", "b"),
    }
    ImageSet(**fields)
    with pytest.raises(DataError, match=message):
        ImageSet(**fields | changes)


def test_the_fingerprint_covers_all_content():
    data = make()
    every = torch.arange(len(data))
    pixels = data.images.take(every)
    changed = pixels.clone()
    changed[0, 0, 0, 0] ^= 1
    others = [
        ImageSet(MemoryImages(changed), data.target, data.index, CLASSES),
        ImageSet(data.images, data.target.roll(1), data.index, CLASSES),
        ImageSet(data.images, data.target, data.index + 1, CLASSES),
        ImageSet(data.images, data.target, data.index, ("a", "b", "d")),
        ImageSet(MemoryImages(pixels.to(torch.float32) / 255), data.target, data.index, CLASSES),
        ImageSet(MemoryImages(pixels.reshape(-1, 1, 5, 4)), data.target, data.index, CLASSES),
        data.subset(every[:-1]),
    ]
    prints = {other.fingerprint() for other in others} | {data.fingerprint()}
    assert len(prints) == len(others) + 1
    assert data.subset(every).fingerprint() == data.fingerprint()


def test_the_fingerprint_does_not_depend_on_memory_layout():
    pixels = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    strided = pixels.to(memory_format=torch.channels_last)
    assert MemoryImages(strided).digest() == MemoryImages(pixels).digest()
