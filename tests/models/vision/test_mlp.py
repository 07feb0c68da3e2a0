from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.models import MLP


def test_logits_are_those_of_numpy() -> None:
    torch.manual_seed(0)
    net = MLP(channels=2, classes=3, size=(4, 5), width=7, depth=2, dropout=0.5).eval()
    images = torch.rand(6, 2, 4, 5)
    weights = {name: value.double().numpy() for name, value in net.state_dict().items()}
    rows = images.double().numpy().reshape(6, 40)
    for layer in ("layers.0.0", "layers.1.0"):
        rows = np.maximum(rows @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"], 0)
    expected = rows @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(net(images).detach().numpy(), expected, atol=1e-5)


def test_dropout_zeroes_its_share_in_training_only() -> None:
    torch.manual_seed(0)
    net = MLP(channels=1, classes=3, size=(4, 4), width=4000, depth=1, dropout=0.25)
    images = torch.rand(1, 1, 4, 4)
    active = net.eval().layers(images.flatten(1)) > 0
    kept = net.train().layers(images.flatten(1)) > 0
    assert (kept.sum() / active.sum()).item() == pytest.approx(0.75, abs=0.03)


def test_no_dropout_means_no_such_module() -> None:
    net = MLP(channels=1, classes=3, size=(4, 4))
    assert not any(isinstance(module, torch.nn.Dropout) for module in net.modules())


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_impossible_dropout_is_refused(dropout: float) -> None:
    with pytest.raises(ArgumentError, match=r"mlp: dropout is .*; expected a share in \[0, 1\)"):
        MLP(channels=1, classes=3, size=(4, 4), dropout=dropout)
