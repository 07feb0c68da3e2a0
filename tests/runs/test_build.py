"""From a resolved recipe to objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limbeck.data import Digits
from limbeck.errors import RecipeError
from limbeck.losses import HintMSE
from limbeck.recipes.model_sources import TeacherContext
from limbeck.runs import plan
from limbeck.runs.build import build_distiller, for_training
from limbeck.runs.models import Models
from limbeck.runs.teachers import TeacherModel, teachers_in_use
from limbeck.tasks import ImageClassification, ImageSettings
from recipes.small import parse


@pytest.fixture(scope="module")
def task() -> ImageClassification:
    return ImageClassification(Digits().load(), ImageSettings(labels=100))


def model(task: ImageClassification, spec: Any, seed: int = 0) -> torch.nn.Module:
    return Models(parse({"models.student": spec}).models, task, {}).initial("student", seed)


def test_initial_weights_are_a_function_of_the_seed_and_leave_the_random_state_alone(task: ImageClassification) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = model(task, "mlp", 3), model(task, "mlp", 3), model(task, "mlp", 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.net.head.weight, other.net.head.weight)


@pytest.mark.parametrize("part", ["whole", "network"])
def test_a_checkpoint_holds_the_whole_model_or_its_network(
    task: ImageClassification, tmp_path: Path, part: str
) -> None:
    source = model(task, {"use": "mlp", "width": 6, "depth": 1}, seed=9)
    kept = source if part == "whole" else source.net
    save_file({name: value + 1 for name, value in kept.state_dict().items()}, tmp_path / "c.safetensors")
    built = model(task, {"use": "mlp", "width": 6, "depth": 1, "checkpoint": str(tmp_path / "c.safetensors")})
    assert torch.equal(built.net.head.weight, source.net.head.weight + 1)
    assert torch.equal(built.mean, source.mean + 1 if part == "whole" else source.mean)
    with pytest.raises(RecipeError, match=r"models\.student\.checkpoint: .*"):
        model(task, {"use": "mlp", "width": 7, "checkpoint": str(tmp_path / "c.safetensors")})


TEACHERS = {
    "models.a": {"use": "mlp", "width": 3},
    "models.b": {"use": "mlp", "width": 4},
    "models.c": {"use": "mlp", "width": 5},
    "models.pair": {"ensemble": ["a", "b"], "mean": "logits"},
}


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, ("teacher",)),
        ({"models.teacher": {"ensemble": ["a", "pair"]}}, ("a", "b", "pair", "teacher")),
        ({"objective.soft.inputs": {"teacher": "c.logits"}}, ("c",)),
        ({"objective.soft.scale": "b.logits"}, ("teacher", "b")),
        ({"objective.soft.loss": "cross_entropy"}, ()),
    ],
)
def test_teachers_in_use(changes: dict[str, Any], used: tuple[str, ...]) -> None:
    recipe = parse({**TEACHERS, **changes})
    assert teachers_in_use(recipe.models, recipe.objective, {"student": "student"}) == used


def test_an_ensemble_in_an_ensemble_as_one_model(task: ImageClassification) -> None:
    changes = {**TEACHERS, "models.teacher": {"ensemble": {"c": 1, "pair": 3}, "mean": "logits"}}
    specs = parse(changes).models
    built = Models(specs, task, {})
    models = {name: built.initial(name, seed).eval() for seed, name in enumerate("abc")}
    whole = TeacherModel(
        "teacher", TeacherContext(specs=specs, classes=task.classes, models={**models, "spare": model(task, "mlp")})
    ).eval()
    with torch.inference_mode():
        a, b, c = (one(task.example["inputs"]) for one in models.values())
        assert torch.allclose(whole(**task.example), 0.25 * c + 0.75 * (a + b) / 2, atol=1e-6)
    own = sum(p.numel() for p in whole.parameters())
    assert own == sum(p.numel() for one in models.values() for p in one.parameters())


def test_for_training_leaves_a_projection_without_a_size_alone(task: ImageClassification) -> None:
    recipe = parse(
        {
            "models.teacher": {"use": "resnet", "width": 12, "taps": {"hint": "stage2"}},
            "models.student": {"use": "resnet", "width": 8, "taps": {"hint": "stage2"}},
            "objective.hint": {
                "loss": "hint_mse",
                "inputs": {"student": "student.hint", "teacher": "teacher.hint"},
            },
        }
    )
    found = Models(recipe.models, task, {})
    teacher, student = found.initial("teacher", 0), found.initial("student", 0)
    built = build_distiller(plan.student(recipe, task), recipe.models, {"student": student}, {"teacher": teacher})
    distiller = for_training(built)
    for one in (student, teacher):
        assert one.net.stage1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    loss = distiller.terms["hint"].loss
    assert isinstance(loss, HintMSE)
    assert not loss.projection.is_sized
    batches, _ = task.batches(task.student_rows, batch_size=8, seed=0, rank=0, world=1)
    distiller.prepare(batches.iterate(0, 1))
    assert loss.projection.is_sized


@pytest.mark.parametrize(("rows", "expected"), [(64, 4.0), (1024, 2.0)])
def test_the_batch_law_gets_the_batch_size_of_the_section_train(rows: int, expected: float) -> None:
    law = {"use": "batch_law", "temperature": 4.0, "reference_batch_size": 64}
    recipe = parse({"objective.soft.loss.temperature": law, "train.batch_size": rows})
    term = recipe.objective["soft"]
    assert term.to_dict()["loss"]["temperature"] == law
    assert term.build(recipe.train).loss.current_temperature == pytest.approx(expected)


@pytest.mark.parametrize("width", [2, 4, 8, 12])
def test_gradients_do_not_depend_on_the_layout_for_training(task: ImageClassification, width: int) -> None:
    """Against float64, where no vectorized convolution is used."""
    recipe = parse({"models.student": {"use": "resnet", "width": width, "depth": 1}, "train.precision": "float32"})
    batch = task.sample(16)

    def gradients(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        training = plan.control(recipe, task)
        learners = {"student": Models(recipe.models, task, {}).initial("student", 0)}
        distiller = build_distiller(training, recipe.models, learners, {}, classes=task.names)
        distiller = (for_training(distiller) if dtype == torch.float32 else distiller).to(dtype).train()
        distiller({**batch, "inputs": batch["inputs"].to(dtype)}).loss().backward()
        return {name: one.grad.double() for name, one in learners["student"].named_parameters()}

    expected, found = gradients(torch.float64), gradients(torch.float32)
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
