import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import kl_divergence, mse_logits
from losses.inputs import draw_logits
from refusals import refused


def test_mean_over_rows_is_torchs() -> None:
    student, teacher = draw_logits(7, 5)
    torch.testing.assert_close(mse_logits(student, teacher).mean(), F.mse_loss(student, teacher))


def test_half_the_centred_value_is_the_limit_of_the_divergence() -> None:
    student, teacher = (logits - logits.mean(-1, keepdim=True) for logits in draw_logits(7, 5))
    limit = kl_divergence(student, teacher, temperature=1e4)
    torch.testing.assert_close(mse_logits(student, teacher) / 2, limit, rtol=1e-3, atol=1e-5)


def test_classes_are_on_the_last_axis() -> None:
    student, teacher = draw_logits(2, 3, 5)
    value = mse_logits(student, teacher)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value[1], mse_logits(student[1], teacher[1]))


def test_half_precision_does_not_overflow() -> None:
    value = mse_logits(torch.full((1, 2), 6e4, dtype=torch.float16), torch.full((1, 2), -6e4, dtype=torch.float16))
    assert value.isfinite().all()


@pytest.mark.parametrize(("student", "teacher"), [((4, 10), (4, 12)), ((4, 10), (4, 1)), ((), ())])
def test_shapes_that_do_not_fit_are_rejected(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with refused(ArgumentError, "wrong_shape", "student") as raised:
        mse_logits(torch.zeros(student), torch.zeros(teacher))
    assert f"{list(student)} and teacher {list(teacher)}" in str(raised.value)
