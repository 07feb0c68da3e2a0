import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli
from torch.distributions import kl_divergence as divergence_of

from limbeck.errors import ArgumentError
from limbeck.functional import binary_cross_entropy, binary_kd, kl_divergence
from losses.inputs import draw_logits
from refusals import refused


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_the_divergence_of_torchs_distributions(temperature: float) -> None:
    student, teacher = draw_logits(7, 5)
    p, q = (Bernoulli(logits=z / temperature) for z in (teacher, student))
    expected = temperature**2 * divergence_of(p, q).sum(1)
    torch.testing.assert_close(binary_kd(student, teacher, temperature=temperature), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_one_logit_is_two_classes_with_the_other_at_0(temperature: float) -> None:
    student, teacher = draw_logits(7, 1)
    two = [F.pad(logits, (0, 1)) for logits in (student, teacher)]
    expected = kl_divergence(*two, temperature=temperature)
    torch.testing.assert_close(binary_kd(student, teacher, temperature=temperature), expected)


def test_labels_are_independent() -> None:
    student, teacher = draw_logits(7, 5)
    parts = [binary_kd(student[:, [label]], teacher[:, [label]]) for label in range(5)]
    torch.testing.assert_close(binary_kd(student, teacher), torch.stack(parts).sum(0))


def test_exchanging_yes_and_no_changes_nothing() -> None:
    student, teacher = draw_logits(7, 5)
    torch.testing.assert_close(binary_kd(-student, -teacher), binary_kd(student, teacher))


def test_gradient_is_that_of_the_binary_cross_entropy_with_soft_targets() -> None:
    student, teacher = draw_logits(7, 5)
    (gradient,) = torch.autograd.grad(binary_kd(student, teacher).sum(), student)
    loss = F.binary_cross_entropy_with_logits(student, teacher.sigmoid(), reduction="sum")
    torch.testing.assert_close(gradient, torch.autograd.grad(loss, student)[0])


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_finite_where_a_probability_underflows(temperature: float) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    for teacher in (student.detach(), -student.detach()):
        value = binary_kd(student, teacher, temperature=temperature)
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


def test_inputs_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        binary_kd(torch.zeros(4, 1), torch.zeros(4))
    with refused(ArgumentError, "out_of_range", "temperature"):
        binary_kd(torch.zeros(4, 1), torch.zeros(4, 1), temperature=0.0)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float32])
def test_cross_entropy_of_answers_is_that_of_torch_times_the_number_of_labels(kind: torch.dtype) -> None:
    student, teacher = draw_logits(7, 5)
    target = (teacher > 0.5).to(kind)
    expected = 5 * F.binary_cross_entropy_with_logits(student, target.double())
    torch.testing.assert_close(binary_cross_entropy(student, target).mean(), expected)


def test_cross_entropy_with_the_teachers_probabilities_is_its_divergence_and_entropy() -> None:
    student, teacher = draw_logits(7, 5)
    entropy = Bernoulli(logits=teacher).entropy().sum(1)
    expected = binary_kd(student, teacher) + entropy
    torch.testing.assert_close(binary_cross_entropy(student, teacher.sigmoid()), expected)


def test_labels_that_do_not_fit_are_rejected() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        binary_cross_entropy(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    with refused(ArgumentError, "wrong_shape", "student"):
        binary_cross_entropy(torch.zeros(4, 3, dtype=torch.int64), torch.zeros(4, 3))
