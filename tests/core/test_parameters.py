"""Parameters as addresses, with a loss that reads nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.toys import CE, Relation, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.core._parameters import ReadParameters
from limbeck.errors import ArgumentError
from limbeck.losses import WeightMatch
from limbeck.teachers import Frozen
from refusals import refused

BATCH = make_batch(7)
PAIR = {"student": "student.parameters.0.weight", "teacher": "teacher.parameters.0.weight"}


def make(**options) -> Distiller:
    student = mlp(0, hidden=5)
    terms = {"hard": Term(CE()), "weights": Term(WeightMatch(), PAIR, weight=0.5, **options)}
    distiller = Distiller(student, terms, {"teacher": Frozen(mlp(1))}).double()
    torch.manual_seed(0)
    return distiller.prepare([BATCH])


def by_hand(distiller: Distiller) -> dict[str, Tensor]:
    student, teacher = mlp(0, hidden=5), mlp(1)
    projection = distiller.terms["weights"].loss.outputs.detach().double()
    loss = F.cross_entropy(student(BATCH["inputs"]), BATCH["target"])
    loss = loss + 0.5 * (projection @ student[0].weight - teacher[0].weight.detach()).square().mean()
    return dict(zip(dict(student.named_parameters()), torch.autograd.grad(loss, [*student.parameters()]), strict=True))


def found(distiller: Distiller) -> dict[str, Tensor]:
    return {name: p.grad for name, p in distiller.students["student"].model.named_parameters()}


def test_a_term_reads_parameters_and_trains_them():
    distiller = make()
    out = distiller(BATCH)
    out.loss().backward()
    torch.testing.assert_close(found(distiller), by_hand(distiller))
    assert out.terms["weights"].count == 1
    assert out.outputs.keys() == {"student", "teacher"}
    assert list(out.outputs["student"]) == list(out.outputs["teacher"]) == ["logits"]
    assert distiller.terms["weights"].loss.outputs.grad.any()


def test_they_count_once_for_each_micro_batch():
    whole, split = make(), make()
    whole(BATCH).loss().backward()
    parts = [{name: value[rows] for name, value in BATCH.items()} for rows in (slice(0, 2), slice(2, 7))]
    counts = split.counts(parts)
    assert counts.per_term["weights"] == 2
    for part in parts:
        split(part).loss(counts).backward()
    torch.testing.assert_close(found(split), found(whole))


def test_it_compiles_whole_and_copies():
    distiller = make()
    expected = by_hand(distiller)
    twin = copy.deepcopy(distiller)
    nn.init.zeros_(twin.students["student"].model[0].weight)
    torch.compiler.reset()
    torch.compile(distiller, fullgraph=True, backend="aot_eager")(BATCH).loss().backward()
    torch.testing.assert_close(found(distiller), expected)
    twin(BATCH).loss().backward()
    assert not torch.equal(found(twin)["0.weight"], expected["0.weight"])


def test_equal_layers_are_compared_as_they_are():
    terms = {"weights": Term(WeightMatch(), PAIR)}
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))}).prepare([BATCH])
    expected = F.mse_loss(mlp(0)[0].weight, mlp(1)[0].weight)
    torch.testing.assert_close(distiller(BATCH).loss(), expected)
    assert not list(distiller.terms["weights"].parameters())


def test_tapped_students_and_several_of_them():
    inputs = {"student": "a.parameters.0.bias", "teacher": "b.parameters.0.bias"}
    students = {"a": Tapped(mlp(0), {"hidden": "1"}), "b": mlp(1)}
    distiller = Distiller(students, {"weights": Term(WeightMatch(), inputs)}).prepare([BATCH])
    distiller(BATCH).loss().backward()
    assert distiller.students["a"].model[0].bias.grad.any()
    assert distiller.students["b"].model[0].bias.grad is None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({**PAIR, "student": "student.parameters.0.wieght"}, r"no parameter '0\.wieght'\. Did you mean '0\.weight'\?"),
        ({**PAIR, "teacher": "teachr.parameters.0.weight"}, "no source 'teachr'. Did you mean 'teacher'"),
    ],
)
def test_what_names_no_parameter_is_refused_when_built(inputs, message):
    with pytest.raises(ArgumentError, match=message):
        Distiller(mlp(0), {"weights": Term(WeightMatch(), inputs)}, {"teacher": Frozen(mlp(1))})


def test_a_teacher_without_a_model_is_refused():
    class Cached:
        reads = ("batch.inputs",)

        def __call__(self, board):
            return {"logits": board["batch"]["inputs"]}

    with refused(ArgumentError, "unsupported", "teacher.parameters.0.weight"):
        Distiller(mlp(0), {"weights": Term(WeightMatch(), PAIR)}, {"teacher": Cached()})


@pytest.mark.parametrize("options", [{"where": "batch.admitted"}, {"scale": "batch.admitted"}])
def test_rows_cannot_be_chosen_or_weighed(options):
    with refused(ArgumentError, "unsupported", "inputs"):
        Term(WeightMatch(), PAIR, **options)


def test_a_relation_of_parameters_is_refused():
    with refused(ArgumentError, "unsupported", "inputs"):
        Term(Relation(), {"student": "student.logits", "teacher": "teacher.parameters.0.weight"})


def test_a_parameter_beside_features_is_not_masked():
    class Prototypes(nn.Module):
        def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
            assert teacher.shape[0] == len(BATCH["inputs"])
            return (student @ teacher.T).square().mean(-1)

    model = mlp(1, hidden=7)
    inputs = {"student": "batch.inputs", "teacher": "student.parameters.0.weight"}
    distiller = Distiller(model, {"hard": Term(CE()), "near": Term(Prototypes(), inputs, where="batch.admitted")})
    mean = distiller.prepare([BATCH])(BATCH).terms["near"]
    mask = BATCH["admitted"]
    expected = (BATCH["inputs"] @ mlp(1, hidden=7)[0].weight.T).square().mean(-1)[mask].sum()
    torch.testing.assert_close(mean.sum, expected.detach())
    assert mean.count == mask.sum()


def test_a_sharded_parameter_is_refused():
    class Sharded(nn.Parameter):
        def full_tensor(self) -> None: ...

    model = nn.Linear(2, 2)
    read = ReadParameters(["student.parameters.weight"], {"student": Tapped(model)})
    model.weight = Sharded(torch.zeros(2, 2))
    with refused(ArgumentError, "unsupported", "weight"):
        read.on({"student": {}}, {"student": Tapped(model)})
