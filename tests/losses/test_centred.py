import numpy as np
import pytest
import torch

from limbeck.losses._centred import centred_unit
from losses.inputs import draw


def test_inner_products_are_pearsons_correlations() -> None:
    values = draw(4, 9) + 3
    directions, constant = centred_unit(values)
    torch.testing.assert_close(directions @ directions.T, torch.from_numpy(np.corrcoef(values.numpy())))
    assert not constant.any()


def test_weights_leave_values_out() -> None:
    values, weight = draw(4, 9), torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    directions, _ = centred_unit(values, weight=weight)
    expected, _ = centred_unit(values[:, weight == 1])
    torch.testing.assert_close(directions[:, weight == 1], expected)
    assert not directions[:, weight == 0].any()


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_constant_values_give_0_and_a_finite_gradient(constant: float, dtype: torch.dtype) -> None:
    values = torch.full((2, 7), constant, dtype=dtype, requires_grad=True)
    directions, is_constant = centred_unit(values)
    assert is_constant.all()
    assert directions.abs().max() <= 8 * torch.finfo(dtype).eps * max(constant, 1.0)
    (gradient,) = torch.autograd.grad(directions[0, 0], values)
    torch.testing.assert_close(gradient[0], torch.eye(7, dtype=dtype)[0] - 1 / 7)


def test_a_known_mean_has_no_gradient() -> None:
    probabilities = draw(3, 5).softmax(dim=-1).requires_grad_()
    directions, _ = centred_unit(probabilities, mean=1 / 5)
    torch.testing.assert_close(directions, centred_unit(probabilities)[0])
    assert torch.autograd.gradcheck(lambda p: centred_unit(p, mean=1 / 5)[0], probabilities)
