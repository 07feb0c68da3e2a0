import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional import kl_divergence as torchmetrics_kl_divergence

from limbeck.errors import ArgumentError
from limbeck.functional import kl_divergence, soft_cross_entropy
from limbeck.losses import KLDivergence, SoftCrossEntropy
from losses.inputs import draw_logits
from refusals import refused

both = pytest.mark.parametrize("loss", [kl_divergence, soft_cross_entropy], ids=lambda loss: loss.__name__)
Loss = Callable[..., Tensor]


def test_divergence_is_taken_under_the_teacher() -> None:
    certain, even = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)  # probabilities ¾, ¼ and ½, ½
    to_even = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    to_certain = 0.5 * math.log(2 / 3) + 0.5 * math.log(2.0)
    assert kl_divergence(even, certain).item() == pytest.approx(to_even, rel=1e-6)
    assert kl_divergence(certain, even).item() == pytest.approx(to_certain, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_divergence_is_that_of_torch_and_torchmetrics(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    value = kl_divergence(student, teacher, temperature=temperature) / temperature**2
    log_q, log_p = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    torch.testing.assert_close(value, F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1))
    torch.testing.assert_close(value.mean(), F.kl_div(log_q, log_p.exp(), reduction="batchmean"))
    torch.testing.assert_close(value, torchmetrics_kl_divergence(log_p.detach(), log_q.detach(), True, "none"))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_cross_entropy_is_that_of_torch(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    value = soft_cross_entropy(student, teacher, temperature=temperature) / temperature**2
    expected = F.cross_entropy(student / temperature, F.softmax(teacher / temperature, dim=1), reduction="none")
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_two_differ_by_the_entropy_and_share_the_gradient(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    divergence = kl_divergence(student, teacher, temperature=temperature)
    cross_entropy = soft_cross_entropy(student, teacher, temperature=temperature)
    entropy = torch.distributions.Categorical(logits=teacher / temperature).entropy()
    torch.testing.assert_close(cross_entropy, divergence + temperature**2 * entropy)
    for value in (divergence, cross_entropy):
        (gradient,) = torch.autograd.grad(value.sum(), student)
        expected = temperature * (F.softmax(student / temperature, dim=1) - F.softmax(teacher / temperature, dim=1))
        torch.testing.assert_close(gradient, expected)


@both
def test_gradient_at_a_high_temperature_is_that_of_centred_logits(loss: Loss) -> None:
    student, teacher = draw_logits(7, 5)
    (gradient,) = torch.autograd.grad(loss(student, teacher, temperature=1e5).sum(), student)
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(gradient, centred / 5, rtol=1e-4, atol=1e-4)


@both
def test_classes_are_on_the_last_axis_of_any_number(loss: Loss) -> None:
    student, teacher = draw_logits(2, 3, 4, 5)
    value = loss(student, teacher, temperature=2.0)
    assert value.shape == (2, 3, 4)
    for place in itertools.product(range(2), range(3), range(4)):
        torch.testing.assert_close(value[place], loss(student[place], teacher[place], temperature=2.0))


@both
def test_no_rows_give_no_values(loss: Loss) -> None:
    assert loss(torch.zeros(0, 5), torch.zeros(0, 5)).shape == (0,)


@both
def test_shifted_logits_and_reordered_classes_change_nothing(loss: Loss) -> None:
    student, teacher = draw_logits(7, 5)
    value = loss(student, teacher, temperature=3.0)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(loss(student + 7.0, teacher - 3.0, temperature=3.0), value)
    torch.testing.assert_close(loss(student[:, order], teacher[:, order], temperature=3.0), value)


@both
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_finite_where_a_probability_underflows(loss: Loss, temperature: float) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]], requires_grad=True)
    for teacher in (student.detach(), -student.detach(), student.detach().roll(1, 1)):
        value = loss(student, teacher, temperature=temperature)
        (gradient,) = torch.autograd.grad(value.sum(), student)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


def test_divergence_of_equal_logits_is_exactly_0() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        logits = torch.tensor([[1e4, -1e4, 3.0], [0.1, 0.2, -0.3]], dtype=dtype)
        for temperature in (0.3, 1.0, 7.0):
            assert not kl_divergence(logits, logits, temperature=temperature).any()


@both
def test_compiled_whole_at_several_temperatures_and_sizes(loss: Loss) -> None:
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for rows, temperature in ((7, 1.0), (7, 2.0), (6, 3.5), (5, 4.0)):
        student, teacher = draw_logits(rows, 5)
        value = compiled(student, teacher, temperature=temperature)
        torch.testing.assert_close(value, loss(student, teacher, temperature=temperature))


@both
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_impossible_temperatures_are_rejected(loss: Loss, temperature: float) -> None:
    with refused(ArgumentError, "out_of_range", "temperature"):
        loss(*draw_logits(7, 5), temperature=temperature)


@both
@pytest.mark.parametrize(
    ("student", "teacher"), [((4, 10), (4, 12)), ((4, 10), (5, 10)), ((4, 10), (1, 10)), ((4, 10), (10,)), ((), ())]
)
def test_shapes_that_do_not_fit_are_rejected(loss: Loss, student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with refused(ArgumentError, "wrong_shape", "student") as raised:
        loss(torch.zeros(student), torch.zeros(teacher))
    assert f"student has shape {list(student)} and teacher {list(teacher)}" in str(raised.value)
    assert "\n" not in str(raised.value)


@both
def test_class_numbers_are_rejected(loss: Loss) -> None:
    with refused(ArgumentError, "wrong_type", "student"):
        loss(torch.zeros(4, 10), torch.zeros(4, 10, dtype=torch.int64))


@pytest.mark.parametrize("loss", [KLDivergence, SoftCrossEntropy])
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_impossible_temperatures_are_rejected_at_construction(
    loss: type[KLDivergence | SoftCrossEntropy], temperature: float
) -> None:
    with refused(ArgumentError, "out_of_range", "temperature"):
        loss(temperature=temperature)
