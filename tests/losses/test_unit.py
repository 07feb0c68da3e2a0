import pytest
import torch

from limbeck.losses._unit import unit_vectors


def test_rows_of_zeros_keep_length_0_and_gradient_0() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-18, 0.0]], requires_grad=True)
    directions = unit_vectors(rows)
    assert directions.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0], [1.0, 0.0]]
    (gradient,) = torch.autograd.grad(directions.sum(), rows)
    assert gradient[1].tolist() == [0.0, 0.0]
    assert gradient.isfinite().all()
