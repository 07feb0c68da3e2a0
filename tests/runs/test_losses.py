"""Every loss by its name in a recipe: digits, with a residual network as teacher and as student."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import api, registry
from limbeck.errors import RecipeError
from limbeck.recipes.registry_entries import find
from limbeck.recipes.schema import parse_recipe
from limbeck.runs import plan
from limbeck.runs.build import build_distiller
from limbeck.runs.models import Models
from limbeck.teachers import Frozen
from limbeck.training.loop import Job
from recipes.small import changed, parse
from runs.finished import Go, digits

TAPS = {"early": "stage1", "late": "stage2", "first": "stem", "second": "stage1", "pooled": "head"}
HINT = {"student": "student.late", "teacher": "teacher.late"}
# What a loss reads where its default addresses will not do, and the options that let it.
READS: dict[str, dict[str, Any]] = {
    "activation_boundary": {"inputs": HINT},
    "attention_transfer": {"inputs": HINT},
    "channel_wise": {"inputs": HINT},
    "correlation_congruence": {"inputs": HINT},
    "crd": {"inputs": HINT},
    "factor_transfer": {"inputs": HINT, "loss": {"paraphraser_steps": 1}},
    "flow_of_solution": {
        "inputs": {
            f"{side}_{place}": f"{side}.{place}" for side in ("student", "teacher") for place in ("first", "second")
        }
    },
    "gradient_attention": {"inputs": HINT, "loss": {"channels": "sum"}},
    "hint_mse": {"inputs": HINT},
    "inter_channel_correlation": {"inputs": HINT},
    "mse_regression": {"inputs": {"target": "teacher.logits"}},
    "nst_mmd": {"inputs": HINT},
    "pinball": {
        "inputs": {"target": "batch.class_weight"},
        "loss": {"quantiles": [(level + 0.5) / 10 for level in range(10)]},
    },
    "overhaul": {"inputs": HINT},
    "probabilistic_transfer": {"inputs": HINT},
    "review_kd": {
        "inputs": {
            f"{side}_{level}": f"{side}.{tap}"
            for side in ("student", "teacher")
            for level, tap in enumerate(("early", "late"), start=1)
        }
    },
    "rkd_angle": {"inputs": HINT},
    "rkd_distance": {"inputs": HINT},
    "similarity_preserving": {"inputs": HINT},
    "sparsity_pattern": {"inputs": HINT},
    "squared_error": {"inputs": {"target": "teacher.logits"}},
    "variational_information": {"inputs": HINT},
    "weight_match": {
        "inputs": {
            "student": "student.parameters.stage1.0.conv1.weight",
            "teacher": "teacher.parameters.stage1.0.conv1.weight",
        }
    },
}


def recipe(loss: str, **term: Any) -> dict[str, Any]:
    """A recipe with this loss beside the hard one."""
    own = READS.get(loss, {})
    spec = {"loss": {"use": loss, **own.get("loss", {})}, "inputs": own.get("inputs", {}), "weight": 0.1}
    return changed(
        {
            "models.teacher": {"use": "resnet", "width": 4, "taps": TAPS, "train": {"epochs": 1}},
            "models.student": {"use": "resnet", "width": 3, "taps": TAPS},
            "objective": {"hard": {"loss": "cross_entropy", "where": "batch.labelled"}, "other": {**spec, **term}},
        }
    )


# A residual network has no sequences of tokens, and digits have one class each: `test_exclusive.py` has the others.
LOSSES = [
    name
    for name in registry.names("loss")
    if (loss := registry.lookup("loss", name)).__module__.startswith("limbeck.")
    and find(name)[0].knowledge != "transformers"
    and getattr(loss, "exclusive", True)
]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_can_be_used(name: str) -> None:
    resolved = api.check(recipe(name))
    assert resolved["objective"]["other"]["loss"]["use"] == name


def test_a_teacher_is_differentiated_where_a_loss_asks(go: Go, jobs: list[tuple[Job, Any]]) -> None:
    run = go({**recipe("gradient_attention"), "train.epochs": 1})
    assert all(event["terms"]["other"] > 0 for event in run.taught("student"))
    (student,) = [job for job, _ in jobs if job.stage == "student"]
    assert student.distiller.teachers["teacher"].differentiable


def test_no_other_teacher_is_differentiated_but_the_members_of_an_ensemble_are() -> None:
    plain = {"use": "mlp", "width": 3, "depth": 1}
    tapped = {"use": "resnet", "width": 2, "taps": {"late": "stage2"}}
    changes = {
        "models.teacher": plain,
        "models.a": tapped,
        "models.b": {**plain, "width": 4},
        "models.pair": {"ensemble": ["a", "b"]},
        "models.student": tapped,
        "objective.other": {
            "loss": {"use": "gradient_attention", "channels": "sum"},
            "inputs": {"student": "student.late", "teacher": "pair.a.late", "teacher_logits": "pair.logits"},
        },
    }
    parsed, task = parse(changes), digits(labels=100)
    found = Models(parsed.models, task, {})
    models = {name: found.initial(name, 0) for name in ("teacher", "a", "b", "student")}
    student = models.pop("student")
    distiller = build_distiller(plan.student(parsed, task), parsed.models, {"student": student}, models)
    teacher, pair = distiller.teachers["teacher"], distiller.teachers["pair"]
    assert isinstance(teacher, Frozen)
    assert not teacher.differentiable
    assert {name: member.differentiable for name, member in pair.members.items()} == {"a": True, "b": True}
    batches, _ = task.batches(task.student_rows, batch_size=8, seed=0, rank=0, world=1)
    (batch,) = batches.iterate(0, 1)
    distiller.prepare([batch])(batch).terms["other"].sum.backward()
    assert student.net.stage3[0].conv1.weight.grad.any()


def test_a_recipe_says_what_is_detached_and_what_is_gathered() -> None:
    spec = {"inputs": {"teacher": "student.late", "student": "student.early"}, "detach": ["student"]}
    parsed = parse_recipe(recipe("attention_transfer", **spec), name="x")
    assert parsed.objective["other"].build(parsed.train).detach == {"student"}
    parsed = parse_recipe(recipe("rkd_distance", gather=True), name="x")
    assert parsed.objective["other"].build(parsed.train).gather
    with pytest.raises(RecipeError, match=r"objective\.other: gather=True is for relational losses"):
        api.check(recipe("hint_mse", gather=True))
    with pytest.raises(
        RecipeError, match=r"objective\.other: detach: .* no argument 'techer'\. Did you mean 'teacher'"
    ):
        api.check(recipe("hint_mse", detach=["techer"]))


def test_parameters_are_named_by_their_path_in_the_network() -> None:
    task, parsed = digits(labels=100), parse_recipe(recipe("weight_match"), name="x")
    found = Models(parsed.models, task, {})
    student, teacher = (found.initial(name, 0) for name in ("student", "teacher"))
    training = plan.student(parsed, task)
    distiller = build_distiller(training, parsed.models, {"student": student}, {"teacher": teacher})
    batches, _ = task.batches(task.student_rows, batch_size=8, seed=0, rank=0, world=1)
    (batch,) = batches.iterate(0, 1)
    mean = distiller.prepare([batch])(batch).terms["other"]
    loss = distiller.terms["other"].loss
    ours, theirs = student.net.stage1[0].conv1.weight, teacher.net.stage1[0].conv1.weight
    projected = torch.einsum("ps,rt,stxy->prxy", loss.outputs, loss.inputs, ours)
    torch.testing.assert_close(mean.sum, (projected - theirs).square().mean())


@pytest.mark.parametrize("wrong", ["net.stage1.0.conv1.weight", "stage1.0.conv1.wieght"])
def test_a_parameter_that_is_not_there_is_met_with_the_nearest(wrong: str) -> None:
    inputs = {**READS["weight_match"]["inputs"], "student": f"student.parameters.{wrong}"}
    message = (
        rf"objective\.other\.inputs\.student: the model has no parameter '{wrong}'\. Did you mean 'stage1\.0\.conv1\.w"
    )
    with pytest.raises(RecipeError, match=message):
        api.check(recipe("weight_match", inputs=inputs))
