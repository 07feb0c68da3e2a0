import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import weight_match
from refusals import refused


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2, 2)])
def test_it_is_torchs_mean(shape: tuple[int, ...]) -> None:
    student, teacher = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(weight_match(student, teacher), F.mse_loss(student, teacher).reshape(1))


def test_other_shapes_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        weight_match(torch.zeros(3), torch.zeros(4))
