import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import correlation_congruence
from losses.inputs import draw


def test_expansion_of_a_high_order_is_the_gaussian_kernel() -> None:
    student, teacher = draw(7, 5), draw(7, 4, seed=1)
    kernels = []
    for rows in (student, teacher):
        directions = F.normalize(rows)
        kernels.append((-0.4 * torch.cdist(directions, directions).square()).exp())
    exact = F.mse_loss(*kernels)
    errors = [(correlation_congruence(student, teacher, order=order) - exact).abs().item() for order in (1, 3, 6, 40)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-15
    assert correlation_congruence(student, teacher, order=400).isfinite()


@pytest.mark.parametrize("options", [{"gamma": 0.0}, {"gamma": math.inf}, {"gamma": math.nan}, {"order": 0}])
def test_impossible_kernels_are_rejected(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match=rf"correlation_congruence: {next(iter(options))} is"):
        correlation_congruence(draw(4, 3), draw(4, 3), **options)
