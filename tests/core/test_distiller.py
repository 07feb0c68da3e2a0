"""What a Distiller refuses, what it owns, and what one step computes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.toys import CE, KL, Relation, Squared, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Linear, Mean, StepOutput, Tapped, Term, Weights
from limbeck.errors import AddressError, ArgumentError
from limbeck.teachers import Frozen
from refusals import refused

BATCH = make_batch(7)


class Reading(nn.Module):
    """A teacher that reads the addresses that it is given, and counts its forwards."""

    def __init__(self, *reads: str) -> None:
        super().__init__()
        self.reads = reads
        self.runs = 0

    def forward(self, board):
        self.runs += 1
        return {"logits": board["batch"]["inputs"][:, :4]}


def offline(**options):
    terms = {"hard": Term(CE(), weight=0.3), "soft": Term(KL(), weight=0.7)}
    return Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1, hidden=16))}, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Distiller(mlp(0), {"soft": Term(KL(), {"teacher": "teachr.logits"})}, {"teacher": Frozen(mlp(1))}),
            r"term 'soft': no source 'teachr'\. Did you mean 'teacher'\?",
        ),
        (lambda: Distiller(mlp(0), {"soft": Term(KL())}), r"term 'soft': no source 'teacher'\. Known: 'batch'"),
        (
            lambda: Distiller(mlp(0), {"hard": Term(CE(), scale="confidnce.x")}, {"confidence": Reading("batch.x")}),
            r"no source 'confidnce'\. Did you mean 'confidence'\?",
        ),
        (
            lambda: Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": Reading("studnt.logits")}),
            r"teacher 'teacher': no source 'studnt'\. Did you mean 'student'\?",
        ),
        (
            lambda: Distiller(mlp(0), {"hard": Term(CE())}, {"unused": Reading("bach.inputs")}),
            r"teacher 'unused': no source 'bach'\. Did you mean 'batch'\?",
        ),
        (
            lambda: Distiller(Tapped(mlp(0), inputs="bach.inputs"), {"hard": Term(CE())}),
            r"student 'student': no source 'bach'\. Did you mean 'batch'\?",
        ),
        (
            lambda: Distiller(
                mlp(0),
                {"soft": Term(KL(), {"teacher": "a.logits"})},
                {"a": Reading("b.logits"), "b": Reading("c.logits"), "c": Reading("a.logits")},
            ),
            r"models read each other in a circle: a -> b -> c -> a",
        ),
        (
            lambda: Distiller(mlp(0), {"hard": Term(CE())}, {"a": Reading("a.logits")}),
            r"models read each other in a circle: a -> a",
        ),
        (lambda: Distiller(mlp(0), {"Hard": Term(CE())}), r"the term name 'Hard' must match"),
        (lambda: Distiller({"my.net": mlp(0)}, {"hard": Term(CE())}), r"the student name 'my\.net' must match"),
        (lambda: Distiller(mlp(0), {"hard": Term(CE())}, {"1": Reading()}), r"the teacher name '1' must match"),
        (lambda: Distiller(mlp(0), {"hard": Term(CE())}, {"student": Reading()}), r"names a student and a teacher"),
        (lambda: Distiller({"batch": mlp(0)}, {"hard": Term(CE())}), r"'batch' is the name of the batch"),
        (lambda: Distiller(mlp(0), {}), r"at least one student and at least one term"),
        (lambda: Distiller(mlp(0), {"hard": CE()}), r"term 'hard' is a CE; wrap the loss: Term\(CE\(\)\)"),
        (
            lambda: Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": mlp(1)}),
            r"teacher 'teacher' is a Sequential.*wrap the model: Frozen\(model\)",
        ),
        (
            lambda: Distiller(mlp(0), {"hard": Term(CE(), weight=0.0), "more": Term(CE(), weight=0)}),
            r"every term has weight 0: \['hard', 'more'\]; at least one must be above 0",
        ),
        (
            lambda: Distiller(mlp(0).requires_grad_(False), {"hard": Term(CE())}),
            r"student 'student' has no parameter that requires grad; call requires_grad_\(\)",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_when_built(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


@pytest.mark.parametrize("name", ["keys", "type", "items", "values", "forward", "training"])
def test_names_that_a_module_dict_refuses_work(name):
    address = f"{name}.logits"
    student = Distiller({name: mlp(0)}, {name: Term(CE(), {"student": address})})
    assert student(BATCH).terms[name].count == 7
    teacher = Distiller(mlp(0), {name: Term(KL(), {"teacher": address})}, {name: Frozen(mlp(1))})
    assert teacher(BATCH).outputs[name]["logits"].shape == (7, 4)
    assert list(student.students) == list(student.terms) == list(teacher.teachers) == [name]


def test_a_step_equals_the_one_by_hand():
    distiller = offline()
    distiller(BATCH).loss().backward()
    student, teacher = mlp(0), mlp(1, hidden=16)
    logits = student(BATCH["inputs"])
    soft = kl_by_hand(logits, teacher(BATCH["inputs"]).detach())
    loss = 0.3 * F.cross_entropy(logits, BATCH["target"]) + 0.7 * soft
    loss.backward()
    torch.testing.assert_close(distiller(BATCH).loss(), loss, rtol=1e-6, atol=0)
    found = gradients(distiller.students["student"].model)
    torch.testing.assert_close(found, gradients(student), rtol=1e-6, atol=1e-9)


def test_the_factor_of_the_temperature_stays_without_a_hard_loss():
    soft = Term(KL())
    alone = Distiller(mlp(0), {"soft": soft}, {"teacher": Frozen(mlp(1))})(BATCH).loss()
    beside_0 = Distiller(mlp(0), {"soft": soft, "hard": Term(CE(), weight=0)}, {"teacher": Frozen(mlp(1))})(BATCH)
    expected = kl_by_hand(mlp(0)(BATCH["inputs"]), mlp(1)(BATCH["inputs"]))
    torch.testing.assert_close(alone, expected)
    torch.testing.assert_close(beside_0.loss(), expected)


def test_what_a_step_gives_are_named_tuples():
    out = offline()(BATCH)
    assert isinstance(out, tuple)
    assert out._fields == ("terms", "weights", "outputs")
    assert isinstance(out, StepOutput)
    assert isinstance(out.weights, Weights)
    assert all(isinstance(mean, Mean) and mean._fields == ("sum", "count") for mean in out.terms.values())
    assert set(out.outputs) == {"student", "teacher"}


def test_a_frozen_teacher_is_hidden_and_everything_else_is_not():
    distiller = Distiller(
        mlp(0),
        {"hint": Term(HasParameter()), "hard": Term(CE())},
        {"teacher": Frozen(mlp(1)), "learner": Learner()},
    )
    names = set(dict(distiller.named_parameters()))
    assert {name.split(".")[0] for name in names} == {"_students", "_terms"}
    assert any("hint" in name for name in names)
    in_use = Distiller(mlp(0), {"soft": Term(KL(), {"teacher": "learner.logits"})}, {"learner": Learner()})
    assert any("learner" in name for name in dict(in_use.named_parameters()))
    frozen = {p.data_ptr() for p in distiller.teachers["teacher"].model.parameters()}
    assert not frozen & {p.data_ptr() for p in distiller.parameters()}
    assert not frozen & {t.data_ptr() for t in distiller.state_dict().values()}


class HasParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, student, teacher):
        return (student * self.factor - teacher).square().mean(-1)


class Learner(nn.Module):
    reads = ("batch.inputs",)

    def __init__(self) -> None:
        super().__init__()
        self.model = mlp(3)

    def forward(self, board):
        return {"logits": self.model(board["batch"]["inputs"])}


def test_a_teacher_follows_the_distiller():
    distiller = offline()
    distiller.float()
    assert {p.dtype for p in distiller.teachers["teacher"].model.parameters()} == {torch.float32}
    distiller(make_batch(3, dtype=torch.float32)).loss().backward()
    distiller.to("meta")
    assert {p.device.type for p in distiller.teachers["teacher"].model.parameters()} == {"meta"}


def test_modes():
    distiller = offline()
    teacher, student = distiller.teachers["teacher"].model.model, distiller.students["student"].model
    for mode in (True, False, True):
        distiller.train(mode)
        distiller(BATCH)
        assert student.training is mode
        assert not any(module.training for module in teacher.modules())
    teacher.train()
    distiller(BATCH)
    assert not any(module.training for module in teacher.modules())


def test_a_teacher_that_no_term_reads_is_never_run():
    unused, read, through = Reading("batch.inputs"), Reading("through.logits"), Reading("batch.inputs")
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"unused": unused, "teacher": read, "through": through})
    distiller.prepare([BATCH])
    out = distiller(BATCH)
    assert (unused.runs, read.runs, through.runs) == (0, 2, 2)
    assert list(distiller.teachers) == ["through", "teacher"]
    assert "unused" not in out.outputs
    assert unused not in set(distiller.modules())


def test_an_address_of_nothing_is_refused_by_prepare():
    distiller = Distiller(mlp(0), {"soft": Term(KL(), {"teacher": "teacher.logit"})}, {"teacher": Frozen(mlp(1))})
    with refused(
        AddressError,
        "unknown_name",
        "terms.soft.teacher.logit",
        match=r"'teacher' has no 'logit'\. Did you mean 'logits'\?",
    ) as caught:
        distiller.prepare([BATCH])
    assert caught.value.__notes__ == ["in the term 'soft'"]


def test_a_copy_of_a_used_distiller_is_independent():
    distiller = Distiller(
        Tapped(mlp(0), {"hidden": "1"}),
        {"hint": Term(Squared(), {"student": "student.hidden", "teacher": "teacher.hidden"})},
        {"teacher": Frozen(mlp(1), {"hidden": "1"})},
    )
    before = distiller(BATCH).loss()
    twin = copy.deepcopy(distiller)
    with torch.no_grad():
        for module in (twin, twin.teachers["teacher"].model):
            for p in module.parameters():
                p.mul_(1.5)
    changed = twin(BATCH).loss()
    assert distiller(BATCH).loss() == before
    assert twin(BATCH).loss() == changed != before
    student = copy.deepcopy(twin.students["student"].model)
    by_hand = Squared()(student[:2](BATCH["inputs"]), twin.teachers["teacher"].model.model[:2](BATCH["inputs"])).mean()
    torch.testing.assert_close(changed, by_hand)


def compiled_and_eager(backend: str, autocast: bool = False):
    distiller = Distiller(
        Tapped(mlp(0, torch.float32), {"hidden": "1"}),
        {
            "hard": Term(CE(), weight=0.5, where="batch.admitted"),
            "soft": Term(KL(), weight=0.5),
            "hint": Term(Squared(), {"student": "student.hidden", "teacher": "teacher.hidden"}, scale="batch.factor"),
            "relation": Term(Relation(), where="batch.admitted", weight=0.1),
        },
        {"teacher": Frozen(mlp(1, torch.float32), {"hidden": "1"})},
    )
    batch = {**make_batch(7, dtype=torch.float32), "factor": torch.linspace(0, 1, 7)}
    distiller.prepare([batch])
    found = []
    for module in (torch.compile(distiller, fullgraph=True, backend=backend), distiller):
        distiller.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = module(batch)
        out.loss().backward()
        found.append((out.loss(), out.outputs["student"]["hidden"], gradients(distiller)))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_compiled_distiller_equals_the_eager_one(autocast):
    compiled_and_eager("aot_eager", autocast)


def test_a_compiled_distiller_follows_its_schedules_without_compiling_again():
    terms = {"hard": Term(CE(), weight=Linear(start=1.0, end=0.0, steps=4)), "soft": Term(KL())}
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))}).prepare([BATCH])
    compilations = []

    def backend(graph, inputs):
        compilations.append(graph)
        return graph

    compiled = torch.compile(distiller, fullgraph=True, backend=backend)
    for _ in range(3):
        torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())
        distiller.after_step()
    assert len(compilations) == 1


@pytest.mark.slow
def test_a_distiller_compiled_by_the_default_backend_equals_the_eager_one():
    compiled_and_eager("inductor")


def test_terms_that_compare_rows_are_named():
    terms = {"hard": Term(CE()), "pairs": Term(Relation()), "all": Term(Relation(), gather=True)}
    distiller = Distiller(mlp(0), terms, {"teacher": Frozen(mlp(1))})
    assert distiller.relational_terms == ("pairs", "all")


@pytest.mark.parametrize("hook", ["after_step", "follow_step"])
def test_a_teacher_whose_hook_would_never_be_called_is_refused(hook):
    """Hooks are those of modules: the state of another object would silently stay as it is."""

    def forward(self, board):
        return {"logits": board["batch"]["inputs"][:, :4]}

    members = {"reads": ("batch.inputs",), "__call__": forward, hook: lambda self, step: None}
    terms = {"soft": Term(KL(), {"teacher": "loud.logits"})}
    with refused(ArgumentError, "unsupported", "teachers.loud") as caught:
        Distiller(mlp(0), terms, {"loud": type("Loud", (), members)()})
    assert (caught.value.code, caught.value.path) == ("unsupported", "teachers.loud")
