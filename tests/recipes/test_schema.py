"""What a recipe may say: every wrong word is one line, before anything is trained or written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from limbeck import registry
from limbeck.errors import RecipeError
from limbeck.export import Delivery
from limbeck.recipes.read import override, read_recipe, recipe_text
from limbeck.tasks import ImageClassification
from recipes.builtin import WHOLE
from recipes.shell import Shell
from recipes.small import GONE, SMALL, changed, resolve

nan, inf = float("nan"), float("inf")

UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({"modles": {}}, "'models'"),
    ({1: 2}, "no section 1"),
    ({"blance": {}}, "no section 'blance'. Did you mean 'balance'"),
    ({"data.lables": 5}, "'labels'"),
    ({"data.validaton": 0.1}, "'validation'"),
    ({"data.use": "digts"}, "'digits'"),
    ({"data": {"usee": "digits"}}, "usee"),
    ({"data.augment.flipp": True}, "'flip'"),
    ({"models.teacher.use": "resnett"}, "'resnet'"),
    ({"models.teacher.widht": 3}, "'width'"),
    ({"models.teacher.trian": {}}, "'train'"),
    ({"models.student.chekpoint": "x"}, "'checkpoint'"),
    ({"models.student": {"usee": "mlp"}}, "usee"),
    ({"models.student.channels": 3}, "'channels'"),
    ({"models.teacher.train.epoch": 3}, "'epochs'"),
    ({"models.teacher": {"run": "runs/x", "modle": "student"}}, "'model'"),
    ({"models.teacher": {"ensemble": ["a"], "maen": "logits"}}, "'mean'"),
    ({"objective.hard.wieght": 1}, "'weight'"),
    ({"objective.hard.loss": "cros_entropy"}, "'cross_entropy'"),
    ({"objective.soft.loss.temprature": 1}, "'temperature'"),
    ({"objective.soft.inputs": {"techer": "teacher.logits"}}, "'teacher'"),
    ({"objective.soft.inputs": {"teacher": "teachr.logits"}}, "'teacher'"),
    ({"objective.soft.inputs": {"teacher": "teacher.logit"}}, "'logits'"),
    ({"objective.hard.where": "batch.labeled"}, "'labelled'"),
    ({"objective.hard.scale": "techer.logits"}, "'teacher'"),
    ({"objective.hard.weight": {"use": "liner", "start": 1, "end": 0, "steps": 2}}, "'linear'"),
    ({"objective.hard.weight": {"use": "linear", "strat": 1, "end": 0, "steps": 2}}, "'start'"),
    ({"train.learning_rat": 0.1}, "'learning_rate'"),
    ({"train.optimizer": "adamww"}, "'adamw'"),
    ({"train.optimizer_options": {"beta": [0.9, 0.99]}}, "'betas'"),
    ({"train.finetune": {"epoch": 1}}, "'epochs'"),
    ({"export.tolerence": 1}, "'tolerance'"),
    ({"measure.draw": 200}, "'draws'"),
    ({"task": "image_clasification"}, "'image_classification'"),
    ({"models.student.taps": {"x": "layerz.0"}}, "'layers.0'"),
    ({"models.teacher.taps": {"x": "layerz.0"}}, "'layers.0'"),
]

TYPES: list[tuple[dict[str, Any], str]] = [
    ({"schema": "1"}, "schema: 1"),
    ({"schema": True}, "schema: 1"),
    ({"schema": GONE}, "schema: 1"),
    ({"schema": 2}, "schema is 2"),
    ({"name": 5}, "name is 5"),
    ({"name": ""}, "name is ''"),
    ({"task": ["image_classification"]}, "no task"),
    ({"task": None}, "no task"),
    ({"data": "digits"}, "data is 'digits'"),
    ({"data": ["digits"]}, "data is"),
    ({"data": None}, "names no source"),
    ({"data.use": None}, "data"),
    ({"data.labels": "100"}, "data.labels"),
    ({"data.labels": True}, "data.labels"),
    ({"data.labels": 10.5}, "data.labels"),
    ({"data.validation": "a"}, "data.validation"),
    ({"data.validation": None}, "data.validation"),
    ({"data.augment": 5}, "data.augment"),
    ({"data.augment": [1]}, "data.augment"),
    ({"data.augment.crop": "1"}, "data.augment.crop"),
    ({"data.augment.flip": 1}, "data.augment.flip"),
    ({"data.folder": "x"}, "digits takes no 'folder'"),
    ({"data": {"use": "npz"}}, "npz needs 'file'"),
    ({"data": {"use": "npz", "file": 5}}, "data.file"),
    ({"models": None}, "models has no 'student'"),
    ({"models": []}, "models is []"),
    ({"models.student": GONE}, "models has no 'student'"),
    ({"models.student": 5}, "models.student is 5"),
    ({"models.student": None}, "models.student is None"),
    ({"models.student": {}}, "one of use, run, ensemble"),
    ({"models.student.width": "8"}, "models.student.width"),
    ({"models.student.width": 8.5}, "models.student.width"),
    ({"models.student.width": None}, "models.student.width"),
    ({"models.student.width": True}, "models.student.width"),
    ({"models.student.taps": 5}, "models.student.taps"),
    ({"models.student.taps": {"a": 5}}, "models.student.taps.a"),
    ({"models.student.inputs": 5}, "models.student.inputs"),
    ({"models.student.checkpoint": 5}, "models.student.checkpoint"),
    ({"models.student.train": {"epochs": 1}}, "models.student.train"),
    ({"models.teacher.train": 5}, "models.teacher.train"),
    ({"models.teacher": {"run": 5}}, "models.teacher.run"),
    ({"models.teacher": {"run": "x", "train": {}}}, "models.teacher.train"),
    ({"models.teacher": {"use": "mlp", "run": "x"}}, "one of use, run, ensemble"),
    ({"models.teacher": {"ensemble": 5}}, "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": [[1], 2]}}, "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": {"a": "b"}}}, "models.teacher.ensemble.a"),
    ({"models.Teacher": {"use": "mlp"}}, "must match"),
    ({"models.batch": {"use": "mlp"}}, "choose another"),
    ({"models.control": {"use": "mlp"}}, "choose another"),
    ({"student": {"use": "mlp"}}, "keep one of them"),
    ({"objective": None}, "objective has no term"),
    ({"objective": {}}, "objective has no term"),
    ({"objective": "kl_divergence"}, "objective is"),
    ({"objective.hard": "cross_entropy"}, "objective.hard"),
    ({"objective.hard": {"weight": 1}}, "'loss'"),
    ({"objective.hard.loss": None}, "objective.hard.loss"),
    ({"objective.hard.loss": 5}, "objective.hard.loss"),
    ({"objective.hard.weight": None}, "objective.hard.weight"),
    ({"objective.hard.weight": "1"}, "objective.hard.weight"),
    ({"objective.hard.weight": True}, "objective.hard.weight"),
    ({"objective.hard.weight": [1]}, "objective.hard.weight"),
    ({"objective.hard.weight": {"use": "linear", "start": 1}}, "needs 'end'"),
    ({"objective.hard.where": 5}, "objective.hard.where"),
    ({"objective.hard.inputs": "student.logits"}, "objective.hard.inputs"),
    ({"objective.hard.inputs": {"student": 5}}, "objective.hard.inputs.student"),
    ({"objective.soft.loss.temperature": "2"}, "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": False}, "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": [2]}, "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": {"use": "cosine", "start": 8}}, "temperature: cosine needs 'end'"),
    ({"objective.soft.loss.temperature": {"use": "kl_divergence"}}, "no schedule or temperature 'kl_divergence'"),
    ({"objective.hard.loss": {"use": "cross_entropy", "class_weights": 1}}, "class_weights"),
    ({"objective.hard.loss": {"use": "cross_entropy", "class_weights": ["a"]}}, "class_weights.0"),
    ({"train": 5}, "train is 5"),
    ({"train": False}, "train is False"),
    ({"train.epochs": "5"}, "train.epochs"),
    ({"train.epochs": True}, "train.epochs"),
    ({"train.epochs": 1.5}, "train.epochs"),
    ({"train.learning_rate": "fast"}, "train.learning_rate"),
    ({"train.learning_rate": None}, "train.learning_rate"),
    ({"train.learning_rate": True}, "train.learning_rate"),
    ({"train.schedule": "cosin"}, "'cosine'"),
    ({"train.optimizer": 5}, "train.optimizer"),
    ({"train.optimizer_options": [1]}, "train.optimizer_options"),
    ({"train.clip": "a"}, "train.clip"),
    ({"train.finetune": 5}, "train.finetune"),
    ({"train.finetune": {"finetune": {"epochs": 1}}}, "train.finetune.finetune"),
    ({"train.finetune": {"seed": 3}}, "train.finetune.seed"),
    ({"models.teacher.train.finetune": {"epochs": 1}}, "models.teacher.train.finetune"),
    ({"control": "perhaps"}, "control"),
    ({"control": 1}, "control"),
    ({"seeds": "3"}, "seeds"),
    ({"seeds": [0, 1]}, "seeds"),
    ({"measure": {"draws": "many"}}, "measure.draws"),
    ({"measure": {"seconds": -1.0}}, "seconds is -1.0; it must not be negative"),
    ({"export": {"formats": "onnx"}}, "export.formats"),
    ({"export": {"formats": ["onxx"]}}, "'onnx'"),
    ({"export": {"tolerance": "small"}}, "export.tolerance"),
]

VALUES: list[tuple[dict[str, Any], str]] = [
    ({"objective.soft.loss.temperature": 0}, "temperature"),
    ({"objective.soft.loss.temperature": -1}, "temperature"),
    ({"objective.soft.loss.temperature": nan}, "temperature"),
    ({"objective.soft.loss.temperature": inf}, "temperature"),
    ({"objective.soft.loss.temperature": {"use": "linear", "start": 2, "end": -1, "steps": 20}}, "step 14"),
    ({"objective.soft.loss.temperature": {"use": "curriculum", "steps": 0}}, "temperature: curriculum: steps is 0"),
    ({"objective.hard.weight": 0, "objective.soft.weight": 0}, "weight 0"),
    ({"objective.hard.weight": -1}, "at least 0"),
    ({"objective.hard.weight": nan}, "finite"),
    ({"objective.hard.weight": inf}, "finite"),
    ({"objective.soft.weight": {"use": "linear", "start": 1, "end": -1, "steps": 20}}, "at step 11"),
    ({"objective.soft.weight": {"use": "linear", "start": 1, "end": 0, "steps": 0}}, "steps is 0"),
    ({"objective.hard.loss": {"use": "cross_entropy", "label_smoothing": 1.0}}, "label_smoothing"),
    ({"objective.hard.loss": {"use": "cross_entropy", "class_weights": [1.0, 2.0]}}, "10"),
    ({"objective.hard.where": "student.logits"}, "batch"),
    ({"objective.hard.where": "batch.index"}, "torch.bool"),
    ({"objective.hard.inputs": {"target": "batch.nothing"}}, "batch.nothing"),
    ({"objective.2nd": {"loss": "cross_entropy"}}, "must match"),
    ({"train.batch_size": 0}, "batch_size is 0"),
    ({"train.batch_size": -4}, "batch_size is -4"),
    ({"train.batch_size": 5000}, "batch_size (now 5000)"),
    ({"train.batch_size": 1}, "batch_size is 1"),
    ({"models.teacher.train.batch_size": 5000}, "models.teacher.train"),
    ({"train.finetune": {"batch_size": 5000}}, "train.finetune"),
    ({"train.finetune": {"epochs": 0}}, "epochs is 0"),
    ({"train.epochs": 0}, "epochs is 0"),
    ({"train.learning_rate": 0}, "learning_rate is 0"),
    ({"train.learning_rate": -0.1}, "learning_rate is -0.1"),
    ({"train.learning_rate": nan}, "learning_rate is nan"),
    ({"train.learning_rate": inf}, "learning_rate is inf"),
    ({"train.weight_decay": -1}, "weight_decay is -1"),
    ({"train.warmup": 1.5}, "warmup is 1.5"),
    ({"train.clip": 0}, "clip is 0"),
    ({"train.patience": 0}, "patience is 0"),
    ({"train.seed": -1}, "seed is -1"),
    ({"train.seed": 2**31 - 1, "seeds": 2}, "seed is 2147483648"),
    ({"train.accumulate": 5}, "accumulate=5"),
    ({"train.optimizer_options": {"betas": [2.0, 0.9]}}, "optimizer adamw"),
    ({"data.labels": 5}, "cannot keep 5 labels"),
    ({"data.labels": 0}, "control: false"),
    ({"data.labels": -1}, "labels is -1"),
    ({"data.unlabelled": {"use": "digts"}}, "data.unlabelled"),
    ({"data.test_from": {"use": "npz", "file": "absent.npz"}}, "absent.npz"),
    ({"data.labels": 5000}, "cannot keep 5000 labels"),
    ({"data.limit": 0}, "limit is 0"),
    ({"data.limit": 5000}, "5000 rows"),
    ({"data.validation": 1.5}, "validation is 1.5"),
    ({"data.validation": -0.1}, "validation is -0.1"),
    ({"data.validation": nan}, "validation is nan"),
    ({"data.test": 0}, "test is 0"),
    ({"data.test": 0.9, "data.validation": 0.3}, "leave no rows"),
    ({"data.labelled_share": 0}, "labelled_share is 0"),
    ({"data.labelled_share": 1}, "labelled_share is 1"),
    ({"data.labelled_share": nan}, "labelled_share is nan"),
    ({"data.augment.crop": -1}, "crop is -1"),
    ({"data.augment.erase": 2}, "erase is 2"),
    ({"data.workers": -1}, "workers is -1"),
    ({"models.student.width": 0}, "width is 0"),
    ({"models.student.width": 10**12}, "models.student"),
    ({"models.teacher.depth": -1}, "depth is -1"),
    ({"models.student.dropout": 1.0}, "dropout is 1.0"),
    ({"models.unused": {"use": "mlp", "width": 0}}, "models.unused"),
    ({"models.student.inputs": "batch.index"}, "the student"),
    ({"seeds": 0}, "seeds is 0"),
    ({"seeds": -3}, "seeds is -3"),
    ({"measure.draws": 1}, "draws is 1"),
    ({"export.tolerance": 0}, "tolerance is 0"),
    ({"export.tolerance": nan}, "tolerance is nan"),
    ({"train.select": "best", "data.validation": 0.0}, "validation rows"),
    ({"train.patience": 2, "data.validation": 0.0}, "validation rows"),
    ({"models.teacher.train.select": "best", "data.validation": 0.0}, "models.teacher.train"),
    ({"models.teacher": {"ensemble": ["teacher"]}}, "needs itself"),
    ({"models.unused": {"ensemble": ["unused"]}}, "needs itself"),
    ({"models.a": {"ensemble": ["b"]}, "models.b": {"ensemble": ["a"]}}, "needs itself"),
    ({"models.teacher.objective": {"soft": {"loss": "kl_divergence"}}}, "models.teacher needs itself"),
    ({"models.teacher.objective": {}}, "give at least one term"),
    ({"models.teacher.objective.hard": {"loss": "cross_entropyy"}}, "models.teacher.objective.hard.loss"),
    ({"models.student.objective": {"hard": {"loss": "cross_entropy"}}}, "the section objective at the top"),
    ({"models.teacher.train": "together", "models.teacher.objective": {}}, "the terms of the objective at the top"),
    ({"models.teacher.train": "togeher"}, "or together"),
    ({"models.peer": {"use": "mlp", "train": "together"}}, "no term of the objective reads it"),
    ({"models.a": {"run": "x", "objective": {}}}, "is not trained"),
    ({"models.a": SMALL["models"]["teacher"]}, "models.teacher and models.a are one model trained in one way"),
    ({"models.teacher": {"ensemble": ["student"]}}, "cannot be a member"),
    ({"models.teacher": {"ensemble": ["a"]}}, "no source 'a'"),
    ({"models.teacher": {"ensemble": []}}, "at least one member"),
    ({"models.teacher": {"ensemble": {"a": 0}}, "models.a": {"use": "mlp"}}, "not all 0"),
    ({"models.teacher": {"ensemble": {"a": -1}}, "models.a": {"use": "mlp"}}, "at least 0"),
    ({"models.teacher": {"ensemble": ["a"], "temperature": 0}, "models.a": {"use": "mlp"}}, "temperature"),
    ({"models.teacher": {"ensemble": ["a"], "taps": {"x": "y"}}, "models.a": {"use": "mlp"}}, "taps"),
    ({"models.teacher": {"use": "timm", "name": "resnet_18"}}, "'resnet18'"),
    ({"models.teacher": {"use": "torchvision", "name": "no_such_model_at_all"}}, "no torchvision model"),
]


@pytest.mark.parametrize(("changes", "message"), UNKNOWN + TYPES + VALUES, ids=lambda part: str(part)[:70])
def test_wrong_recipe_is_one_line(shell: Shell, changes: dict[Any, Any], message: str) -> None:
    recipe = {**SMALL, **changes} if 1 in changes else changed(changes)
    assert message in shell.refused("run", shell.write(recipe))


EVERYTHING = {
    "schema": 1,
    "task": "image_classification",
    "data": {"use": "idx", "folder": "x", "labels": 100, "limit": 500, "augment": {"flip": True, "erase": 0.5}},
    "models": {
        "teacher": {"ensemble": {"a": 2, "b": 1}, "temperature": 4, "mean": "probabilities"},
        "a": {"use": "resnet", "width": 8, "taps": {"hint": "stage2"}, "train": {"epochs": 2, "optimizer": "sgd"}},
        "b": {"run": "runs/before", "model": "teacher"},
        "c": {"use": "mobilenet", "checkpoint": "c.safetensors"},
        "d": {"use": "timm", "name": "resnet18"},
        "student": {"use": "resnet", "width": 4, "taps": {"hint": "stage2"}, "checkpoint": "s.pt"},
    },
    "objective": {
        "hard": {
            "loss": "cross_entropy",
            "where": "batch.labelled",
            "weight": {"use": "linear", "start": 0, "end": 1, "steps": 9},
        },
        "soft": {"loss": {"use": "kl_divergence", "temperature": 4}, "scale": "teacher.confidence", "weight": 1},
        "hint": {"loss": "hint_mse", "inputs": {"student": "student.hint", "teacher": "a.hint"}},
        "weighted": {
            "loss": {"use": "cross_entropy", "class_weights": [1, 2]},
            "weight": {"use": "constant", "value": 1},
        },
    },
    "train": {
        "epochs": 2,
        "finetune": {"epochs": 1, "learning_rate": 1e-4},
        "optimizer_options": {"betas": [0.9, 0.99]},
    },
    "seeds": 3,
    "control": False,
    "measure": {"draws": 500},
    "export": {"formats": []},
}


@pytest.mark.parametrize("recipe", [*WHOLE, SMALL, EVERYTHING], ids=str)
def test_resolving_again_changes_nothing(recipe: Any) -> None:
    name, raw = read_recipe(recipe)
    once = resolve(raw, name=name)
    assert resolve(once, name=name) == once
    written = recipe_text(once)
    assert yaml.safe_load(written) == once
    assert resolve(yaml.safe_load(written), name=name) == once


def test_every_default_is_written_out() -> None:
    resolved = resolve(SMALL, name="small")
    assert resolved["train"]["learning_rate"] == 2e-3
    assert resolved["models"]["student"] == {
        "use": "mlp", "width": 8, "depth": 1, "dropout": 0.0, "checkpoint": None, "taps": {}, "inputs": "batch.inputs",
            "call": {},
    }  # fmt: skip
    assert resolved["objective"]["hard"]["loss"] == {
        "use": "cross_entropy",
        "label_smoothing": 0.0,
        "class_weights": None,
    }
    assert (resolved["control"], resolved["seeds"]) == (True, 1)


def test_teacher_and_student_at_the_top_are_short_for_models() -> None:
    raw = changed({"models": GONE})
    raw |= SMALL["models"]
    assert resolve(raw, name="small")["models"] == resolve(SMALL, name="small")["models"]


@pytest.mark.parametrize("name", ["mlp", "resnet", "mobilenet"])
def test_a_model_may_be_its_name_alone(name: str) -> None:
    assert resolve(changed({"models.student": name}), name="x") == resolve(
        changed({"models.student": {"use": name}}), name="x"
    )


def test_a_teacher_with_weights_learns_only_when_told() -> None:
    taken = resolve(changed({"models.teacher": {"use": "mlp", "checkpoint": "x.pt"}}), name="x")["models"]["teacher"]
    assert taken["train"] is None
    message = changed({"models.teacher": {"use": "mlp", "checkpoint": "x.pt", "train": {"epochs": 3}}})
    assert resolve(message, name="x")["models"]["teacher"]["train"]["epochs"] == 3


def test_objects_stand_for_entries() -> None:
    resolved = resolve(changed({"data": {"labels": 50}}), name="x", objects={"data", "teacher"})
    assert resolved["data"]["use"] == "object"
    assert resolved["data"]["labels"] == 50
    assert resolved["models"]["teacher"]["object"] == "teacher"
    assert resolve(resolved, name="x", objects={"data", "teacher"}) == resolved
    with pytest.raises(RecipeError, match="given in Python"):
        resolve(resolved, name="x", objects={"data"})
    with pytest.raises(RecipeError, match="from Python"):
        resolve(resolved, name="x", objects={"teacher"})


def test_a_misspelt_setting_beside_an_object_is_refused() -> None:
    with pytest.raises(RecipeError, match="'labels'"):
        resolve(changed({"data.lables": 50}), name="x", objects={"data"})


@pytest.mark.parametrize("item", ["models.student.width=4", "student.width=4"])
@pytest.mark.parametrize("at_top", [False, True])
def test_set_finds_a_model_in_its_short_and_its_long_place(item: str, at_top: bool) -> None:
    raw = changed({"models": {"teacher": "mlp"}, "student": "mlp"}) if at_top else changed({"models.student": "mlp"})
    assert resolve(override(raw, [item]), name="x")["models"]["student"]["width"] == 4


def test_no_registered_name_is_a_keyword_of_a_section() -> None:
    for kind in ("loss", "model", "source", "schedule"):
        assert "object" not in registry.names(kind)


class OneFormat(ImageClassification):
    delivery = Delivery(formats=("onnx",))


def test_a_format_that_the_task_does_not_offer_is_refused() -> None:
    with registry.temporary():
        registry.register("task", "one_format")(OneFormat)
        resolve(changed({"task": "one_format", "export": {"formats": ["onnx"]}}), name="x")
        with pytest.raises(RecipeError, match=r"export\.formats: this task is not exported as int8; choose from onnx"):
            resolve(changed({"task": "one_format", "export": {"formats": ["onnx", "int8"]}}), name="x")
