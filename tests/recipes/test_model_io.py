"""How a recipe says what the board reads of a model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from limbeck.errors import RecipeError
from limbeck.models import Normalized
from limbeck.runs import plan
from limbeck.runs.build import build_distiller
from limbeck.runs.models import Models
from limbeck.tasks import ImageClassification
from recipes.shell import Shell
from recipes.small import changed, parse
from runs.finished import digits


@pytest.fixture(scope="module")
def task() -> ImageClassification:
    return digits(labels=100)


class Asked(nn.Module):
    """Gives its features where it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(64, 5), nn.Linear(5, 10)
        self.alias = self.first

    def forward(self, images: torch.Tensor, states: bool = False) -> Any:
        first = self.first(images.flatten(1))
        return {"logits": self.head(first), "states": (first,)} if states else self.head(first)


@pytest.mark.parametrize("normalized", [True, False])
def test_taps_and_calls_of_a_recipe_reach_the_network(task: ImageClassification, normalized: bool) -> None:
    reading = {
        "taps": {"into": "head:input", "both": ["alias", "head"], "whole": ""}, "call": {"states": True},
    }  # fmt: skip
    recipe = parse({"models.student": reading, "models.teacher": reading}, objects=["student", "teacher"])
    student, teacher = (Normalized(Asked(), [0.5], [0.5]) if normalized else Asked() for _ in range(2))
    training = plan.student(recipe, task)
    distiller = build_distiller(training, recipe.models, {"student": student}, {"teacher": teacher})
    batches, _ = task.batches(task.student_rows, batch_size=8, seed=0, rank=0, world=1)
    outputs = distiller(next(batches.iterate(0, 1))).outputs
    for name in ("student", "teacher"):
        found = outputs[name]
        assert found["into"] is found["states"][0]
        assert found["both"][0] is found["into"]
        assert found["whole"]["logits"] is found["logits"] is found["both"][1]


@pytest.mark.parametrize(
    ("taps", "code", "path"),
    [
        ({"a": "stage5"}, "unknown_name", "models.student.taps.a"),
        ({"a": "stage5:input"}, "unknown_name", "models.student.taps.a"),
        ({"a": ["stage1", "stge2"]}, "unknown_name", "models.student.taps.a"),
        ("auto", "unsupported", "models.student.taps"),
    ],
    ids=str,
)
def test_a_wrong_tap_names_the_nearest_path_with_its_place(
    task: ImageClassification, taps: Any, code: str, path: str
) -> None:
    recipe = parse({"models.student": {"use": "resnet", "width": 4, "taps": taps}})
    student = Models(recipe.models, task, {}).initial("student", 0)
    with pytest.raises(RecipeError) as refused:
        build_distiller(plan.control(recipe, task), recipe.models, {"student": student}, {})
    assert (refused.value.code, refused.value.path) == (code, path), refused.value


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ({"a": "stage5"}, r"models\.student\.taps\.a: the model has no module 'stage5'\. Did you mean 'stage\d'\?"),
        ({"a": "stage5:input"}, r"models\.student\.taps\.a: .* Did you mean 'stage\d:input'\?"),
        ({"a": ["stage1", "stge2"]}, r"models\.student\.taps\.a: .* Did you mean 'stage2'\?"),
        ("auto", r"models\.student\.taps is auto, which is chosen when a run begins"),
    ],
    ids=str,
)
def test_a_wrong_tap_names_the_nearest_path(task: ImageClassification, taps: Any, message: str) -> None:
    recipe = parse({"models.student": {"use": "resnet", "width": 4, "taps": taps}})
    student = Models(recipe.models, task, {}).initial("student", 0)
    with pytest.raises(RecipeError, match=message):
        build_distiller(plan.control(recipe, task), recipe.models, {"student": student}, {})


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        (
            {"models.teacher": {"ensemble": ["a"], "taps": "auto"}, "models.a": {"use": "mlp"}},
            "unsupported",
            "models.teacher.taps",
        ),
        ({"models.student.taps": "all"}, "wrong_type", "models.student.taps"),
        ({"models.student.taps": ["head"]}, "wrong_type", "models.student.taps"),
        ({"models.student.taps": {"a": ["head", 3]}}, "wrong_type", "models.student.taps.a"),
        ({"models.student.taps": {"a": []}}, "missing", "models.student.taps.a"),
        ({"models.student.call": {"states": True}}, "failed", "models.student"),
        ({"models.student.call": "states"}, "wrong_type", "models.student.call"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_one_line_with_its_place(
    shell: Shell, changes: dict[str, Any], code: str, path: str
) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.student.taps": "all"}, "models.student.taps is 'all'; write auto"),
        ({"models.student.taps": {"a": []}}, "names no module"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_one_line(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))
