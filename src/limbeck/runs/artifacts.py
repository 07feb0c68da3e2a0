"""The artifacts of a run: model folders, exported files and results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from limbeck.core import Address
from limbeck.files import atomic, write_json
from limbeck.models import save_weights
from limbeck.recipes.recipe import Recipe
from limbeck.runs.evaluated_models import EvaluatedModel, Exported, cost_of_file, cost_of_model
from limbeck.runs.evaluation import evaluate_models
from limbeck.runs.exports import export_int8, export_student
from limbeck.runs.fitted import fitted_objectives
from limbeck.runs.keys import stage_key
from limbeck.runs.outputs import TestOutputs
from limbeck.runs.precisions import with_precisions
from limbeck.runs.stages import StageRunner
from limbeck.tasks import Task
from limbeck.training.environment import processor
from limbeck.training.settings import Settings

__all__ = ["ArtifactWriter"]

_measured = ("name", "models", "objective", "control", "seeds", "measure", "export")


class ArtifactWriter:
    """Writes the models of a run, exports its student and evaluates all of them.

    Args:
        recipe: parsed.
        task: with the data loaded.
        seeds: of the students, in order.
        runner: stores finished files.
        teacher_keys: the keys of the weights of trained teachers, by name.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        seeds: Sequence[int],
        runner: StageRunner,
        teacher_keys: Mapping[str, str],
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.seeds = seeds
        self.runner = runner
        self.trees: dict[str, str] = {}
        self.machine = [processor(), torch.__version__, onnxruntime.__version__, torch.get_num_threads()]
        self.outputs = TestOutputs(recipe, task, runner, teacher_keys=dict(teacher_keys), machine=self.machine)

    def ship(
        self,
        name: str,
        model: nn.Module,
        architecture: Mapping[str, Any] | None,
        classes: Sequence[str] | None = None,
    ) -> int:
        """Write ``models/<name>``; the bytes of its weights.

        Args:
            name: of the folder.
            model: to write.
            architecture: the section that rebuilds it; None if no section does.
            classes: of its logits; None for those of the task.
        """
        folder = self.runner.folder.model(name)
        if self.runner.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            entries = self.task.ship(model, folder)
            if "tree" in entries:
                self.trees[name] = f"models/{name}/{entries['tree']}"
            config = {
                **entries,
                "schema": 1,
                "task": self.recipe.task,
                "model": architecture,
                "classes": list(classes or self.task.names),
                "input": self.task.input,
            }
            write_json(folder / "config.json", config)
            with atomic(folder / "model.safetensors") as beside:
                save_weights(model, beside)
        self.runner.accelerator.wait_for_everyone()
        return (folder / "model.safetensors").stat().st_size

    def results(
        self, evaluated: Mapping[str, EvaluatedModel], upstream: Sequence[str], *, best: str, chosen: bool
    ) -> dict[str, Any]:
        """The content of results.json.

        Args:
            evaluated: the models to evaluate, by name.
            upstream: the keys of all models.
            best: the name of the model to export.
            chosen: whether it was chosen on validation rows.
        """
        exported = None
        if self.recipe.export.formats:
            exported = {"model": best, **self._export(evaluated[best], [*upstream, best], "student")}
            exits = {name: f"student_{name}" for name in self.recipe.export.exits}
            if "int8" in self.recipe.export.formats:
                exported["int8"] = self._int8([*upstream, best])
            if exits:
                exported["exits"] = {
                    name: self._export(evaluated[title], [*upstream, title], title) for name, title in exits.items()
                }
        # With the chosen precisions, as in the recipe that the run writes: a run of that recipe has the same key.
        recipe = with_precisions(self.recipe, self.runner.precisions).to_dict()
        key = stage_key(
            stage="measure",
            results_version=4,
            recipe={name: recipe[name] for name in _measured},
            upstream=upstream,
            test=self.task.test.fingerprint(),
            subject=best,
            machine=self.machine,
        )
        write = partial(self._write, evaluated=evaluated, exported=exported, subject=best, chosen=chosen)
        folder = self.runner.get_or_create(key, "measure", write, kind="evaluate")
        if self.runner.accelerator.is_main_process:
            with atomic(self.runner.folder.statistics) as beside:
                shutil.copyfile(folder / "statistics.npz", beside)
        results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        return results

    def _export(self, model: EvaluatedModel, upstream: Sequence[str], title: str) -> dict[str, Any]:
        settings, name = self.recipe.export, self.recipe.name
        test = self.task.test.fingerprint()
        key = stage_key(stage="export", recipe=name, upstream=upstream, settings=asdict(settings), test=test)

        def write(beside: Path) -> None:
            self.runner.progress.note("export: writing the ONNX file and checking it against the model")
            file = beside / "student.onnx"
            made = export_student(model, file, self.task, recipe=name, tolerance=settings.tolerance)
            write_json(beside / "export.json", made)

        folder = self.runner.get_or_create(key, "export", write, kind="export")
        file = self.runner.folder.export(title)
        if self.runner.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic(file) as beside:
                shutil.copyfile(folder / "student.onnx", beside)
            self.task.ship(model.models[0], file.parent)
        made = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        return {"file": f"export/{file.name}", **made}

    def _int8(self, upstream: Sequence[str]) -> dict[str, Any]:
        # Like the file that it is made from, it contains the name of the recipe.
        name = self.recipe.name
        key = stage_key(stage="int8", recipe=name, upstream=upstream, test=self.task.test.fingerprint())
        source, file = self.runner.folder.export("student"), self.runner.folder.export("student.int8")

        def write(beside: Path) -> None:
            self.runner.progress.note("export: writing the file with weights in 8 bits")
            write_json(beside / "int8.json", export_int8(source, beside / "student.onnx"))

        folder = self.runner.get_or_create(key, "int8", write, kind="export")
        if self.runner.accelerator.is_main_process:
            with atomic(file) as beside:
                shutil.copyfile(folder / "student.onnx", beside)
        made = json.loads((folder / "int8.json").read_text(encoding="utf-8"))
        return {"file": f"export/{file.name}", **made}

    def _files(self, exported: Mapping[str, Any] | None, inputs: Address) -> dict[str, Exported]:
        """The exported files to evaluate, by their names in the results."""
        if exported is None:
            return {}
        made = {"exported": exported, **({"int8": exported["int8"]} if "int8" in exported else {})}
        return {name: Exported(self.runner.folder.path / one["file"], inputs) for name, one in made.items()}

    def _write(
        self,
        beside: Path,
        *,
        evaluated: Mapping[str, EvaluatedModel],
        exported: Mapping[str, Any] | None,
        subject: str,
        chosen: bool,
    ) -> None:
        self.runner.progress.note("measure: reading the test rows")
        example, seconds = self.task.example, self.recipe.measure.seconds
        best = evaluated["student" if exported is None else exported["model"]]
        files = self._files(exported, best.inputs)
        result = evaluate_models(self.outputs, evaluated, files, subject=subject, draws=self.recipe.measure.draws)
        found = result.results
        if exported is not None and "int8" in exported:
            exported = {**exported, "int8": {**exported["int8"], **result.int8, "rows": len(self.task.test)}}
        for name, model in evaluated.items():
            found["models"][name]["cost"] = cost_of_model(model, example, seconds)
        for name, shipped in files.items():
            found["models"][name]["cost"] = cost_of_file(shipped, best, example, seconds)
        for model in found["models"].values():
            seeds = self.seeds if len(model["seeds"]) > 1 else self.seeds[:1]
            model["seeds"] = [{"seed": s, "metrics": m} for s, m in zip(seeds, model["seeds"], strict=True)]
        for entry, of_models in (("objective", fitted_objectives(self.recipe, self.task)), ("tree", self.trees)):
            for name, value in of_models.items():
                if name in found["models"]:
                    found["models"][name][entry] = value
        arrays: dict[str, Any] = dict(result.statistics)
        np.savez_compressed(beside / "statistics.npz", allow_pickle=False, **arrays)
        write_json(
            beside / "results.json", {**self._facts(chosen), **found, "export": exported, "verdict": result.verdict}
        )

    def _facts(self, chosen: bool) -> dict[str, Any]:
        train = self.recipe.train
        last = train if train.finetune is None else Settings(**train.finetune)
        watched = chosen or train.watches_validation or last.watches_validation
        budget, delivery = self.task.budget(), self.task.delivery
        return {
            "schema": 1,
            "recipe": self.recipe.name,
            "task": self.recipe.task,
            "classes": list(self.task.names),
            "input": self.task.input,
            "task_description": self.task.description.to_json(),
            "delivery": {"predictor": delivery.predictor if delivery.formats else None},
            "test_rows": len(self.task.test),
            "seeds": self.seeds,
            "label_budget": {
                "training": budget["training"],
                "validation": len(self.task.validation) if watched else 0,
                **{kind: count for kind, count in budget.items() if kind != "training"},
            },
        }
