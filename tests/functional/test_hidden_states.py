import pytest
import torch
import torch.nn.functional as F

from limbeck.errors import ArgumentError
from limbeck.functional import cosine_hidden, hidden_states_mse, hint_mse, patient_kd

LOSSES = [hidden_states_mse, cosine_hidden, patient_kd]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
def test_what_does_not_fit_is_refused(loss, student, teacher, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as raised:
        loss(student, teacher)
    assert str(raised.value).startswith(loss.__name__)
