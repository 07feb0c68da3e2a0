from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models import Normalized


def test_channels_are_normalized_each_by_its_own_numbers() -> None:
    images = np.random.default_rng(0).random((5, 3, 4, 4), dtype=np.float32)
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    normalized = Normalized(nn.Identity(), mean.tolist(), std.tolist())(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(normalized.mean((0, 2, 3)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(normalized.std((0, 2, 3)), np.ones(3), atol=1e-5)


def test_the_numbers_are_saved_with_the_weights() -> None:
    model = Normalized(nn.Conv2d(2, 1, 1), [0.1, 0.2], [0.3, 0.4])
    other = Normalized(nn.Conv2d(2, 1, 1), [0.0, 0.0], [1.0, 1.0])
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    images = torch.rand(2, 2, 3, 3)
    assert torch.equal(model(images), other(images))
    assert {name for name, _ in model.named_parameters()} == {"net.weight", "net.bias"}


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5], [0.5, 0.5], "1 means and 2 standard deviations"),
        ([], [], "0 means and 0 standard deviations"),
        ([float("nan")], [0.5], "the means are"),
        ([0.5], [0.0], "the standard deviations are"),
        ([0.5], [float("inf")], "the standard deviations are"),
    ],
)
def test_impossible_numbers_are_refused(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Normalized(nn.Identity(), mean, std)
