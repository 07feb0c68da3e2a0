from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.values import Values


def test_several_targets_keep_their_axis() -> None:
    outputs = torch.tensor([[1.0, -1.0], [0.0, 2.0]])
    values = Values(nn.Identity(), mean=[10.0, 0.0], std=[2.0, 5.0], single=False)(outputs)["value"]
    assert values.tolist() == [[12.0, -5.0], [10.0, 10.0]]


def test_an_output_by_name_is_read() -> None:
    class Named(nn.Module):
        def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": rows}

    values = Values(Named(), mean=[1.0], std=[1.0], single=True)(torch.zeros(3, 1))["value"]
    assert values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("mean", "std", "single"),
    [([], [], False), ([0.0], [0.0], False), ([0.0, 0.0], [1.0], False), ([0.0] * 2, [1.0] * 2, True)],
)
def test_what_does_not_fit_is_refused(mean: list[float], std: list[float], single: bool) -> None:
    with pytest.raises(ArgumentError, match="Values"):
        Values(nn.Identity(), mean=mean, std=std, single=single)
