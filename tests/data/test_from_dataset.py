"""Plain torch datasets: what their items may be, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from limbeck.data import FloatTarget
from limbeck.data.from_dataset import DatasetImages, from_dataset
from limbeck.data.pixels import MemoryImages
from limbeck.errors import ArgumentError, DataError
from refusals import refused

LAZY = {"memory": 0}


class Items(Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


def tensors(rows=6, dtype=torch.uint8):
    pixels = torch.randint(0, 256, (rows, 3, 4, 4), generator=torch.Generator().manual_seed(rows))
    pixels = pixels.to(dtype) if dtype == torch.uint8 else pixels.to(dtype) / 255
    return TensorDataset(pixels, torch.arange(rows) % 2)


def pixels(data):
    return data.images.take(torch.arange(len(data)))


@pytest.mark.parametrize("options", [{}, LAZY], ids=["memory", "lazy"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_tensors(dtype, options):
    train, test = tensors(6, dtype), tensors(4, dtype)
    sets = from_dataset(train, test, **options)
    assert isinstance(sets["train"].images, DatasetImages if options else MemoryImages)
    assert torch.equal(pixels(sets["train"]), train.tensors[0])
    assert torch.equal(pixels(sets["test"]), test.tensors[0])
    assert sets["train"].target.tolist() == [0, 1] * 3
    assert sets["test"].index.tolist() == [6, 7, 8, 9]
    part = sets["train"].subset(torch.tensor([4, 1])).subset(torch.tensor([1]))
    assert torch.equal(pixels(part), train.tensors[0][[1]])


@pytest.mark.parametrize("options", [{}, LAZY], ids=["memory", "lazy"])
def test_the_fingerprint_covers_every_value(options):
    one, other = tensors(), tensors()
    same = from_dataset(other, **options)["train"].fingerprint()
    assert from_dataset(one, **options)["train"].fingerprint() == same
    one.tensors[0][3, 0, 0, 0] ^= 1
    assert from_dataset(one, **options)["train"].fingerprint() != same


def test_pillow_images():
    values = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    colour = Items([(Image.fromarray(values), 0), (Image.fromarray(values[::-1].copy()), 1)])
    data = from_dataset(colour)["train"]
    assert (pixels(data)[0].numpy() == values.transpose(2, 0, 1)).all()
    grey = Items([(Image.fromarray(values[..., 0].copy()), label) for label in (0, 1)])
    data = from_dataset(grey)["train"]
    assert data.shape == (1, 5, 4)
    assert (pixels(data)[1, 0].numpy() == values[..., 0]).all()


def test_matrices_are_grey_images_and_labels_may_be_numpy_numbers():
    data = from_dataset(Items([(torch.zeros(4, 5), np.int64(0)), (torch.ones(4, 5), -100)]), classes=["a", "b"])[
        "train"
    ]
    assert data.shape == (1, 4, 5)
    assert data.target.tolist() == [0, -100]


def test_classes_are_those_given_or_the_datasets_or_numbers():
    items = [(torch.zeros(1, 2, 2), label) for label in (0, 2)]
    assert from_dataset(Items(items))["train"].classes == ("0", "1", "2")
    assert from_dataset(Items(items, classes=["x", "y", "z"]))["train"].classes == ("x", "y", "z")
    assert from_dataset(Items(items, classes=["x", "y", "z"]), classes="abc")["train"].classes == ("a", "b", "c")


GOOD = (torch.zeros(1, 4, 4), 0)


@pytest.mark.parametrize(
    ("item", "code", "path"),
    [
        (torch.zeros(1, 4, 4), "wrong_type", "train item 1"),
        ((torch.zeros(1, 4, 4), 1, 2), "wrong_type", "train item 1"),
        ((torch.zeros(1, 4, 4), 0.5), "mismatch", "train item 1"),
        ((torch.zeros(1, 4, 4), torch.zeros(2)), "mismatch", "train item 1"),
        ((torch.zeros(1, 4, 4), torch.zeros(2).long()), "wrong_type", "train item 1"),
        ((torch.zeros(1, 4, 4), "a"), "wrong_type", "train item 1"),
        ((np.zeros((1, 4, 4)), 1), "wrong_type", "train item 1"),
        ((torch.zeros(1, 4, 4).long(), 1), "wrong_type", "train item 1"),
        ((torch.zeros(4), 1), "wrong_shape", "train item 1"),
        ((torch.zeros(1, 5, 5), 1), "mismatch", "train item 1"),
        ((torch.full((1, 4, 4), torch.nan), 1), "not_finite", "image 1"),
        ((torch.full((1, 4, 4), 2.0), 1), "out_of_range", "image 1"),
        ((Image.new("I;16", (4, 4)), 1), "unreadable", "train item 1"),
        ((torch.zeros(1, 4, 4), -7), "out_of_range", "row 1"),
    ],
)
@pytest.mark.parametrize("options", [{}, LAZY], ids=["memory", "lazy"])
def test_items_that_cannot_be_are_refused_with_its_place(item, code, path, options):
    with pytest.raises(DataError) as refused:
        from_dataset(Items([GOOD, item]), classes=["a", "b"], **options)
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (torch.zeros(1, 4, 4), r"train item 1 is a Tensor; expected a pair"),
        (
            (torch.zeros(1, 4, 4), 0.5),
            r"train item 1 has a label of type torch\.float32 and shape \(\); expected torch\.int64",
        ),
        ((torch.zeros(1, 4, 4).long(), 1), r"train item 1 has an image of shape \(1, 4, 4\) and type torch\.int64"),
        ((torch.full((1, 4, 4), torch.nan), 1), "image 1 holds NaN"),
        ((Image.new("I;16", (4, 4)), 1), "train item 1 has an image that cannot be read: .*8 bits"),
    ],
)
@pytest.mark.parametrize("options", [{}, LAZY], ids=["memory", "lazy"])
def test_items_that_cannot_be_are_refused(item, message, options):
    with pytest.raises(DataError, match=message):
        from_dataset(Items([GOOD, item]), classes=["a", "b"], **options)


def test_labels_may_be_numbers():
    image = torch.zeros(1, 4, 4)
    data = from_dataset(Items([(image, 0.5), (image, float("nan"))]), Items([(image, 2.0)]))
    assert [rows.target.nan_to_num(-1).tolist() for rows in data.values()] == [[0.5, -1.0], [2.0]]
    assert data["test"].targets == (FloatTarget("label"),)
    vectors = Items([(image, torch.tensor([1.0, 2.0])), (image, np.array([3.0, 4.0]))])
    several = from_dataset(vectors, classes=["x", "y"])["train"]
    assert several.target.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert several.targets == (FloatTarget("x"), FloatTarget("y"))


def test_one_class_is_refused():
    with refused(DataError, "too_few", "classes"):
        from_dataset(Items([GOOD, GOOD]))


def test_an_image_that_changes_its_shape_later_is_refused():
    items = [(torch.zeros(1, 4, 4), 0), (torch.zeros(1, 4, 4), 1)]
    data = from_dataset(Items(items), **LAZY)["train"]
    items[1] = (torch.zeros(1, 5, 5), 1)
    with refused(DataError, "wrong_shape", "dataset item 1"):
        pixels(data)


def test_datasets_without_items_by_number_are_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([GOOD])

    with refused(ArgumentError, "unsupported", "train"):
        from_dataset(Stream())
    with refused(DataError, "missing", "test"):
        from_dataset(tensors(), Items([]))
