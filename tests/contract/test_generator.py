"""A generator that is distilled keeps its discriminator in the control, and loses its teacher there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import limbeck
from limbeck import registry
from limbeck.errors import RecipeError
from limbeck.recipes.recipe import Recipe
from limbeck.runs import plan
from limbeck.runs.models import Models
from limbeck.runs.setup import open_recipe
from limbeck.tasks import Task
from refusals import refused

PLUGIN = Path(__file__).parent / "plugins" / "generator.py"
GAME: dict[str, Any] = {
    "schema": 1,
    "task": "strip_generation",
    "data": {"use": "strips", "rows": 120},
    "models": {
        "teacher": {"use": "known_generator"},
        "student": {"use": "strip_maker", "width": 4},
        "critic": {
            "use": "strip_critic",
            "inputs": {"real": "batch.real", "made": "student.images"},
            "detach_inputs": True,
            "train": {"together": True, "learning_rate": 0.1},
        },
        "live": {"live": "critic", "inputs": {"made": "student.images"}},
    },
    "objective": {
        "real": {"loss": "accepted", "inputs": {"student": "critic.real"}},
        "made": {"loss": "rejected", "inputs": {"student": "critic.made"}},
        "fool": {"loss": "accepted", "inputs": {"student": "live.made"}, "weight": 0.5},
        "soft": {"loss": "squared_error", "inputs": {"target": "teacher.images"}, "weight": 5.0},
    },
    "train": {
        "epochs": 3,
        "batch_size": 16,
        "precision": "float32",
        "optimizer": "sgd",
        "schedule": "constant",
        "warmup": 0.0,
        "learning_rate": 0.05,
        "weight_decay": 0.0,
    },
    "measure": {"draws": 100, "seconds": 0.01},
    "export": {"formats": []},
}


@pytest.fixture(autouse=True)
def no_plugin_stays() -> Iterator[None]:
    with registry.temporary():
        yield


def opened(*overrides: str) -> tuple[Recipe, Task]:
    return open_recipe(GAME, {}, None, overrides, PLUGIN)


def by_hand(recipe: Recipe, task: Task) -> dict[str, torch.Tensor]:
    """Both players of the control, in a loop of plain PyTorch."""
    training = plan.control(recipe, task)
    players = Models(recipe.models, task, {}).learners(training, 0, {})
    maker, critic = players["student"], players["critic"]
    optimizers = [torch.optim.SGD(maker.parameters(), 0.05), torch.optim.SGD(critic.parameters(), 0.1)]
    batches, steps = task.batches(task.labelled_rows, batch_size=16, seed=0, rank=0, world=1)
    for batch in batches.iterate(0, 3 * steps):  # type: ignore[union-attr]
        made = maker(batch["inputs"])["images"]
        critic_loss = F.softplus(-critic(real=batch["real"])["real"]).mean()
        critic_loss = critic_loss + F.softplus(critic(made=made.detach())["made"]).mean()
        frozen = _copy(critic)
        maker_loss = 0.5 * F.softplus(-frozen(made=made)["made"]).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        (critic_loss + maker_loss).backward()
        for optimizer in optimizers:
            optimizer.step()
    return dict(maker.state_dict())


def _copy(critic: nn.Module) -> nn.Module:
    copy = type(critic)()
    copy.load_state_dict(critic.state_dict())
    return copy.requires_grad_(False)


def test_the_control_is_the_game_without_the_teacher(tmp_path: Path) -> None:
    recipe, task = opened()
    expected = by_hand(recipe, task)
    path = limbeck.run(GAME, plugin=PLUGIN, output=tmp_path / "run")
    found = load_file(path / "models" / "control" / "model.safetensors")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    student = load_file(path / "models" / "student" / "model.safetensors")
    assert not torch.equal(student["net.0.weight"], found["net.0.weight"])


def test_the_control_keeps_the_players_and_the_weights_of_their_terms() -> None:
    recipe, task = opened()
    control = plan.control(recipe, task)
    assert control.learners == {"student": "student", "critic": "critic"}
    assert control.teachers == ("live",)
    assert {name: term.weight for name, term in control.terms.items()} == {"real": 1.0, "made": 1.0, "fool": 0.5}
    assert control.learner_train["critic"].learning_rate == 0.1


def test_a_discriminator_that_reads_a_teacher_is_not_kept() -> None:
    """Its real strips are the teacher's: without the teacher there is no game."""
    recipe, task = opened("models.critic.inputs.real=teacher.images")
    assert plan.judges(recipe.models) == []
    assert plan.control(recipe, task).learners == {"student": "student"}


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("student", "{latent: batch.inputs}"),
        ("student", "teacher.images"),
        ("teacher", "student.images"),
    ],
)
def test_only_a_model_that_trains_along_reads_outputs_of_others(tmp_path: Path, name: str, inputs: str) -> None:
    with refused(RecipeError, "unsupported", f"models.{name}.inputs"):
        limbeck.run(GAME, overrides=[f"models.{name}.inputs={inputs}"], plugin=PLUGIN, output=tmp_path / "run")
    assert not list(tmp_path.iterdir())
