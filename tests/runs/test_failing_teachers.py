"""An error of a teacher names its model and the stage, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from limbeck import registry
from limbeck.api import check
from limbeck.errors import RecipeError
from recipes.small import SMALL, changed
from refusals import refused
from tasks.test_regression import RECIPE as REGRESSION

OTHER = {"use": "mlp", "width": 8, "train": {"epochs": 1}}


@pytest.fixture(autouse=True)
def own_teacher() -> Iterator[None]:
    with registry.temporary():

        @registry.register("teacher", "failing")
        class Failing:
            section = "failing"

            def __init__(self, *, failing: str) -> None:
                self.reads = (f"{failing}.logits",)

            @classmethod
            def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
                return (options["failing"],)

            def __call__(self, board: Mapping[str, Any]) -> dict[str, Any]:
                raise ZeroDivisionError("of its own")

        yield


def reading(address: str, section: Any, **changes: Any) -> dict[str, Any]:
    """A recipe whose student reads the model `odd`, which is this section."""
    soft = {"loss": "kl_divergence", "inputs": {"teacher": address}}
    given = {"data": {"use": "digits", "labels": 100}, "models.odd": section, "models.other": OTHER}
    return changed({**given, "objective.soft": soft, **changes})


def test_code_of_a_plugin_that_raises() -> None:
    with refused(
        RecipeError, "failed", "models.odd", match="the student: models.odd: teacher 'odd' failed: ZeroDivisionError"
    ):
        check(reading("odd.logits", {"failing": "teacher"}))


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ({"ensemble": ["teacher", "other"]}, {}),
        ({"ensemble": {"teacher": 1, "inner": 1}}, {"models.inner": {"ensemble": ["teacher", "other"]}}),
        (
            {"random": ["inner", "inner2"]},
            {f"models.{name}": {"ensemble": ["teacher"]} for name in ("inner", "inner2")},
        ),
    ],
)
def test_a_codec_that_keeps_too_little_for_it(section: dict[str, Any], changes: dict[str, Any]) -> None:
    cache = {"codec": {"use": "topk", "k": 3}}
    with refused(RecipeError, "unsupported", "models.odd", match="the student: .* cache the teacher with a codec"):
        check(reading("odd.logits", section, cache=cache, **changes))


@pytest.mark.parametrize("section", [{"ensemble": ["teacher", "other"]}, {**OTHER, "confidence": 0.5}])
def test_models_of_numbers_have_no_logits(section: dict[str, Any]) -> None:
    models = {**REGRESSION["models"], "other": OTHER, "odd": section}
    soft = {"loss": "squared_error", "inputs": {"target": "odd.value"}}
    objective = {**REGRESSION["objective"], "soft": soft}
    with refused(RecipeError, "unsupported", "models.odd", match="needs logits, and was given value"):
        check({**REGRESSION, "models": models, "objective": objective})


def test_the_recipe_without_them_is_accepted() -> None:
    assert check(SMALL)["models"]["teacher"]["width"] == 16
