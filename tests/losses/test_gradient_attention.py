"""The gradients inside a Distiller, where terms mask and cast what they read."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.ranks import Ranks
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.functional import gradient_attention
from limbeck.losses import CrossEntropy, GradientAttention
from limbeck.teachers import Frozen
from losses.gradient_attention import batch, distiller, gradients_of_half, network
from losses.inputs import draw
from refusals import refused


def test_gradient_attention_is_a_squared_norm() -> None:
    student, teacher = draw(6, 3, 4, 5), draw(6, 3, 4, 5, seed=1)
    expected = torch.linalg.vector_norm(student - teacher, dim=(1, 2, 3)) ** 2
    torch.testing.assert_close(gradient_attention(student, teacher), expected)
    assert not gradient_attention(student, -student, channels="sum").any()


def test_channels_that_are_compared_one_by_one_must_be_equal() -> None:
    with refused(ArgumentError, "wrong_shape", "student"):
        gradient_attention(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4))
    with refused(ArgumentError, "out_of_range", "channels"):
        gradient_attention(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), channels="mean")


def by_hand(mask: torch.Tensor) -> list[torch.Tensor]:
    """The gradient of the mean over these rows, with one loop over the rows."""
    student, teacher, data = network(2, 0), network(5, 1), batch()
    total = torch.zeros((), dtype=torch.float64)
    for row in mask.nonzero().flatten().tolist():
        maps = []
        for model in (student, teacher):
            features = model[:2](data["inputs"][row : row + 1])
            hard = F.cross_entropy(model[2:](features), data["target"][row : row + 1])
            (gradient,) = torch.autograd.grad(hard, features, create_graph=model is student)
            maps.append(gradient.abs().sum(1))
        total = total + (maps[0] - maps[1]).square().sum()
    return list(torch.autograd.grad(total / mask.sum(), list(student.parameters())))


@pytest.mark.parametrize("where", [None, "batch.admitted"])
def test_it_is_the_loop_over_rows(where: str | None) -> None:
    data = batch()
    mask = data["target"] != -100
    model = distiller(where)
    model.prepare([data])
    out = model(data)
    out.loss().backward()
    expected = by_hand(mask & data["admitted"] if where else mask)
    torch.testing.assert_close([p.grad for p in model.students["student"].model.parameters()], expected)
    assert all(parameter.grad is None for parameter in model.teachers["teacher"].model.parameters())


def test_other_terms_read_the_same_graph() -> None:
    data, both = batch(), distiller(None, hard=True)
    alone, hard = distiller(None), Distiller(network(2, 0), {"hard": Term(CrossEntropy())})
    for model in (both, alone, hard):
        model(data).loss().backward()
    result = [p.grad for p in both.students["student"].model.parameters()]
    parts = [[p.grad for p in model.students["student"].model.parameters()] for model in (alone, hard)]
    torch.testing.assert_close(result, [a + b for a, b in zip(*parts, strict=True)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_in_half_precision_and_under_autocast(dtype: torch.dtype) -> None:
    data = batch()
    exact = distiller("batch.admitted")
    exact(data).loss().backward()
    halved = distiller("batch.admitted").to(dtype)
    halved({**data, "inputs": data["inputs"].to(dtype)}).loss().backward()
    cast = distiller("batch.admitted").float()
    with torch.autocast("cpu", dtype):
        loss = cast({**data, "inputs": data["inputs"].float()}).loss()
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in exact.students["student"].parameters()])
    for model in (halved, cast):
        result = torch.cat([p.grad.flatten().double() for p in model.students["student"].parameters()])
        assert F.cosine_similarity(result, expected, dim=0) > 0.98


def test_it_compiles_whole_where_torch_traces_autograd() -> None:
    data, eager = batch(), distiller("batch.admitted")
    compiled = copy.deepcopy(eager)
    eager(data).loss().backward()
    torch.compiler.reset()
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        torch.compile(compiled, fullgraph=True, backend="aot_eager")(data).loss().backward()
    torch.testing.assert_close([p.grad for p in compiled.parameters()], [p.grad for p in eager.parameters()])


@pytest.mark.parametrize("options", [{}, {"fullgraph": True}], ids=["breaks", "fullgraph"])
def test_compiled_without_the_setting_the_error_names_it_in_one_line(options: dict[str, bool]) -> None:
    torch.compiler.reset()
    with refused(ArgumentError, "out_of_range") as told:
        torch.compile(distiller(None), backend="aot_eager", **options)(batch())
    assert str(told.value) == (
        "gradient_attention differentiates inside the forward: under torch.compile set "
        "torch._dynamo.config.trace_autograd_ops = True before the first step, or leave the Distiller uncompiled"
    )


def test_a_student_that_is_compiled_alone_is_rejected() -> None:
    torch.compiler.reset()
    model = distiller(None)
    student = torch.compile(model.students["student"], backend="aot_eager")
    teachers, taps = dict(model.teachers), {"student": "student.mid", "teacher": "teacher.mid"}
    alone = Distiller(student, {"maps": Term(GradientAttention(channels="sum"), taps)}, teachers)
    with refused(
        ArgumentError,
        "unsupported",
        "student",
        match=r"the student's logits .* compiled alone: compile the whole Distiller",
    ):
        alone(batch())


def test_two_processes_give_the_gradients_of_the_whole_batch(ranks: Ranks) -> None:
    data, model = batch(), distiller("batch.admitted")
    model(data).loss().backward()
    expected = [p.grad for p in model.students["student"].model.parameters()]
    for result in ranks(gradients_of_half):
        torch.testing.assert_close(result, expected)


def test_tensors_without_a_gradient_are_rejected() -> None:
    taps = {"student": "student.mid", "teacher": "teacher.mid"}
    student, term = Tapped(network(2, 0), {"mid": "1"}), Term(GradientAttention(channels="sum"), taps)
    model = Distiller(student, {"maps": term}, {"teacher": Frozen(network(5, 1), {"mid": "1"})})
    with refused(
        ArgumentError,
        "unsupported",
        "terms.maps.teacher",
        match=r"the teacher's features or logits carry no gradient; .*differentiable=True",
    ):
        model.prepare([batch()])
    with (
        torch.no_grad(),
        refused(ArgumentError, "unsupported", "student", match="the student's features or logits carry no gradient"),
    ):
        distiller(None)(batch())


def test_features_that_the_logits_do_not_depend_on_are_rejected() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.side, self.main = nn.Conv2d(1, 5, 1).double(), network(5, 1)

        def forward(self, inputs):
            self.side(inputs)
            return self.main(inputs)

    taps = {"student": "student.mid", "teacher": "teacher.mid"}
    model = Distiller(
        Tapped(Beside(), {"mid": "side"}),
        {"maps": Term(GradientAttention(), taps)},
        {"teacher": Frozen(network(5, 1), {"mid": "1"}, differentiable=True)},
    )
    with refused(ArgumentError, "unsupported", "terms.maps.student"):
        model.prepare([batch()])


def test_detaching_a_differentiated_input_is_rejected() -> None:
    inputs = {"student": "student.mid", "teacher": "teacher.mid"}
    with refused(ArgumentError, "conflict", "detach"):
        Term(GradientAttention(), inputs, detach=["teacher"])
