"""`taps: auto`: what it stands for, in a recipe and in a run."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import limbeck
from layers.nets import library, residual
from limbeck import api
from limbeck.errors import RecipeError, RunError
from limbeck.files import write_text
from limbeck.recipes.read import read_recipe, recipe_text
from limbeck.runs import auto_taps
from limbeck.runs.auto_taps import with_taps
from recipes.small import parse
from runs.finished import Go, Run, digits

TASK = digits(labels=100)
RESNETS = {
    "models.teacher": {"use": "resnet", "width": 6, "depth": 2, "taps": "auto", "train": {"epochs": 1}},
    "models.student": {"use": "resnet", "width": 4, "taps": "auto"},
}
HINT = {"loss": "hint_mse", "inputs": {"student": "student.layer_2", "teacher": "teacher.layer_2"}, "weight": 0.1}
STAGES = {"layer_1": "stage1", "layer_2": "stage2", "layer_3": "stage3"}


def taps(changes: dict[str, Any], objects: dict[str, nn.Module] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The taps of every model, and the notes about them."""
    given = objects or {}
    recipe = parse(copy.deepcopy(changes), objects=given)
    chosen, notes = with_taps(recipe, TASK, given)
    assert replace(chosen, models={}) == replace(recipe, models={})
    for name, spec in chosen.models.items():
        assert spec.with_io(taps={}) == recipe.models[name].with_io(taps={})
    return {name: spec.taps for name, spec in chosen.models.items()}, notes


def test_both_sides_get_the_ends_of_their_stages_under_the_same_names() -> None:
    found, notes = taps(RESNETS)
    assert found == {"teacher": STAGES, "student": STAGES}
    assert notes[1].startswith("layer_2: student stage2, teacher stage2 (same size 4×4, channels 8 and 12, depth 0.60 ")
    assert notes[-1] == (
        "student begins from random weights and teacher has its weights from before its training in this run: depth "
        "and shape have decided, not CKA"
    )


def test_nothing_is_built_where_nothing_says_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_taps, "choose_taps", None)
    assert taps({"models.student.taps": {"hidden": "head"}}) == ({"student": {"hidden": "head"}, "teacher": {}}, [])


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ("auto", {"mid": "stage2.0", "late": "stage3"}, ({"mid": "stage2", "late": "stage3"}, None)),
        ({"mid": "stage2", "late": "stage3.0"}, "auto", (None, {"mid": "stage2", "late": "stage3"})),
        ({"two": ["stem", "stage1"], "into": "stage2:input", "one": "stage1"}, "auto", (None, {"one": "stage1"})),
        ("auto", {}, (STAGES, None)),
        ({}, "auto", (None, STAGES)),
    ],
    ids=["teacher names", "student names", "single outputs only", "student alone", "teacher alone"],
)
def test_one_side(student: Any, teacher: Any, expected: Any) -> None:
    found, _ = taps({**RESNETS, "models.student.taps": student, "models.teacher.taps": teacher})
    assert found == {"student": expected[0] or student, "teacher": expected[1] or teacher}


def test_fresh_weights_are_paired_by_depth_alone() -> None:
    # Depths 1/4, 2/4, 3/4 and 1/7 to 6/7: nearest are the second, the fourth (of equals the deeper), the fifth.
    found, _ = taps(
        {
            "models.student": {"use": "mlp", "width": 16, "depth": 3, "taps": "auto"},
            "models.teacher": {"use": "mlp", "width": 32, "depth": 6, "taps": "auto"},
        }
    )
    assert list(found["teacher"].values()) == ["layers.1", "layers.3", "layers.4"]


def test_a_layer_that_no_other_model_has_one_for_gets_no_name() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, 1, 1), nn.ReLU(), nn.Conv2d(3, 3, 3, 4, 1), nn.ReLU(), nn.Conv2d(3, 3, 3, 2, 1)]
    student = nn.Sequential(nn.Conv2d(1, 1, 3), *layers, nn.Flatten(), nn.Linear(3, 10))
    found, _ = taps({**RESNETS, "models.student": {"taps": "auto"}}, {"student": student})
    # 6×6, 2×2 and 1×1 beside the teacher's 8×8, 4×4 and 2×2.
    assert (found["student"], found["teacher"]) == ({"layer_1": "4"}, {"layer_1": "stage3"})


def test_several_teachers_are_each_paired_with_the_student() -> None:
    found, notes = taps(
        {
            **RESNETS,
            "models.other": {"use": "mobilenet", "taps": "auto"},
            "models.flat": {"use": "mlp", "taps": {"hidden": "layers"}},
            "models.both": {"ensemble": ["teacher", "flat"]},
            "models.teacher.taps": "auto",
            "models.student.taps": {"early": "stage1", "late": "stage3"},
        }
    )
    expected = {"early": "stage1", "late": "stage3"}
    assert [found[name] for name in ("student", "teacher", "other")] == [expected] * 3
    assert (found["flat"], found["both"]) == ({"hidden": "layers"}, {})
    assert sum(line.startswith("early: student stage1, ") for line in notes) == 2


def test_blocks_of_one_size_are_six_evenly_to_the_last() -> None:
    student, teacher = residual(12, width=8), residual(24, width=8)
    found, notes = taps(
        {"models.student": {"taps": "auto"}, "models.teacher": {"taps": "auto"}},
        {"student": student, "teacher": teacher},
    )
    # Stem and blocks, 13 layers; those after 2, 4, 6, 8, 10 and 13.
    assert list(found["student"].values()) == [*(f"blocks.{i}" for i in (0, 2, 4, 6, 8)), "blocks"]
    assert list(found["student"]) == list(found["teacher"]) == [f"layer_{i}" for i in range(1, 7)]
    assert len(notes) == 6


def test_objects_and_checkpoints_are_trusted_and_fresh_weights_are_not(tmp_path: Any) -> None:
    # The teacher's second half comes after all that the student has learned, which depth cannot know.
    teacher, student = (library("mlp", width=32, depth=depth) for depth in (6, 3))
    student.load_state_dict({name: teacher.state_dict()[name] for name in student.state_dict()})
    both = {"models.student": {"taps": "auto"}, "models.teacher": {"taps": "auto"}}
    found, notes = taps(both, {"student": student, "teacher": teacher})
    assert found["teacher"] == {"layer_1": "layers.0", "layer_2": "layers.1", "layer_3": "layers.2"}
    assert not any("have decided" in line for line in notes)
    spec = {"use": "mlp", "width": 16, "depth": 3}
    build_models = auto_taps.build_models(parse({"models.student": spec}), TASK, {})["student"]
    save_file(build_models.state_dict(), tmp_path / "c.safetensors")
    ready = {**spec, "checkpoint": str(tmp_path / "c.safetensors"), "taps": "auto"}
    for student, teaching, message in (
        (ready, ready, None),
        ({**spec, "taps": "auto"}, ready, "student begins from random weights: depth"),
        (
            ready,
            {**ready, "train": {"epochs": 1}},
            "teacher has its weights from before its training in this run: depth",
        ),
    ):
        _, notes = taps({"models.student": student, "models.teacher": teaching})
        said = [line for line in notes if "have decided" in line]
        assert (said == []) if message is None else said[0].startswith(message)


def test_the_choice_repeats_and_leaves_the_random_state_and_the_objects_alone() -> None:
    objects = {"student": residual(3), "teacher": residual(5)}
    before = copy.deepcopy(objects)
    state = torch.get_rng_state()
    first = taps({"models.student": {"taps": "auto"}, "models.teacher": {"taps": "auto"}}, objects)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == taps({"models.student": {"taps": "auto"}, "models.teacher": {"taps": "auto"}}, objects)
    for name, model in objects.items():
        assert model.training
        assert not any(part._forward_hooks for part in model.modules())
        torch.testing.assert_close(model.state_dict(), before[name].state_dict())


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.flatten(1))


def test_a_model_without_a_layer_to_tap_is_told() -> None:
    with pytest.raises(RecipeError, match=r"models\.teacher\.taps: auto finds no layer that fits; name modules"):
        taps({"models.teacher": {"taps": "auto"}}, {"teacher": Cut()})


# In a run.


@pytest.fixture(scope="module")
def attached(go: Go) -> Run:
    return go({**RESNETS, "objective.hint": HINT})


def test_a_run_writes_what_was_chosen_and_repeats_from_it(attached: Run, no_training: None) -> None:
    _, recipe = read_recipe(attached.path / "recipe.yaml")
    assert {name: spec["taps"] for name, spec in recipe["models"].items()} == {"teacher": STAGES, "student": STAGES}
    again = Run(limbeck.run(attached.path / "recipe.yaml", output=attached.path.parent / "again-attached"))
    assert again.results == attached.results
    assert (again.path / "recipe.yaml").read_text() == (attached.path / "recipe.yaml").read_text()


def test_resume_never_chooses_again(attached: Run, no_training: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_taps, "choose_taps", None)
    before = attached.results
    assert Run(api.resume(attached.path)).results == before


def test_a_run_whose_recipe_says_auto_is_not_resumed(attached: Run, tmp_path: Any) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "environment.json").write_bytes((attached.path / "environment.json").read_bytes())
    _, recipe = read_recipe(attached.path / "recipe.yaml")
    recipe["models"]["student"]["taps"] = "auto"
    write_text(folder / "recipe.yaml", recipe_text(recipe))
    with pytest.raises(
        (RecipeError, RunError), match=r"models\.student\.taps is auto, which is chosen when a run begins"
    ):
        api.resume(folder)


def test_the_hint_is_that_of_the_named_layers(go: Go, attached: Run, no_training: None) -> None:
    explicit = {
        **copy.deepcopy(RESNETS),
        "models.teacher.taps": STAGES,
        "models.student.taps": STAGES,
        "objective.hint": HINT,
    }
    assert go(explicit).results == attached.results


def test_attention_is_for_models_whose_attention_is_known() -> None:
    with pytest.raises(RecipeError, match=r"models\.teacher\.taps: attention_taps: \w+ is a model of type None"):
        taps({"models.teacher.taps": "attention"})
