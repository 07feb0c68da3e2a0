import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional import (
    decoupled_kd,
    dist,
    generalized_jsd,
    kl_divergence,
    multi_level_logits,
    reverse_kl,
    soft_cross_entropy,
    total_variation,
)
from losses.inputs import draw_logits
from refusals import refused

Loss = Callable[..., Tensor]
LABELS = torch.tensor([0, 3, 1, 4, 4, 2, 0])


def with_labels(loss: Loss) -> Loss:
    def labelled(student: Tensor, teacher: Tensor, **options: object) -> Tensor:
        return loss(student, teacher, LABELS[: len(student)], **options)

    return labelled


SOFTENED = {
    "decoupled_kd": with_labels(decoupled_kd),
    "dist": dist,
    "generalized_jsd": generalized_jsd,
    "kl_divergence": kl_divergence,
    "reverse_kl": reverse_kl,
    "soft_cross_entropy": soft_cross_entropy,
    "total_variation": total_variation,
}
JSD = {f"jsd {beta}": partial(generalized_jsd, beta=beta) for beta in (0.0, 0.1, 0.5, 0.9, 1.0)}
PER_ROW = {"reverse_kl": reverse_kl, "total_variation": total_variation, **JSD}
softened = pytest.mark.parametrize("loss", SOFTENED.values(), ids=SOFTENED)
per_row = pytest.mark.parametrize("loss", PER_ROW.values(), ids=PER_ROW)


def test_reverse_is_the_divergence_with_the_models_exchanged() -> None:
    student, teacher = draw_logits(7, 5)
    value = reverse_kl(student, teacher, temperature=3.0)
    torch.testing.assert_close(value, kl_divergence(teacher, student, temperature=3.0), rtol=0, atol=0)


def test_jsd_at_the_ends_is_one_of_the_two_divergences() -> None:
    student, teacher = draw_logits(7, 5)
    for temperature in (1.0, 4.0):
        forward = generalized_jsd(student, teacher, beta=0.0, temperature=temperature)
        reverse = generalized_jsd(student, teacher, beta=1.0, temperature=temperature)
        assert torch.equal(forward, kl_divergence(student, teacher, temperature=temperature))
        assert torch.equal(reverse, reverse_kl(student, teacher, temperature=temperature))


@pytest.mark.parametrize("beta", [1e-3, 1e-5, 1e-7])
def test_jsd_tends_to_the_two_divergences_and_so_do_its_gradients(beta: float) -> None:
    student, teacher = draw_logits(7, 5)
    for near, share, limit in ((beta, beta, kl_divergence), (1 - beta, beta, reverse_kl)):
        value, expected = generalized_jsd(student, teacher, beta=near) / share, limit(student, teacher)
        torch.testing.assert_close(value, expected, rtol=100 * beta + 1e-7, atol=0)
        (gradient,), (slope,) = (torch.autograd.grad(v.sum(), student) for v in (value, expected))
        torch.testing.assert_close(gradient, slope, rtol=0, atol=(1000 * beta + 1e-6) * slope.abs().max().item())


def test_jsd_at_a_half_is_the_square_of_the_distance_of_scipy() -> None:
    student, teacher = draw_logits(7, 5)
    q, p = (F.softmax(logits.detach(), dim=1).numpy() for logits in (student, teacher))
    expected = torch.from_numpy(jensenshannon(p, q, axis=1) ** 2)
    torch.testing.assert_close(generalized_jsd(student, teacher).detach(), expected)
    torch.testing.assert_close(generalized_jsd(teacher, student.detach()), expected)


def test_jsd_is_at_most_the_entropy_of_beta() -> None:
    apart = torch.tensor([[1e4, -1e4]], dtype=torch.float64)
    for beta in (0.1, 0.5, 0.75):
        entropy = -(beta * math.log(beta) + (1 - beta) * math.log(1 - beta))
        assert generalized_jsd(apart, -apart, beta=beta).item() == pytest.approx(entropy)


def test_total_variation_is_0_to_1_and_the_largest_difference_of_an_event() -> None:
    student, teacher = draw_logits(4, 5)
    q, p = F.softmax(student, dim=1), F.softmax(teacher, dim=1)
    events = [torch.tensor(event) for event in itertools.product([0.0, 1.0], repeat=5)]
    largest = torch.stack([((p - q) * event).sum(1) for event in events]).amax(0)
    torch.testing.assert_close(total_variation(student, teacher), largest)
    assert total_variation(torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])).item() == 1.0


@per_row
def test_classes_are_on_the_last_axis(loss: Loss) -> None:
    student, teacher = draw_logits(2, 3, 5)
    value = loss(student, teacher, temperature=2.0)
    assert value.shape == (2, 3)
    torch.testing.assert_close(value[1], loss(student[1], teacher[1], temperature=2.0))


@per_row
@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_finite_where_a_probability_underflows(loss: Loss, temperature: float) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]], requires_grad=True)
    for teacher in (student.detach(), -student.detach(), student.detach().roll(1, 1)):
        value = loss(student, teacher, temperature=temperature)
        (gradient,) = torch.autograd.grad(value.sum(), student)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


@softened
@pytest.mark.parametrize("standardize", [False, True])
def test_the_factor_is_the_square_of_the_temperature(loss: Loss, standardize: bool) -> None:
    student, teacher = draw_logits(7, 5)
    if standardize:
        student, teacher = (
            (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True, correction=0) for z in (student, teacher)
        )
    value = loss(*draw_logits(7, 5), temperature=4.0, standardize=standardize)
    torch.testing.assert_close(value, 16 * loss(student / 4, teacher / 4, temperature=1.0))


@softened
def test_standardized_losses_ignore_scale_and_shift(loss: Loss) -> None:
    student, teacher = draw_logits(7, 5)
    value = loss(student, teacher, temperature=2.0, standardize=True)
    other = loss(30 * student + 7, 0.1 * teacher - 3, temperature=2.0, standardize=True)
    torch.testing.assert_close(other, value)


@softened
def test_standardized_equal_logits_are_the_uniform_distribution(loss: Loss) -> None:
    student, teacher = torch.full((7, 5), 0.1, requires_grad=True), draw_logits(7, 5)[1].float()
    value = loss(student, teacher, temperature=2.0, standardize=True)
    uniform = loss(torch.zeros(7, 5), teacher, temperature=2.0, standardize=True)
    torch.testing.assert_close(value, uniform)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 100


def test_standardized_a_student_that_keeps_the_relations_loses_nothing() -> None:
    teacher = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
    small, wrong = 0.1 * teacher, torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    assert kl_divergence(small, teacher).item() > 0.2
    assert kl_divergence(small, teacher, standardize=True).item() == pytest.approx(0.0, abs=1e-14)
    assert kl_divergence(wrong, teacher, standardize=True).item() > 0.1


def test_levels_are_standardized_too() -> None:
    student, teacher = draw_logits(7, 5)
    value = multi_level_logits(student, teacher, standardize=True)
    torch.testing.assert_close(multi_level_logits(30 * student + 7, 0.1 * teacher, standardize=True), value)


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan, math.inf])
def test_a_beta_out_of_range_is_rejected(beta: float) -> None:
    with refused(ArgumentError, "out_of_range", "beta"):
        generalized_jsd(*draw_logits(7, 5), beta=beta)


@per_row
def test_inputs_that_do_not_fit_are_rejected(loss: Loss) -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        loss(torch.zeros(4, 10), torch.zeros(4, 1))
    with refused(ArgumentError, "out_of_range", "temperature"):
        loss(torch.zeros(4, 10), torch.zeros(4, 10), temperature=0.0)


@pytest.mark.parametrize("beta", [0.0, 0.25, 0.5, 1.0])
def test_both_sides_have_gradients_and_these_have_gradients(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def value(student: Tensor, teacher: Tensor) -> Tensor:
        return generalized_jsd(student, teacher, beta=beta, temperature=2.0)

    assert torch.autograd.gradcheck(value, sides)
    assert torch.autograd.gradgradcheck(value, sides)
