"""NumPy files: names, layouts, types, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.data import FloatTarget
from limbeck.data.sources.npz import Npz
from limbeck.errors import DataError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
Y = np.arange(12) % 3


def save(folder, **arrays) -> str:
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


def pixels(data) -> np.ndarray:
    return data.images.take(torch.arange(len(data))).numpy()


def test_x_and_y(tmp_path):
    sets = Npz(file=save(tmp_path, x=X, y=Y)).load()
    assert list(sets) == ["train"]
    assert (pixels(sets["train"]) == X.transpose(0, 3, 1, 2)).all()
    assert sets["train"].target.tolist() == Y.tolist()


def test_training_and_test(tmp_path):
    sets = Npz(file=save(tmp_path, x_train=X, y_train=Y[:, None], x_test=X[:6], y_test=Y[:6])).load()
    assert {name: len(data) for name, data in sets.items()} == {"train": 12, "test": 6}
    assert sets["test"].index.tolist() == list(range(12, 18))


@pytest.mark.parametrize(
    ("images", "layout", "shape"),
    [
        (X, "auto", (3, 6, 5)),
        (X.transpose(0, 3, 1, 2), "auto", (3, 6, 5)),
        (X[..., 0], "auto", (1, 6, 5)),
        (X[:, :3], "NHWC", (3, 3, 5)),
        (X[:, :3], "NCHW", (3, 5, 3)),
        (X[..., :2], "NHWC", (2, 6, 5)),
    ],
)
def test_layouts(tmp_path, images, layout, shape):
    assert Npz(file=save(tmp_path, x=images, y=Y), layout=layout).load()["train"].shape == shape


@pytest.mark.parametrize("dtype", ["int64", "int16", "float16", "float32", "float64"])
def test_types(tmp_path, dtype):
    images = X.astype(dtype) if dtype.startswith("int") else (X / 255).astype(dtype)
    result = pixels(Npz(file=save(tmp_path, x=images, y=Y)).load()["train"])
    assert result.dtype == (np.uint8 if dtype.startswith("int") else np.float32)
    assert (result == images.astype(result.dtype).transpose(0, 3, 1, 2)).all()


def test_labels_can_be_text_or_unknown(tmp_path):
    data = Npz(file=save(tmp_path, x=X, y=np.array(["cat", "dog"] * 6))).load()["train"]
    assert data.classes == ("cat", "dog")
    data = Npz(file=save(tmp_path, x=X, y=np.array([4, 7, -100] * 4))).load()["train"]
    assert (data.classes, data.target[:3].tolist()) == (("4", "7"), [0, 1, -100])


def test_labels_can_be_numbers_or_one_column_for_each_class(tmp_path):
    values = np.linspace(-1, 1, 12)
    values[3] = np.nan
    data = Npz(file=save(tmp_path, x=X, y=values), unit="deg").load()["train"]
    np.testing.assert_array_equal(data.target.numpy(), values.astype(np.float32))
    assert (data.targets, data.classes) == ((FloatTarget("y", "deg"),), ())
    pairs = np.stack([values, values * 2], 1)
    data = Npz(file=save(tmp_path, x_train=X, y_train=pairs, x_test=X[:2], y_test=pairs[:2])).load()["test"]
    np.testing.assert_array_equal(data.target.numpy(), pairs[:2].astype(np.float32))
    assert data.targets == (FloatTarget("y_train0"), FloatTarget("y_train1"))
    indicators = np.stack([Y == 0, Y > 0, Y == 9], 1).astype(int)
    data = Npz(file=save(tmp_path, x=X, y=indicators)).load()["train"]
    assert (data.target.tolist(), data.classes) == (indicators.tolist(), ("0", "1", "2"))


def test_tables(tmp_path):
    values = np.arange(36.0).reshape(12, 3)
    values[2, 1] = np.nan
    data = Npz(file=save(tmp_path, x=values, y=Y)).load()["train"]
    np.testing.assert_array_equal(data.numeric.numpy(), values.astype(np.float32))
    assert [column.name for column in data.columns] == ["x0", "x1", "x2"]
    assert (data.categorical.shape, data.target.tolist()) == ((12, 0), Y.tolist())
    named = Npz(file=save(tmp_path, x=np.arange(36).reshape(12, 3), y=Y, columns=np.array(["a", "b", "c"]))).load()[
        "train"
    ]
    assert [column.name for column in named.columns] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arrays", "code", "path"),
    [
        ({"x": np.zeros((12, 2)), "y": Y, "columns": np.array(["a", "a"])}, "duplicate", "data.npz"),
        ({"x": np.zeros((12, 2)), "y": Y, "columns": np.array(["a"])}, "wrong_shape", "data.npz"),
        ({"x": np.full((12, 2), np.inf), "y": Y}, "not_finite", "data.npz"),
        ({"x": np.full((12, 2), "a"), "y": Y}, "wrong_type", "data.npz"),
        ({"x_train": X, "y_train": Y * 0.5, "x_test": X, "y_test": Y}, "mismatch", "data.npz"),
        ({"x": X, "y": np.stack([Y, Y], 1)}, "out_of_range", "data.npz"),
        ({"x": X}, "unknown_name", "data.npz"),
        ({"a": X}, "unknown_name", "data.npz"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "unknown_name", "data.npz"),
        ({"x": X, "y": Y[:5]}, "mismatch", "data.npz"),
        ({"x": X, "y": Y * 1j}, "wrong_type", "data.npz"),
        ({"x": X, "y": X}, "wrong_shape", "data.npz"),
        ({"x": X, "y": Y * 0}, "too_few", "data.npz"),
        ({"x": X[0, 0, 0], "y": Y[:3]}, "wrong_shape", "data.npz"),
        ({"x": X[:, :3], "y": Y}, "missing", "data.npz"),
        ({"x": X[..., :2], "y": Y}, "missing", "data.npz"),
        ({"x": X.astype(int) - 1, "y": Y}, "out_of_range", "data.npz"),
        ({"x": X.astype(complex), "y": Y}, "wrong_type", "data.npz"),
        ({"x": np.where(X.max() == X, np.nan, X / 255), "y": Y}, "not_finite", "data.npz"),
        ({"x": X * 1.0, "y": Y}, "out_of_range", "data.npz"),
        ({"x": X, "y": np.array([{}, 1] * 6, dtype=object)}, "unreadable", "data.npz"),
    ],
)
def test_arrays_that_cannot_be_are_refused_with_its_place(tmp_path, arrays, code, path):
    with pytest.raises(DataError) as refused:
        Npz(file=save(tmp_path, **arrays)).load()
    assert refused.value.code == code
    assert refused.value.path == str(tmp_path / path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((12, 2)), "y": Y, "columns": np.array(["a", "a"])}, "columns is .* expected 2 different names"),
        ({"x_train": X, "y_train": Y * 0.5, "x_test": X, "y_test": Y}, "y_test has type int64; expected the type of"),
        ({"x": X, "y": Y * 1j}, "y has type complex128"),
        ({"x": X, "y": Y * 0}, r"x: the data has 1 class\(es\)"),
        ({"x": X[:, :3], "y": Y}, "say layout: NCHW or layout: NHWC"),
        ({"x": np.where(X.max() == X, np.nan, X / 255), "y": Y}, r"data\.npz: x: image \d+ holds NaN or infinity"),
    ],
)
def test_arrays_that_cannot_be_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        Npz(file=save(tmp_path, **arrays)).load()


def test_files_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no\.npz: not found"):
        Npz(file=str(tmp_path / "no.npz")).load()
    whole = Path(save(tmp_path, x=X, y=Y)).read_bytes()
    np.save(tmp_path / "plain.npy", X)
    for content in (b"", b"text", whole[:-100], whole[:600], (tmp_path / "plain.npy").read_bytes()):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz: cannot be read as \.npz"):
            Npz(file=str(tmp_path / "bad.npz")).load()
