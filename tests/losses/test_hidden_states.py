"""What the losses between several layers keep: maps, choices and projections."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import cosine_hidden, hidden_states_mse, hint_mse, patient_kd
from limbeck.losses import CosineHidden, HiddenStatesMSE, PatientKD
from losses.inputs import draw

LOSSES = [hidden_states_mse, cosine_hidden, patient_kd]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def states(width: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return draw(5, 3, width), draw(5, 3, width, seed=1)


def test_mse_of_one_layer_is_a_hint() -> None:
    torch.testing.assert_close(hidden_states_mse(*states()), hint_mse(*states()))


def test_cosine_is_torchs_cosine_embedding_loss() -> None:
    student, teacher = states()
    rows = student.flatten(0, 1), teacher.flatten(0, 1)
    expected = F.cosine_embedding_loss(*rows, torch.ones(15), reduction="none")
    torch.testing.assert_close(cosine_hidden(student, teacher).flatten(), expected)


def test_patience_is_the_cosine_of_first_tokens() -> None:
    student, teacher = states()
    torch.testing.assert_close(patient_kd(student, teacher), cosine_hidden(student, teacher)[:, 0] * 2 / 4)
    torch.testing.assert_close(patient_kd(student, teacher), patient_kd(student[:, 0], teacher[:, 0]))


def test_patience_reads_no_other_token() -> None:
    student, teacher = states()
    expected = patient_kd(student, teacher)
    student[:, 1:], teacher[:, 1:] = torch.nan, torch.inf
    assert torch.equal(patient_kd(student, teacher), expected)


@every_loss
def test_layers_are_averaged(loss) -> None:
    first, second = states(), states(width=7)
    both = loss([first[0], second[0]], [first[1], second[1]])
    torch.testing.assert_close(both, (loss(*first) + loss(*second)) / 2)
    assert torch.equal(loss([first[0]], (first[1],)), loss(*first))


@pytest.mark.parametrize("loss", [cosine_hidden, patient_kd])
def test_the_length_of_states_does_not_matter(loss) -> None:
    student, teacher = states()
    torch.testing.assert_close(loss(7e4 * student, 1e-4 * teacher), loss(student, teacher))


@pytest.mark.parametrize("loss", [cosine_hidden, patient_kd])
def test_states_of_zeros_have_a_finite_gradient(loss) -> None:
    student = torch.zeros(5, 3, 4, requires_grad=True)
    value = loss(student, draw(5, 3, 4).float())
    value.sum().backward()
    torch.testing.assert_close(value, torch.full_like(value, 0.5 if loss is cosine_hidden else 0.25))
    assert student.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (draw(5, 3, 4), draw(5, 3, 6), r"student has shape .*4\] and teacher .*6\], expected one shape"),
        (draw(5, 3, 4), draw(4, 3, 4), "expected one shape"),
        ([draw(5, 3, 4)] * 2, [draw(5, 3, 4)] * 3, "2, 3 layers are given, expected equal numbers"),
        ([], [], "0, 0 layers are given"),
        (draw(5, 3, 4).long(), draw(5, 3, 4), r"student is torch\.int64 and teacher torch\.float64"),
        (draw(5), draw(5), "shape"),
    ],
)
def test_inputs_that_do_not_fit_are_rejected(loss, student, teacher, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as raised:
        loss(student, teacher)
    assert str(raised.value).startswith(loss.__name__)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def stack(depth: int, width: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return tuple(draw(6, 3, width, seed=100 * seed + layer) for layer in range(depth))


def test_hidden_states_start_with_the_embeddings() -> None:
    student, teacher = stack(3), stack(5, seed=1)
    value = HiddenStatesMSE()(student, teacher)
    torch.testing.assert_close(value, hidden_states_mse(student, [teacher[layer] for layer in (0, 2, 4)]))
    without = HiddenStatesMSE(embeddings=False)(student[1:], teacher[1:])
    torch.testing.assert_close(without, hidden_states_mse(student[1:], [teacher[2], teacher[4]]))


def test_pairs_are_positions_in_hidden_states() -> None:
    student, teacher = stack(3), stack(5, seed=1)
    value = HiddenStatesMSE(layers=[[1, 3], [2, -1]])(student, teacher)
    torch.testing.assert_close(value, hidden_states_mse(student[1:], teacher[3:]))


def test_the_paper_of_patience_leaves_the_last_layer_to_the_logits() -> None:
    student, teacher = stack(7), stack(13, seed=1)
    for rule, layers in (("skip", (2, 4, 6, 8, 10)), ("last", (7, 8, 9, 10, 11))):
        value = PatientKD(layers=rule)(student, teacher)
        torch.testing.assert_close(value, patient_kd(student[1:6], [teacher[layer] for layer in layers]))
    student = stack(4)
    value = PatientKD()(student, teacher)
    torch.testing.assert_close(value, patient_kd(student[1:3], [teacher[4], teacher[8]]))
    value = PatientKD(layers=[[3, 12]])(student, teacher)
    torch.testing.assert_close(value, patient_kd(student[3], teacher[12]))


def test_cosine_compares_the_last_layers_by_default() -> None:
    student, teacher = stack(3), stack(5, seed=1)
    torch.testing.assert_close(CosineHidden()(student, teacher), cosine_hidden(student[-1], teacher[-1]))
    torch.testing.assert_close(CosineHidden()(student[0], teacher[0]), cosine_hidden(student[0], teacher[0]))
    value = CosineHidden(layers="last")(student, teacher)
    torch.testing.assert_close(value, cosine_hidden(student[1:], teacher[3:]))


def test_one_layer_may_be_compared_with_one_of_several() -> None:
    student, teacher = stack(1)[0], stack(5, seed=1)
    torch.testing.assert_close(CosineHidden()(student, teacher), cosine_hidden(student, teacher[-1]))
    torch.testing.assert_close(HiddenStatesMSE()(student, teacher), hidden_states_mse(student, teacher[-1]))
