"""`limbeck taps`: what it lists and proposes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import api
from limbeck.runs.list_taps import taps_text
from recipes.shell import Shell
from recipes.small import changed
from tasks import small_texts

RESNETS = {
    "models.teacher": {"use": "resnet", "width": 6, "train": {"epochs": 1}},
    "models.student": {"use": "resnet", "width": 4},
}


def test_it_lists_modules_and_proposes_pairs(shell: Shell) -> None:
    code, out, err = shell("taps", shell.write(changed(RESNETS)))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "teacher"
    assert lines[1].split() == ["path", "type", "output", "parameters"]
    assert lines[2].split()[:2] == ["(whole)", "ResNet"]
    stages = [line.split() for line in lines if line.split()[:2] == ["stage2", "Sequential"]]
    assert [row[2:] for row in stages] == [["117×12×4×4", "2,088"], ["117×8×4×4", "944"]]
    assert "  student: {layer_1: stage1, layer_2: stage2, layer_3: stage3}" in lines
    assert any(
        line.startswith("  layer_3: student stage3, teacher stage3 (same size 2×2, channels 16 and 24")
        for line in lines
    )
    assert lines[-1].endswith("depth and shape have decided, not CKA")
    assert shell.tree() == ["recipe.yaml"]


def test_json_says_the_same(shell: Shell) -> None:
    code, out, err = shell("taps", shell.write(changed(RESNETS)), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["schema"], found["recipe"], found["rows"]) == (1, "recipe", 117)
    assert found["taps"]["teacher"] == {"layer_1": "stage1", "layer_2": "stage2", "layer_3": "stage3"}
    modules = {module["path"]: module for module in found["models"]["student"]["modules"]}
    assert modules["stage2"] == {
        "path": "stage2", "kind": "Sequential", "shapes": [[117, 8, 4, 4]], "parameters": 944, "runs": 1,
    }  # fmt: skip
    (match,) = found["matches"]
    assert (match["anchor"], match["model"]) == ("student", "teacher")
    pair = match["pairs"]["layer_2"]
    assert (pair["first"]["path"], pair["second"]["shape"]) == ("stage2", [12, 4, 4])
    assert pair["first"]["depth"] == pair["second"]["depth"] == pytest.approx(0.6)
    assert 0 <= pair["similarity"] <= 1
    assert len(match["untrusted"]) == 2


def test_taps_of_the_recipe_need_not_be_right_yet(shell: Shell) -> None:
    wrong = {**RESNETS, "models.student": {"use": "resnet", "taps": {"hidden": "stage9"}}}
    assert "models.student.taps.hidden: the model has no module 'stage9'. Did you mean 'stage" in shell.refused(
        "run", shell.write(changed(wrong))
    )
    code, out, _ = shell("taps", shell.write(changed(wrong)))
    assert code == 0
    assert "stage3" in out


def proposed(shell: Shell, recipe: dict[str, Any]) -> dict[str, Any]:
    code, out, err = shell("taps", shell.write(recipe), "--json")
    assert (code, err) == (0, "")
    taps: dict[str, Any] = json.loads(out)["taps"]
    return taps


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_models_whose_attention_is_tapped_are_listed_like_others(shell: Shell, name: str) -> None:
    recipe = small_texts.recipe(shell.folder, shrink="teacher", layers=1)
    recipe["models"][name]["taps"] = "attention"
    assert proposed(shell, recipe) == {
        "teacher": {"layer_1": "bert.embeddings", "layer_2": "bert.encoder.layer.1"},
        "student": {"layer_1": "bert.embeddings", "layer_2": "bert.encoder.layer.0"},
    }


def test_layers_of_words_are_paired_with_layers_of_whole_texts(shell: Shell) -> None:
    recipe = small_texts.recipe(shell.folder, use="bilstm", embedding=8, width=8, hidden=8)
    recipe["models"]["teacher"] = {"use": "bert", "layers": 2, "width": 16, "heads": 2, "train": {"epochs": 1}}
    assert proposed(shell, recipe) == {
        "teacher": {"layer_1": "bert.encoder.layer.0", "layer_2": "bert.encoder.layer.1"},
        "student": {"layer_1": "dropout", "layer_2": "hidden"},
    }


def test_a_wrong_recipe_is_one_line(shell: Shell) -> None:
    assert "no recipe 'digts'" in shell.refused("taps", "digts")
    assert "models.student.taps is 'all'; write auto" in shell.refused(
        "taps", shell.write(changed({"models.student.taps": "all"}))
    )


class Odd(nn.Module):
    """One module that never runs and one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.unused = nn.Linear(64, 8), nn.Linear(8, 8), nn.ReLU()
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.again(self.again(self.first(images.flatten(1)))))


def listed(found: dict[str, Any], model: str) -> dict[str, str]:
    block = next(block for block in taps_text(found).split("\n\n") if block.startswith(f"{model}\n"))
    return {line.split()[0]: line for line in block.splitlines()[2:]}


def test_modules_that_do_not_run_once_are_marked() -> None:
    torch.manual_seed(0)
    odd = Odd()
    found = api.taps(changed(RESNETS), models={"student": odd})
    lines = listed(found, "student")
    assert lines["again"].endswith("runs 2 times")
    assert lines["unused"].endswith("does not run")
    assert lines["first"].endswith("520")
    assert found["taps"]["student"] == {"layer_1": "first"}
    assert odd.training
