from __future__ import annotations

import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.functional import pinball, squared_error
from refusals import refused


def test_it_is_torch_s_unreduced_mean_squared_error() -> None:
    torch.manual_seed(0)
    student, target = torch.randn(5, 3), torch.randn(5, 3)
    expected = torch.nn.functional.mse_loss(student, target, reduction="none")
    torch.testing.assert_close(squared_error(student, target), expected)


@pytest.mark.parametrize(
    ("student", "target"),
    [
        (torch.zeros(4), torch.zeros(4, 1)),
        (torch.zeros(4), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(4, dtype=torch.int64), torch.zeros(4)),
    ],
)
def test_what_does_not_fit_is_refused(student: torch.Tensor, target: torch.Tensor) -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        squared_error(student, target)


def test_the_least_pinball_loss_is_at_the_quantile() -> None:
    """Over many draws, no other constant has a lower mean loss than the empirical quantile."""
    torch.manual_seed(0)
    draws = torch.randn(2001, dtype=torch.float64)
    for level in (0.1, 0.5, 0.8):
        candidates = draws.sort().values
        losses = torch.stack([pinball(c.expand(2001, 1), draws, quantiles=(level,)).mean() for c in candidates[::20]])
        best = candidates[::20][losses.argmin()]
        assert abs((draws <= best).double().mean().item() - level) < 0.02


@pytest.mark.parametrize("quantiles", [(), (0.5, 0.5), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0)])
def test_levels_that_do_not_ascend_between_0_and_1_are_refused(quantiles: tuple[float, ...]) -> None:
    with refused(ArgumentError, "out_of_range", "quantiles"):
        pinball(torch.zeros(2, len(quantiles)), torch.zeros(2), quantiles=quantiles)


def test_predictions_of_another_number_of_quantiles_are_refused() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        pinball(torch.zeros(2, 2), torch.zeros(2))
