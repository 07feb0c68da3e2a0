"""The digits against scikit-learn's own reader, and what the room imports."""

import torch
from sklearn.datasets import load_digits

from forks import TORCH, forked
from limbeck.data.sources.digits import Digits
from limbeck.registry import lookup


def test_equals_the_reader_of_scikit_learn():
    data = Digits().load()["train"]
    expected = load_digits()
    images = data.images.take(torch.arange(len(data)))
    assert torch.equal(images[:, 0].double() * 16, torch.from_numpy(expected.images))
    assert data.target.tolist() == expected.target.tolist()
    assert data.classes == tuple(map(str, expected.target_names))
    assert data.index.tolist() == list(range(1797))


def test_is_registered():
    assert lookup("source", "digits") is Digits


def test_the_room_and_its_default_source_import_no_heavy_package(tmp_path):
    code = (
        "import sys, limbeck.data as d; d.Digits().load();"
        "print([name for name in ('sklearn', 'PIL', 'mlxtend', 'pandas', 'torchvision') if name in sys.modules])"
    )
    (done,) = forked((code, [], {}), folder=tmp_path, modules=TORCH)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
