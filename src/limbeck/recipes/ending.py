"""The end of a run: models and the exported file are written, and what was measured of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import nn

from limbeck.core import Address
from limbeck.files import atomic, write_json
from limbeck.recipes.answers import Answers
from limbeck.recipes.keys import stage_key
from limbeck.recipes.measuring import (
    Contestant,
    Exported,
    cost_of_file,
    cost_of_model,
    export_int8,
    export_student,
    judge,
)
from limbeck.recipes.precisions import with_precisions
from limbeck.recipes.stages import Stages
from limbeck.students import save_weights
from limbeck.tasks import Task
from limbeck.training.environment import processor
from limbeck.training.settings import Settings

__all__ = ["Ending"]

_measured = ("name", "models", "objective", "control", "seeds", "measure", "export")


class Ending:
    """Ships the models of a run, exports its student and measures them all.

    Args:
        recipe: as `resolve` gives it.
        task: with the data loaded.
        seeds: those of the students, in order.
        stages: where finished files are kept.
        taught: what decides the weights of finished teachers, by name.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        task: Task,
        seeds: Sequence[int],
        stages: Stages,
        taught: Mapping[str, str],
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.seeds = seeds
        self.stages = stages
        self.machine = [processor(), torch.__version__, onnxruntime.__version__, torch.get_num_threads()]
        self.answers = Answers(recipe, task, stages, taught=taught, machine=self.machine)

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
            model: what was trained or taken.
            architecture: the section that builds it again; None if no section does.
            classes: what its logits stand for; None for those of the task.
        """
        folder = self.stages.folder.model(name)
        if self.stages.accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            config = {
                **self.task.ship(model, folder),
                "schema": 1,
                "task": self.recipe["task"],
                "model": architecture,
                "classes": list(classes or self.task.classes),
                "input": self.task.input,
            }
            write_json(folder / "config.json", config)
            with atomic(folder / "model.safetensors") as beside:
                save_weights(model, beside)
        self.stages.accelerator.wait_for_everyone()
        return (folder / "model.safetensors").stat().st_size

    def results(
        self, contestants: Mapping[str, Contestant], upstream: Sequence[str], *, best: str, chosen: bool
    ) -> dict[str, Any]:
        """The content of results.json.

        Args:
            contestants: the models to measure, by name.
            upstream: the keys of all that was trained or taken.
            best: the contestant to export.
            chosen: whether validation rows chose it.
        """
        exported = None
        if self.recipe["export"]["formats"]:
            exported = {"model": best, **self._export(contestants[best], [*upstream, best], "student")}
            exits = {name: f"student_{name}" for name in self.recipe["export"]["exits"]}
            if "int8" in self.recipe["export"]["formats"]:
                exported["int8"] = self._int8(best, contestants[best], [*upstream, best])
            if exits:
                exported["exits"] = {
                    name: self._export(contestants[title], [*upstream, title], title) for name, title in exits.items()
                }
        # As the run's recipe will say it, so that a run of that recipe is measured under this key too.
        recipe = with_precisions(self.recipe, self.stages.precisions)
        key = stage_key(
            stage="measure",
            recipe={name: recipe[name] for name in _measured},
            upstream=upstream,
            test=self.task.test.fingerprint(),
            subject=best,
            machine=self.machine,
        )
        write = partial(self._write, contestants=contestants, exported=exported, subject=best, chosen=chosen)
        found = self.stages.obtain(key, "measure", write)
        results: dict[str, Any] = json.loads((found / "results.json").read_text(encoding="utf-8"))
        return results

    def _export(self, model: Contestant, upstream: Sequence[str], title: str) -> dict[str, Any]:
        settings, name = self.recipe["export"], self.recipe["name"]
        test = self.task.test.fingerprint()
        key = stage_key(stage="export", recipe=name, upstream=upstream, settings=settings, test=test)

        def write(beside: Path) -> None:
            self.stages.progress.note("export: writing the ONNX file and checking it against the model")
            file = beside / "student.onnx"
            made = export_student(model, file, self.task, recipe=name, tolerance=settings["tolerance"])
            write_json(beside / "export.json", made)

        found = self.stages.obtain(key, "export", write)
        file = self.stages.folder.export(title)
        if self.stages.accelerator.is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic(file) as beside:
                shutil.copyfile(found / "student.onnx", beside)
            self.task.ship(model.models[0], file.parent)
        made = json.loads((found / "export.json").read_text(encoding="utf-8"))
        return {"file": f"export/{file.name}", **made}

    def _int8(self, title: str, model: Contestant, upstream: Sequence[str]) -> dict[str, Any]:
        # The file says which recipe it is of, as the one that it is made from.
        name = self.recipe["name"]
        key = stage_key(stage="int8", recipe=name, upstream=upstream, test=self.task.test.fingerprint())
        source, file = self.stages.folder.export("student"), self.stages.folder.export("student.int8")

        def write(beside: Path) -> None:
            self.stages.progress.note("export: writing the file with weights in 8 bits")
            made = export_int8(title, model, source, beside / "student.onnx", self.answers)
            write_json(beside / "int8.json", made)

        found = self.stages.obtain(key, "int8", write)
        if self.stages.accelerator.is_main_process:
            with atomic(file) as beside:
                shutil.copyfile(found / "student.onnx", beside)
        made = json.loads((found / "int8.json").read_text(encoding="utf-8"))
        return {"file": f"export/{file.name}", **made}

    def _files(self, exported: Mapping[str, Any] | None, inputs: Address) -> dict[str, Exported]:
        """The files to measure, by the name that they have in the results."""
        if exported is None:
            return {}
        made = {"exported": exported, **({"int8": exported["int8"]} if "int8" in exported else {})}
        return {name: Exported(self.stages.folder.path / one["file"], inputs) for name, one in made.items()}

    def _write(
        self,
        beside: Path,
        *,
        contestants: Mapping[str, Contestant],
        exported: Mapping[str, Any] | None,
        subject: str,
        chosen: bool,
    ) -> None:
        self.stages.progress.note("measure: reading the test rows")
        example = self.task.example
        best = contestants["student" if exported is None else exported["model"]]
        files = self._files(exported, best.inputs)
        found, sentence = judge(
            self.answers, contestants, files, subject=subject, draws=self.recipe["measure"]["draws"]
        )
        for name, contestant in contestants.items():
            found["models"][name]["cost"] = cost_of_model(contestant, example)
        for name, shipped in files.items():
            found["models"][name]["cost"] = cost_of_file(shipped, best, example)
        for model in found["models"].values():
            seeds = self.seeds if len(model["seeds"]) > 1 else self.seeds[:1]
            model["seeds"] = [{"seed": s, "metrics": m} for s, m in zip(seeds, model["seeds"], strict=True)]
        write_json(beside / "results.json", {**self._facts(chosen), **found, "export": exported, "verdict": sentence})

    def _facts(self, chosen: bool) -> dict[str, Any]:
        train = self.recipe["train"]
        sections = [train] if train["finetune"] is None else [train, train["finetune"]]
        watched = chosen or any(Settings(**section).watches_validation for section in sections)
        budget = self.task.budget()
        return {
            "schema": 1,
            "recipe": self.recipe["name"],
            "task": self.recipe["task"],
            "classes": list(self.task.classes),
            "input": self.task.input,
            "test_rows": len(self.task.test),
            "seeds": self.seeds,
            "label_budget": {
                "training": budget["training"],
                "validation": len(self.task.validation) if watched else 0,
                **{kind: count for kind, count in budget.items() if kind != "training"},
            },
        }
