"""Balance and moving temperatures in a recipe."""

from __future__ import annotations

import re
from typing import Any

import pytest

import limbeck
from limbeck.core import Fixed, GradientNorm, Uncertainty
from limbeck.errors import RecipeError
from limbeck.runs import plan
from limbeck.runs.build import build_distiller
from limbeck.runs.models import Models
from recipes.small import changed, parse, resolve
from runs.finished import Go, digits


def test_no_balance_is_the_default_and_defaults_are_written_out() -> None:
    assert resolve(changed({}), name="x")["balance"] is None
    assert resolve(changed({"balance": "uncertainty"}), name="x")["balance"] == {"use": "uncertainty"}
    once = resolve(changed({"balance": {"use": "gradient_norm", "every": 5}}), name="x")
    defaults = {"use": "gradient_norm", "at": "student.logits", "every": 5, "smoothing": 0.9, "terms": None}
    assert once["balance"] == defaults
    assert resolve(once, name="x") == once


@pytest.mark.parametrize(
    ("balance", "kind"), [(None, Fixed), ("uncertainty", Uncertainty), ({"use": "gradient_norm"}, GradientNorm)]
)
def test_the_student_has_it_and_the_control_has_none(balance: Any, kind: type) -> None:
    recipe, task = parse({"balance": balance}), digits(labels=100)
    built = Models(recipe.models, task, {})
    student, teacher = built.initial("student", 0), built.initial("teacher", 0)
    found = {
        training.stage: build_distiller(training, recipe.models, {"student": student}, {"teacher": teacher})
        for training in (plan.student(recipe, task), plan.control(recipe, task))
    }
    assert {stage: type(one.balance) for stage, one in found.items()} == {"student": kind, "control": Fixed}


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ("gradient_nrom", "balance: no balance 'gradient_nrom'. Did you mean 'gradient_norm'?"),
        (5, "balance is 5; write a name"),
        ({"use": "gradient_norm", "evry": 5}, "balance: gradient_norm takes no 'evry'. Did you mean 'every'?"),
        ({"use": "gradient_norm", "every": 1.5}, "balance.every"),
        ({"use": "gradient_norm", "every": 0}, "balance: gradient_norm: every is 0"),
        ({"use": "gradient_norm", "terms": ["hard", "sotf"]}, "no term 'sotf'. Did you mean 'soft'?"),
        ({"use": "gradient_norm", "at": "student.lgits"}, "Did you mean 'logits'?"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_training")
def test_a_wrong_balance_is_one_line_before_anything_is_written(tmp_path: Any, balance: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        limbeck.run(changed({"balance": balance}), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_logs_the_student_s_weights_norms_and_temperatures(go: Go) -> None:
    run = go(
        {
            "balance": {"use": "gradient_norm", "every": 3},
            "objective.soft.loss.temperature": {"use": "cosine", "start": 8, "end": 2, "steps": 10},
            "objective.hard.weight": 1.0,
            "objective.soft.weight": 1.0,
        }
    )
    student, control = run.taught("student"), run.taught("control")
    assert student[0]["weights"] == {"hard": 0.5, "soft": 0.5}
    assert "gradient_norms" not in student[0]
    for event in student[1:]:
        hard, soft = event["gradient_norms"]["hard"], event["gradient_norms"]["soft"]
        assert event["weights"] == pytest.approx({"hard": soft / (hard + soft), "soft": hard / (hard + soft)}, rel=1e-4)
    assert student[0]["temperatures"] == {"soft": 8.0}
    assert student[-1]["temperatures"] == {"soft": 2.0}
    assert all(event["weights"] == {"hard": 1.0} and "gradient_norms" not in event for event in control)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "temperature of soft" in page
    assert "gradient norm of hard" in page


def test_uncertainty_and_a_learned_temperature_train(go: Go) -> None:
    learned = {"use": "curriculum", "steps": 5}
    run = go({"balance": "uncertainty", "objective.soft.loss.temperature": learned})
    events = run.taught("student")
    assert events[0]["weights"] == {"hard": 0.5, "soft": 0.5}
    assert events[-1]["weights"] != events[0]["weights"]
    assert events[-1]["temperatures"] != events[0]["temperatures"]
