"""Numbers of heads that losses leave open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import transformers
from torch import nn

from limbeck.errors import RecipeError
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.schema import parse_recipe
from limbeck.runs.attention_heads import leaves_open, with_heads

SCORES = {
    "loss": "attention_scores",
    "inputs": {f"{side}_{role}": f"{side}.{role}" for side in ("student", "teacher") for role in ("query", "key")},
}
VALUES = {
    "loss": "value_relation",
    "inputs": {"student_value": "student.value", "teacher_value": "teacher.value"},
}
TAPS = {role: f"encoder.layer.0.attention.self.{role}" for role in ("query", "key", "value")}


def bert(heads: int) -> Any:
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 9}
    return transformers.BertModel(transformers.BertConfig(num_attention_heads=heads, **sizes))


def recipe(terms: dict[str, Any], **assistant: Any) -> Recipe:
    models: dict[str, Any] = {name: {"use": "bert", "taps": TAPS} for name in ("teacher", "student")}
    models["teacher"]["train"] = {"epochs": 1}
    if assistant:
        models["assistant"] = {"use": "bert", "layers": 3, "taps": TAPS, **assistant}
    raw = {
        "schema": 1,
        "task": "text_classification",
        "data": {"use": "csv", "file": "a.csv"},
        "models": models,
        "objective": terms,
    }
    return parse_recipe(raw, name="x")


def loss(given: dict[str, Any], **models: nn.Module) -> tuple[Mapping[str, Any], list[str]]:
    found, notes = with_heads(recipe({"term": given}), models)
    return found.objective["term"].loss.options, notes


def test_they_are_those_of_the_models() -> None:
    found, notes = loss(SCORES, teacher=bert(3), student=bert(3))
    assert (found["student_heads"], found["teacher_heads"], notes) == (3, 3, [])
    found, notes = loss(VALUES, teacher=bert(4), student=bert(4))
    assert (found["relation_heads"], notes) == (4, [])


def test_what_the_recipe_gives_stays() -> None:
    given = {**VALUES, "loss": {"use": "value_relation", "relation_heads": 6}}
    assert loss(given, teacher=bert(4), student=bert(2))[0]["relation_heads"] == 6
    assert not leaves_open(recipe({"term": given}))
    assert leaves_open(recipe({"term": VALUES}))


def test_heads_without_partners_are_told() -> None:
    found, notes = loss(SCORES, teacher=bert(4), student=bert(2))
    assert (found["student_heads"], found["teacher_heads"]) == (2, 4)
    assert notes == ["objective.term: 2 heads learn from 4, so the means over the heads are compared"]


def test_relations_need_one_number() -> None:
    with pytest.raises(RecipeError, match=r"objective\.term\.loss\.relation_heads: student has 2, teacher has 4 heads"):
        loss(VALUES, teacher=bert(4), student=bert(2))


def test_a_model_that_does_not_say_it() -> None:
    with pytest.raises(RecipeError, match=r"objective\.term\.loss\.teacher_heads: teacher does not say how many heads"):
        loss(SCORES, teacher=nn.Linear(2, 2), student=bert(2))


def test_in_an_objective_of_its_own_the_student_is_the_model_that_it_teaches() -> None:
    made = recipe({"soft": {"loss": "kl_divergence"}}, train={"epochs": 1}, objective={"scores": SCORES})
    found, notes = with_heads(made, {"teacher": bert(4), "assistant": bert(6), "student": bert(2)})
    objective = found.models["assistant"].objective
    assert objective is not None
    scores = objective["scores"].loss.options
    assert (scores["student_heads"], scores["teacher_heads"]) == (6, 4)
    assert notes == [
        "models.assistant.objective.scores: 6 heads learn from 4, so the means over the heads are compared"
    ]
    assert found.objective == made.objective
