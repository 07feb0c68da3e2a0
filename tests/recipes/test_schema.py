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

UNKNOWN: list[tuple[dict[str, Any], str, str]] = [
    ({"modles": {}}, "unknown_name", "modles"),
    ({1: 2}, "unknown_name", "1"),
    ({"blance": {}}, "unknown_name", "blance"),
    ({"data.lables": 5}, "unknown_name", "data.lables"),
    ({"data.validaton": 0.1}, "unknown_name", "data.validaton"),
    ({"data.use": "digts"}, "unknown_name", "data"),
    ({"data": {"usee": "digits"}}, "missing", "data"),
    ({"data.augment.flipp": True}, "unknown_name", "data.augment.flipp"),
    ({"models.teacher.use": "resnett"}, "unknown_name", "models.teacher"),
    ({"models.teacher.widht": 3}, "unknown_name", "models.teacher.widht"),
    ({"models.teacher.trian": {}}, "unknown_name", "models.teacher.trian"),
    ({"models.student.chekpoint": "x"}, "unknown_name", "models.student.chekpoint"),
    ({"models.student": {"usee": "mlp"}}, "missing", "models.student"),
    ({"models.student.channels": 3}, "unknown_name", "models.student.channels"),
    ({"models.teacher.train.epoch": 3}, "unknown_name", "models.teacher.train.epoch"),
    ({"models.teacher": {"run": "runs/x", "modle": "student"}}, "unknown_name", "models.teacher.modle"),
    ({"models.teacher": {"ensemble": ["a"], "maen": "logits"}}, "unknown_name", "models.teacher.maen"),
    ({"objective.hard.wieght": 1}, "unknown_name", "objective.hard.wieght"),
    ({"objective.hard.loss": "cros_entropy"}, "unknown_name", "objective.hard.loss"),
    ({"objective.soft.loss.temprature": 1}, "unknown_name", "objective.soft.loss.temprature"),
    ({"objective.soft.inputs": {"techer": "teacher.logits"}}, "unknown_name", "objective.soft.inputs.techer"),
    ({"objective.soft.inputs": {"teacher": "teachr.logits"}}, "unknown_name", "objective.soft.inputs.teacher"),
    ({"objective.soft.inputs": {"teacher": "teacher.logit"}}, "unknown_name", "objective.soft.inputs.teacher"),
    ({"objective.hard.where": "batch.labeled"}, "unknown_name", "objective.hard.where"),
    ({"objective.hard.scale": "techer.logits"}, "unknown_name", "objective.hard.scale"),
    (
        {"objective.hard.weight": {"use": "liner", "start": 1, "end": 0, "steps": 2}},
        "unknown_name",
        "objective.hard.weight",
    ),
    (
        {"objective.hard.weight": {"use": "linear", "strat": 1, "end": 0, "steps": 2}},
        "unknown_name",
        "objective.hard.weight.strat",
    ),
    ({"train.learning_rat": 0.1}, "unknown_name", "train.learning_rat"),
    ({"train.optimizer": "adamww"}, "unknown_name", "train.optimizer"),
    ({"train.optimizer_options": {"beta": [0.9, 0.99]}}, "unknown_name", "train.optimizer_options"),
    ({"train.finetune": {"epoch": 1}}, "unknown_name", "train.finetune.epoch"),
    ({"export.tolerence": 1}, "unknown_name", "export.tolerence"),
    ({"measure.draw": 200}, "unknown_name", "measure.draw"),
    ({"task": "image_clasification"}, "unknown_name", "task"),
    ({"models.student.taps": {"x": "layerz.0"}}, "unknown_name", "models.student.taps.x"),
    ({"models.teacher.taps": {"x": "layerz.0"}}, "unknown_name", "models.teacher.taps.x"),
]

TYPES: list[tuple[dict[str, Any], str, str]] = [
    ({"schema": "1"}, "wrong_type", "schema"),
    ({"schema": True}, "wrong_type", "schema"),
    ({"schema": GONE}, "missing", "schema"),
    ({"schema": 2}, "changed", "schema"),
    ({"name": 5}, "wrong_type", "name"),
    ({"name": ""}, "out_of_range", "name"),
    ({"task": ["image_classification"]}, "wrong_type", "task"),
    ({"task": None}, "missing", "task"),
    ({"data": "digits"}, "wrong_type", "data"),
    ({"data": ["digits"]}, "wrong_type", "data"),
    ({"data": None}, "missing", "data"),
    ({"data.use": None}, "missing", "data"),
    ({"data.labels": "100"}, "wrong_type", "data.labels"),
    ({"data.labels": True}, "wrong_type", "data.labels"),
    ({"data.labels": 10.5}, "wrong_type", "data.labels"),
    ({"data.validation": "a"}, "wrong_type", "data.validation"),
    ({"data.validation": None}, "wrong_type", "data.validation"),
    ({"data.augment": 5}, "wrong_type", "data.augment"),
    ({"data.augment": [1]}, "wrong_type", "data.augment"),
    ({"data.augment.crop": "1"}, "wrong_type", "data.augment.crop"),
    ({"data.augment.flip": 1}, "wrong_type", "data.augment.flip"),
    ({"data.folder": "x"}, "unknown_name", "data.folder"),
    ({"data": {"use": "npz"}}, "missing", "data.file"),
    ({"data": {"use": "npz", "file": 5}}, "wrong_type", "data.file"),
    ({"models": None}, "missing", "models.student"),
    ({"models": []}, "wrong_type", "models"),
    ({"models.student": GONE}, "missing", "models.student"),
    ({"models.student": 5}, "wrong_type", "models.student"),
    ({"models.student": None}, "missing", "models.student"),
    ({"models.student": {}}, "missing", "models.student"),
    ({"models.student.width": "8"}, "wrong_type", "models.student.width"),
    ({"models.student.width": 8.5}, "wrong_type", "models.student.width"),
    ({"models.student.width": None}, "wrong_type", "models.student.width"),
    ({"models.student.width": True}, "wrong_type", "models.student.width"),
    ({"models.student.taps": 5}, "wrong_type", "models.student.taps"),
    ({"models.student.taps": {"a": 5}}, "wrong_type", "models.student.taps.a"),
    ({"models.student.inputs": 5}, "wrong_type", "models.student.inputs"),
    ({"models.student.checkpoint": 5}, "wrong_type", "models.student.checkpoint"),
    ({"models.student.train": {"epochs": 1}}, "conflict", "models.student.train"),
    ({"models.teacher.train": 5}, "wrong_type", "models.teacher.train"),
    ({"models.teacher": {"run": 5}}, "wrong_type", "models.teacher.run"),
    ({"models.teacher": {"run": "x", "train": {}}}, "no_effect", "models.teacher.train"),
    ({"models.teacher": {"use": "mlp", "run": "x"}}, "conflict", "models.teacher"),
    ({"models.teacher": {"ensemble": 5}}, "wrong_type", "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": [[1], 2]}}, "wrong_type", "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": {"a": "b"}}}, "wrong_type", "models.teacher.ensemble.a"),
    ({"models.Teacher": {"use": "mlp"}}, "out_of_range", "models.Teacher"),
    ({"models.batch": {"use": "mlp"}}, "in_use", "models.batch"),
    ({"models.control": {"use": "mlp"}}, "in_use", "models.control"),
    ({"student": {"use": "mlp"}}, "conflict", "student"),
    ({"objective": None}, "missing", "objective"),
    ({"objective": {}}, "missing", "objective"),
    ({"objective": "kl_divergence"}, "wrong_type", "objective"),
    ({"objective.hard": "cross_entropy"}, "wrong_type", "objective.hard"),
    ({"objective.hard": {"weight": 1}}, "missing", "objective.hard.loss"),
    ({"objective.hard.loss": None}, "missing", "objective.hard.loss"),
    ({"objective.hard.loss": 5}, "wrong_type", "objective.hard.loss"),
    ({"objective.hard.weight": None}, "wrong_type", "objective.hard.weight"),
    ({"objective.hard.weight": "1"}, "wrong_type", "objective.hard.weight"),
    ({"objective.hard.weight": True}, "wrong_type", "objective.hard.weight"),
    ({"objective.hard.weight": [1]}, "wrong_type", "objective.hard.weight"),
    ({"objective.hard.weight": {"use": "linear", "start": 1}}, "missing", "objective.hard.weight.end"),
    ({"objective.hard.where": 5}, "wrong_type", "objective.hard.where"),
    ({"objective.hard.inputs": "student.logits"}, "wrong_type", "objective.hard.inputs"),
    ({"objective.hard.inputs": {"student": 5}}, "wrong_type", "objective.hard.inputs.student"),
    ({"objective.soft.loss.temperature": "2"}, "wrong_type", "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": False}, "wrong_type", "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": [2]}, "wrong_type", "objective.soft.loss.temperature"),
    (
        {"objective.soft.loss.temperature": {"use": "cosine", "start": 8}},
        "missing",
        "objective.soft.loss.temperature.end",
    ),
    ({"objective.soft.loss.temperature": {"use": "kl_divergence"}}, "unknown_name", "objective.soft.loss.temperature"),
    (
        {"objective.hard.loss": {"use": "cross_entropy", "class_weights": 1}},
        "wrong_type",
        "objective.hard.loss.class_weights",
    ),
    (
        {"objective.hard.loss": {"use": "cross_entropy", "class_weights": ["a"]}},
        "wrong_type",
        "objective.hard.loss.class_weights.0",
    ),
    ({"train": 5}, "wrong_type", "train"),
    ({"train": False}, "wrong_type", "train"),
    ({"train.epochs": "5"}, "wrong_type", "train.epochs"),
    ({"train.epochs": True}, "wrong_type", "train.epochs"),
    ({"train.epochs": 1.5}, "wrong_type", "train.epochs"),
    ({"train.learning_rate": "fast"}, "wrong_type", "train.learning_rate"),
    ({"train.learning_rate": None}, "wrong_type", "train.learning_rate"),
    ({"train.learning_rate": True}, "wrong_type", "train.learning_rate"),
    ({"train.schedule": "cosin"}, "out_of_range", "train.schedule"),
    ({"train.optimizer": 5}, "wrong_type", "train.optimizer"),
    ({"train.optimizer_options": [1]}, "wrong_type", "train.optimizer_options"),
    ({"train.clip": "a"}, "wrong_type", "train.clip"),
    ({"train.finetune": 5}, "wrong_type", "train.finetune"),
    ({"train.finetune": {"finetune": {"epochs": 1}}}, "unsupported", "train.finetune.finetune"),
    ({"train.finetune": {"seed": 3}}, "unsupported", "train.finetune.seed"),
    ({"models.teacher.train.finetune": {"epochs": 1}}, "unsupported", "models.teacher.train.finetune"),
    ({"control": "perhaps"}, "wrong_type", "control"),
    ({"control": 1}, "wrong_type", "control"),
    ({"seeds": "3"}, "wrong_type", "seeds"),
    ({"seeds": [0, 1]}, "wrong_type", "seeds"),
    ({"measure": {"draws": "many"}}, "wrong_type", "measure.draws"),
    ({"export": {"formats": "onnx"}}, "wrong_type", "export.formats"),
    ({"export": {"formats": ["onxx"]}}, "out_of_range", "export.formats.0"),
    ({"export": {"tolerance": "small"}}, "wrong_type", "export.tolerance"),
]

VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"objective.soft.loss.temperature": 0}, "out_of_range", "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": -1}, "out_of_range", "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": nan}, "out_of_range", "objective.soft.loss.temperature"),
    ({"objective.soft.loss.temperature": inf}, "out_of_range", "objective.soft.loss.temperature"),
    (
        {"objective.soft.loss.temperature": {"use": "linear", "start": 2, "end": -1, "steps": 20}},
        "out_of_range",
        "objective.soft.loss.temperature",
    ),
    (
        {"objective.soft.loss.temperature": {"use": "curriculum", "steps": 0}},
        "out_of_range",
        "objective.soft.loss.temperature.steps",
    ),
    ({"objective.hard.weight": 0, "objective.soft.weight": 0}, "no_effect", "objective"),
    ({"objective.hard.weight": -1}, "out_of_range", "objective.hard.weight"),
    ({"objective.hard.weight": nan}, "out_of_range", "objective.hard.weight"),
    ({"objective.hard.weight": inf}, "out_of_range", "objective.hard.weight"),
    (
        {"objective.soft.weight": {"use": "linear", "start": 1, "end": -1, "steps": 20}},
        "out_of_range",
        "objective.soft.weight",
    ),
    (
        {"objective.soft.weight": {"use": "linear", "start": 1, "end": 0, "steps": 0}},
        "out_of_range",
        "objective.soft.weight.steps",
    ),
    (
        {"objective.hard.loss": {"use": "cross_entropy", "label_smoothing": 1.0}},
        "out_of_range",
        "objective.hard.loss.label_smoothing",
    ),
    (
        {"objective.hard.loss": {"use": "cross_entropy", "class_weights": [1.0, 2.0]}},
        "wrong_shape",
        "objective.hard.loss.class_weights",
    ),
    ({"objective.hard.where": "student.logits"}, "unsupported", "objective.hard.where"),
    ({"objective.hard.where": "batch.index"}, "out_of_range", "objective.hard.where"),
    ({"objective.hard.inputs": {"target": "batch.nothing"}}, "unknown_name", "objective.hard.inputs.target"),
    ({"objective.2nd": {"loss": "cross_entropy"}}, "out_of_range", "objective.2nd"),
    ({"train.batch_size": 0}, "out_of_range", "train.batch_size"),
    ({"train.batch_size": -4}, "out_of_range", "train.batch_size"),
    ({"train.batch_size": 5000}, "too_few", "train.batch_size"),
    ({"train.batch_size": 1}, "out_of_range", "train.batch_size"),
    ({"models.teacher.train.batch_size": 5000}, "too_few", "models.teacher.train.batch_size"),
    ({"train.finetune": {"batch_size": 5000}}, "too_few", "train.finetune.batch_size"),
    ({"train.finetune": {"epochs": 0}}, "out_of_range", "train.finetune.epochs"),
    ({"train.epochs": 0}, "out_of_range", "train.epochs"),
    ({"train.learning_rate": 0}, "out_of_range", "train.learning_rate"),
    ({"train.learning_rate": -0.1}, "out_of_range", "train.learning_rate"),
    ({"train.learning_rate": nan}, "out_of_range", "train.learning_rate"),
    ({"train.learning_rate": inf}, "out_of_range", "train.learning_rate"),
    ({"train.weight_decay": -1}, "out_of_range", "train.weight_decay"),
    ({"train.warmup": 1.5}, "out_of_range", "train.warmup"),
    ({"train.clip": 0}, "out_of_range", "train.clip"),
    ({"train.patience": 0}, "out_of_range", "train.patience"),
    ({"train.seed": -1}, "out_of_range", "train.seed"),
    ({"train.seed": 2**31 - 1, "seeds": 2}, "out_of_range", "seeds"),
    ({"train.accumulate": 5}, "out_of_range", "train.accumulate"),
    ({"train.optimizer_options": {"betas": [2.0, 0.9]}}, "out_of_range", "train.optimizer_options"),
    ({"data.labels": 5}, "out_of_range", "data.labels"),
    ({"data.labels": 0}, "missing", "data"),
    ({"data.labels": -1}, "out_of_range", "data.labels"),
    ({"data.unlabelled": {"use": "digts"}}, "unknown_name", "data.unlabelled"),
    ({"data.test_from": {"use": "npz", "file": "absent.npz"}}, "not_found", "absent.npz"),
    ({"data.labels": 5000}, "out_of_range", "data.labels"),
    ({"data.limit": 0}, "out_of_range", "data.limit"),
    ({"data.limit": 5000}, "out_of_range", "data.limit"),
    ({"data.validation": 1.5}, "out_of_range", "data.validation"),
    ({"data.validation": -0.1}, "out_of_range", "data.validation"),
    ({"data.validation": nan}, "out_of_range", "data.validation"),
    ({"data.test": 0}, "out_of_range", "data.test"),
    ({"data.test": 0.9, "data.validation": 0.3}, "conflict", "data.validation"),
    ({"data.labelled_share": 0}, "out_of_range", "data.labelled_share"),
    ({"data.labelled_share": 1}, "out_of_range", "data.labelled_share"),
    ({"data.labelled_share": nan}, "out_of_range", "data.labelled_share"),
    ({"data.augment.crop": -1}, "out_of_range", "data.augment.crop"),
    ({"data.augment.erase": 2}, "out_of_range", "data.augment.erase"),
    ({"data.workers": -1}, "out_of_range", "data.workers"),
    ({"models.student.width": 0}, "out_of_range", "models.student.width"),
    ({"models.student.width": 10**12}, "failed", "models.student"),
    ({"models.teacher.depth": -1}, "out_of_range", "models.teacher.depth"),
    ({"models.student.dropout": 1.0}, "out_of_range", "models.student.dropout"),
    ({"models.unused": {"use": "mlp", "width": 0}}, "out_of_range", "models.unused.width"),
    ({"models.student.inputs": "batch.index"}, "wrong_shape", "objective.hard.inputs.target"),
    ({"seeds": 0}, "out_of_range", "seeds"),
    ({"seeds": -3}, "out_of_range", "seeds"),
    ({"measure.draws": 1}, "out_of_range", "measure.draws"),
    ({"measure": {"seconds": -1.0}}, "out_of_range", "measure.seconds"),
    ({"export.tolerance": 0}, "out_of_range", "export.tolerance"),
    ({"export.tolerance": nan}, "out_of_range", "export.tolerance"),
    ({"train.select": "best", "data.validation": 0.0}, "conflict", "train.select"),
    ({"train.patience": 2, "data.validation": 0.0}, "conflict", "train.patience"),
    ({"models.teacher.train.select": "best", "data.validation": 0.0}, "conflict", "models.teacher.train.select"),
    ({"models.teacher": {"ensemble": ["teacher"]}}, "cycle", "models.teacher"),
    ({"models.unused": {"ensemble": ["unused"]}}, "cycle", "models.unused"),
    ({"models.a": {"ensemble": ["b"]}, "models.b": {"ensemble": ["a"]}}, "cycle", "models.a"),
    ({"models.teacher.objective": {"soft": {"loss": "kl_divergence"}}}, "cycle", "models.teacher"),
    ({"models.teacher.objective": {}}, "missing", "models.teacher.objective"),
    (
        {"models.teacher.objective.hard": {"loss": "cross_entropyy"}},
        "unknown_name",
        "models.teacher.objective.hard.loss",
    ),
    ({"models.student.objective": {"hard": {"loss": "cross_entropy"}}}, "conflict", "models.student.objective"),
    ({"models.teacher.train": "together", "models.teacher.objective": {}}, "conflict", "models.teacher.objective"),
    ({"models.teacher.train": "togeher"}, "wrong_type", "models.teacher.train"),
    ({"models.peer": {"use": "mlp", "train": "together"}}, "no_effect", "models.peer"),
    ({"models.a": {"run": "x", "objective": {}}}, "no_effect", "models.a.objective"),
    ({"models.a": SMALL["models"]["teacher"]}, "duplicate", "models.a"),
    ({"models.teacher": {"ensemble": ["student"]}}, "cycle", "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": ["a"]}}, "unknown_name", "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": []}}, "missing", "models.teacher.ensemble"),
    ({"models.teacher": {"ensemble": {"a": 0}}, "models.a": {"use": "mlp"}}, "out_of_range", "models.teacher.ensemble"),
    (
        {"models.teacher": {"ensemble": {"a": -1}}, "models.a": {"use": "mlp"}},
        "out_of_range",
        "models.teacher.ensemble",
    ),
    (
        {"models.teacher": {"ensemble": ["a"], "temperature": 0}, "models.a": {"use": "mlp"}},
        "out_of_range",
        "models.teacher.temperature",
    ),
    (
        {"models.teacher": {"ensemble": ["a"], "taps": {"x": "y"}}, "models.a": {"use": "mlp"}},
        "unsupported",
        "models.teacher.taps",
    ),
    ({"models.teacher": {"use": "timm", "name": "resnet_18"}}, "unknown_name", "models.teacher.name"),
    ({"models.teacher": {"use": "torchvision", "name": "no_such_model_at_all"}}, "unknown_name", "models.teacher.name"),
]


# One or more for every code; the others are checked by code and place alone.
LINES: list[tuple[dict[str, Any], str]] = [
    ({"blance": {}}, "a recipe has no section 'blance'. Did you mean 'balance'?"),
    ({"data.lables": 5}, "data: digits takes no 'lables'. Did you mean 'labels'?"),
    ({"schema": GONE}, "schema is None; this version reads recipes that say schema: 1"),
    ({"schema": 2}, "schema is 2; this version reads recipes that say schema: 1"),
    ({"data": {"use": "npz"}}, "data: npz needs 'file'; give it a value of type str"),
    ({"models.student.width": "8"}, "models.student.width: expected a whole number, got '8'"),
    ({"seeds": "3"}, "seeds: expected a whole number, got '3'"),
    ({"seeds": 0}, "seeds is 0; it must be at least 1"),
    ({"models.Teacher": {"use": "mlp"}}, "models: the model name 'Teacher' must match [a-z]"),
    ({"models.batch": {"use": "mlp"}}, "models.batch: a run keeps this name for itself; choose another one"),
    ({"student": {"use": "mlp"}}, "student stands at the top and under models; keep one of them"),
    ({"train.batch_size": 0}, "train: batch_size is 0; it must be at least 1"),
    ({"train.batch_size": 5000}, "train: a batch takes 3750 unlabelled rows, the data has 1068; expected a batch_size"),
    (
        {"train.finetune": {"seed": 3}},
        "train.finetune.seed: the last stage has the seed of the stage before; remove it",
    ),
    ({"train.accumulate": 5}, "accumulate=5 equal micro-batches"),
    ({"train.optimizer_options": {"betas": [2.0, 0.9]}}, "the student: train.optimizer_options: optimizer adamw"),
    ({"objective.soft.loss.temperature": {"use": "linear", "start": 2, "end": -1, "steps": 20}}, "step 14"),
    ({"objective.soft.weight": {"use": "linear", "start": 1, "end": -1, "steps": 20}}, "at step 11"),
    ({"objective.hard.loss": {"use": "cross_entropy", "class_weights": [1.0, 2.0]}}, "expected [10]"),
    ({"objective.hard.weight": 0, "objective.soft.weight": 0}, "every term has weight 0: ['hard', 'soft']"),
    ({"objective.soft.inputs": {"teacher": "teachr.logits"}}, "no source 'teachr'. Did you mean 'teacher'?"),
    ({"data.test_from": {"use": "npz", "file": "absent.npz"}}, "absent.npz: not found; expected a NumPy .npz file"),
    ({"data.labels": 0}, "control: false"),
    ({"data.limit": 5000}, "cannot draw 5000 rows"),
    ({"models.student.width": 10**12}, "models.student: "),
    ({"models.a": SMALL["models"]["teacher"]}, "models.teacher and models.a are one model trained in one way"),
    ({"models.teacher": {"ensemble": ["teacher"]}}, "models.teacher needs itself: teacher -> teacher"),
    ({"models.a": {"run": "x", "objective": {}}}, "models.a.objective: a model taken by run is not trained; remove it"),
]


@pytest.mark.parametrize(("changes", "code", "path"), UNKNOWN + TYPES + VALUES, ids=lambda part: str(part)[:70])
def test_wrong_recipe_is_refused_with_its_place(shell: Shell, changes: dict[Any, Any], code: str, path: str) -> None:
    recipe = {**SMALL, **changes} if 1 in changes else changed(changes)
    refusal = shell.refusal("run", shell.write(recipe))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(("changes", "message"), LINES, ids=lambda part: str(part)[:70])
def test_wrong_recipe_is_one_line(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))


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
            "call": {}, "detach_inputs": False,
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
