"""Models that a protocol adds, with which the student is compared beside its control."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck import registry
from limbeck.errors import RecipeError
from recipes.small import changed

PLUGIN = Path(__file__).parents[1] / "contract" / "plugins" / "baselines.py"
PROTOCOL: dict[str, Any] = {"protocol": {"use": "baselines", "factor": 3}, "train.epochs": 2, "seeds": 2}


@pytest.fixture(autouse=True)
def no_plugin_stays() -> Iterator[None]:
    with registry.temporary():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with registry.temporary():
        return limbeck.run(changed(PROTOCOL), plugin=PLUGIN, output=tmp_path_factory.mktemp("baselines") / "run")


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


def test_each_is_trained_for_every_seed_with_its_own_settings(run: Path) -> None:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    last = {(event["stage"], event["seed"]): event["epoch"] for event in events}
    assert {key: epoch for key, epoch in last.items() if key[0] in ("control", "longer")} == {
        ("control", 0): 1,
        ("control", 1): 1,
        ("longer", 0): 5,
        ("longer", 1): 5,
    }


def test_each_is_measured_and_compared_with_the_student(run: Path) -> None:
    found = results(run)
    models = found["models"]
    assert {"control", "longer", "mean", "student", "teacher"} <= set(models)
    assert len(models["longer"]["seeds"]) == 2
    pairs = [(one["a"], one["b"]) for one in found["comparisons"] if one["metric"] == "accuracy"]
    assert pairs == [("student", other) for other in ("control", "longer", "mean", "teacher")]
    for one in found["comparisons"]:
        a, b = (models[one[side]]["metrics"][one["metric"]]["value"] for side in "ab")
        assert one["difference"] == pytest.approx(a - b)


def test_the_verdict_is_about_the_control(run: Path) -> None:
    assert "the same student trained without a teacher" in results(run)["verdict"]


def test_a_merged_baseline_has_the_mean_of_the_weights(run: Path) -> None:
    weights = {name: load_file(run / "models" / name / "model.safetensors") for name in ("control", "longer", "mean")}
    for name, value in weights["mean"].items():
        expected = (weights["control"][name].double() + weights["longer"][name].double()) / 2
        torch.testing.assert_close(value, expected.to(value.dtype))


def test_the_report_and_the_card_name_them(run: Path) -> None:
    assert "longer" in (run / "report.html").read_text(encoding="utf-8")
    assert "longer" in (run / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["teacher", "exported", "batch"])
def test_the_name_of_another_model_is_refused_before_any_work(name: str) -> None:
    protocol = {"use": "baselines", "name": name}
    with pytest.raises(RecipeError, match=f"protocol: the role '{name}' is the name of another model"):
        limbeck.api.check(changed({"protocol": protocol}), plugin=PLUGIN)


def test_a_stage_of_a_protocol_is_tried_before_any_work() -> None:
    """A training that only the protocol asks for runs a step before anything is written."""
    protocol = {"use": "baselines", "optimizer": "adamww"}
    with pytest.raises(RecipeError, match=r"no optimizer 'adamww'.* Did you mean 'adamw'"):
        limbeck.api.check(changed({"protocol": protocol}), plugin=PLUGIN)


def test_settings_that_a_protocol_cannot_have_are_an_error_of_the_recipe() -> None:
    with pytest.raises(RecipeError, match="protocol: epochs is 0; it must be at least 1"):
        limbeck.api.check(changed({"protocol": {"use": "baselines", "factor": 0}}), plugin=PLUGIN)
