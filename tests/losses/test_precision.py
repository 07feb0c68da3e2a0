import pytest
import torch

from limbeck.losses.precision import at_least_float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_with_a_gradient_of_its_own_dtype(dtype: torch.dtype) -> None:
    values = torch.tensor([1.0, 2.5], dtype=dtype, requires_grad=True)
    wide = at_least_float32(values)
    assert wide.dtype == torch.float32
    assert wide.tolist() == [1.0, 2.5]
    (gradient,) = torch.autograd.grad(wide.square().sum(), values)
    assert gradient.dtype == dtype
    assert gradient.tolist() == [2.0, 5.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wider_tensors_are_returned_unchanged(dtype: torch.dtype) -> None:
    values = torch.ones(2, dtype=dtype)
    assert at_least_float32(values) is values
