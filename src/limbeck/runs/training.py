"""Training stages of a run, each trained when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from limbeck.core import Distiller, resolve
from limbeck.models import save_weights
from limbeck.recipes.model_sources import model_source_of
from limbeck.recipes.sklearn_models import is_sklearn_model
from limbeck.recipes.terms import read_of
from limbeck.runs import plan
from limbeck.runs.build import for_training
from limbeck.runs.cache import CachePlan, Caches
from limbeck.runs.compression import compress_model
from limbeck.runs.inputs import alone
from limbeck.runs.keys import data_key, settings_key, stage_key
from limbeck.runs.merging import merge_weights
from limbeck.runs.models import Models
from limbeck.runs.plan import TrainingSpec
from limbeck.runs.run_plan import StageSpec
from limbeck.runs.stages import Stage, StageRunner, Trained
from limbeck.runs.teachers import trained_states
from limbeck.tasks import Task
from limbeck.training.loop import Job
from limbeck.training.settings import Settings

__all__ = ["StageTrainer"]


class StageTrainer:
    """Trains the teachers of one run when they are first needed, and the stages that depend on them."""

    def __init__(
        self, recipe: Mapping[str, Any], task: Task, models: Models, runner: StageRunner, cache_plan: CachePlan
    ) -> None:
        self.recipe = recipe
        self.task = task
        self.models = models.with_trained(self.model)
        self.runner = runner
        self.caches = Caches(recipe, task, cache_plan, runner)
        self._teachers: dict[str, tuple[nn.Module, str]] = {}
        self._stages: dict[StageSpec, Stage] = {}
        self._results: dict[StageSpec, Trained] = {}
        self._compressed: dict[StageSpec, nn.Module] = {}

    def model(self, name: str) -> nn.Module:
        """A trained teacher."""
        return self._teacher(name)[0]

    def key(self, name: str) -> str:
        """What decides a teacher's weights."""
        return self._teacher(name)[1]

    def _teacher(self, name: str) -> tuple[nn.Module, str]:
        if name not in self._teachers:
            self._teachers[name] = self._trained_teacher(name)
        return self._teachers[name]

    def _trained_teacher(self, name: str) -> tuple[nn.Module, str]:
        training = plan.teacher_training(name, self.recipe, self.task)
        if training is None:
            return self.models.initial(name, 0), self.models.key(name)
        trained = self.runner.train(self.stage(training, training.train["seed"]))
        return self.models.trained(name, trained.weights["student"]), trained.key

    def result(self, spec: StageSpec) -> Trained:
        """The result of a stage, after all that it needs; each stage runs once."""
        if spec not in self._results:
            for upstream in spec.upstream:
                self.result(upstream)
            run = {"train": self._train, "merge": self._merge, "select": self._select, "compress": self._compress}
            self._results[spec] = run[spec.kind](spec)
        return self._results[spec]

    def compressed(self, spec: StageSpec) -> nn.Module:
        """The model of a stage that compresses."""
        self.result(spec)
        return self._compressed[spec]

    def _train(self, spec: StageSpec) -> Trained:
        like = None if spec.like is None else self._stage_of(spec.like)
        trained = self.runner.train(self._stage_of(spec), like=like)
        earlier = [self.result(stage).weights for stage in spec.initial.values() if stage.role == spec.role]
        weights: dict[str, dict[str, Tensor]] = {}
        for part in (*earlier, trained.weights):
            weights |= part
        return Trained(trained.key, weights)

    def _stage_of(self, spec: StageSpec) -> Stage:
        assert spec.training is not None
        if spec not in self._stages:
            self._stages[spec] = self.stage(replace(spec.training, stage=spec.name), spec.seed, self._before(spec))
        return self._stages[spec]

    def _before(self, spec: StageSpec) -> Trained | None:
        """The weights that the learners of a stage begin from."""
        if not spec.initial:
            return None
        results = {learner: self.result(stage) for learner, stage in spec.initial.items()}
        keys = [result.key for result in results.values()]
        weights = {name: result.weights.get(name, result.weights["student"]) for name, result in results.items()}
        return Trained(keys[0] if len(keys) == 1 else stage_key(initial=dict(zip(results, keys, strict=True))), weights)

    def _merge(self, spec: StageSpec) -> Trained:
        results = [self.result(stage) for stage in spec.needs]
        shares = list(spec.options.get("weights", [1.0] * len(results)))
        key = stage_key(stage=spec.name, kind="merge", upstream=[one.key for one in results], weights=shares)
        merged = {
            learner: merge_weights([one.weights[learner] for one in results], shares) for learner in results[0].weights
        }
        return Trained(key, merged)

    def _select(self, spec: StageSpec) -> Trained:
        """The one of the needed stages whose student is best on validation rows."""
        results = [self.result(stage) for stage in spec.needs]
        address = self.recipe["models"]["student"]["inputs"]
        scores = []
        for result in results:
            model = self.models.trained("student", result.weights["student"]).eval()
            scores.append(next(iter(self.task.validate(model, address).values())))
        best = (max if self.task.judgement.main.higher_is_better else min)(range(len(scores)), key=scores.__getitem__)
        return results[best]

    def _compress(self, spec: StageSpec) -> Trained:
        (source,) = spec.needs
        model = self._compressed[source] if source.kind == "compress" else self._student_of(self.result(source))
        example = resolve({"batch": self.task.example}, self.recipe["models"]["student"]["inputs"])
        smaller = compress_model(model, spec.options, example, "compress")
        key = stage_key(stage=spec.name, kind="compress", upstream=[self.result(source).key], section=spec.options)

        def write(beside: Path) -> None:
            save_weights(smaller, beside / "compressed.safetensors")

        folder = self.runner.get_or_create(key, spec.name, write, kind="compress", seed=spec.seed)
        weights = load_file(folder / "compressed.safetensors")
        smaller.load_state_dict(weights)
        self._compressed[spec] = smaller
        return Trained(key, {"compressed": weights})

    def _student_of(self, result: Trained) -> nn.Module:
        """The student of a result, as it is shipped."""
        leaves = plan.student(self.recipe, self.task).teachers(self.recipe)
        teachers = {name: self.model(name) for name in leaves if name in self.models.names}
        return self.models.shipped("student", result.weights["student"], teachers)[""]

    def stage(self, training: TrainingSpec, seed: int, before: Trained | None = None) -> Stage:
        """One training with this seed, from initial weights or from those of an earlier one."""
        recipe, task = self._scene(training)
        needed = training.teachers(recipe)
        leaves = [name for name in needed if name in self.models.names]
        teachers = {name: self.model(name) for name in leaves}

        def distiller(cached: Collection[str]) -> Distiller:
            learners = self.models.learners(training, seed, teachers)
            for name, weights in (before.weights if before is not None else {}).items():
                if name in learners:
                    learners[name].load_state_dict(weights)
            return training.distiller(recipe, learners, teachers, classes=task.names, cached=cached)

        reads = {
            "models": {
                name: self.models.identity(section, without_adapter=training.without_adapter)
                for name, section in training.learners.items()
            },
            "objective": training.terms,
            "balance": training.balance,
            "shared": training.normalized_weights,
            "own": {name: settings_key(own) for name, own in training.learner_train.items()},
            "sources": {
                **{name: _output_key(recipe["models"][of], teaching=False) for name, of in training.learners.items()},
                **{name: _output_key(recipe["models"][name], teaching=True) for name in needed},
            },
            "upstream": {name: self.key(name) for name in leaves},
            "before": None if before is None else before.key,
            **self.caches.plan.reads(training, recipe, task),
        }
        train = {**training.train, "seed": seed}
        if is_sklearn_model(recipe["models"][training.learners["student"]]):
            # A package computes as it does, and another version of it may do otherwise.
            uses = recipe["models"][training.learners["student"]]["use"]
            package = "lightgbm" if uses == "lightgbm" else "scikit-learn"
            train["precision"], reads["fitted_by"] = "float32", f"{package} {version(package)}"
        return self._stage(train, training, (recipe, task), reads, teachers, distiller)

    def _scene(self, training: TrainingSpec) -> tuple[Mapping[str, Any], Task]:
        """Recipe and task as a training sees them."""
        name = training.learners["student"]
        recipe, task = alone(self.recipe, self.task, name) if training.standalone else (self.recipe, self.task)
        if not (training.standalone or training.without_adapter):
            return recipe, task
        # What other trainings read, of it or of a model that it begins from, decides nothing of what it learns alone.
        models = {
            other: _tapped(spec, read_of("student" if other == name else other, training.terms))
            for other, spec in recipe["models"].items()
        }
        return {**recipe, "models": models}, task

    def _stage(
        self,
        train: Mapping[str, Any],
        training: TrainingSpec,
        scene: tuple[Mapping[str, Any], Task],
        reads: Mapping[str, Any],
        teachers: Mapping[str, nn.Module],
        distiller: Callable[[Collection[str]], Distiller],
    ) -> Stage:
        (recipe, task), accelerator = scene, self.runner.accelerator
        address = recipe["models"][training.learners["student"]]["inputs"]
        rank, world = accelerator.process_index, accelerator.num_processes
        views = self.caches.plan.views_of(training, task)

        def job(precision: torch.dtype | None) -> Job:
            cached = None if precision is None else self.caches.open(training, teachers, precision)
            batches, length = task.batches(
                training.rows,
                batch_size=train["batch_size"],
                seed=train["seed"],
                rank=rank,
                world=world,
                views=views,
                cached=cached,
            )
            made = for_training(distiller(() if cached is None else cached.stores))
            return Job(
                stage=training.stage,
                seed=train["seed"],
                distiller=made,
                trained_states=partial(trained_states, made.teachers, recipe),
                batches=batches,
                steps_per_epoch=length,
                settings=Settings(**train),
                rows=partial(task.evaluation, training.rows.rows),
                own={name: Settings(**settings) for name, settings in training.learner_train.items()},
                validate=partial(task.validate, inputs=address) if len(task.validation) else None,
                higher_is_better=task.judgement.main.higher_is_better,
            )

        reads = {**reads, "data": data_key(task, training.rows, train)}
        return Stage(name=training.stage, seed=train["seed"], reads=reads, train=train, job=job)


def _tapped(spec: Mapping[str, Any], read: Collection[str]) -> Mapping[str, Any]:
    """A section with those of its taps that are read."""
    taps = spec.get("taps")
    # A word in their place is refused where the model is read.
    if not isinstance(taps, Mapping):
        return spec
    return {**spec, "taps": {tap: path for tap, path in taps.items() if tap in read}}


def _output_key(spec: Mapping[str, Any], *, teaching: bool) -> Mapping[str, Any]:
    sure = {"confidence": spec["confidence"]} if teaching and "confidence" in spec else {}
    return {**model_source_of(spec).output_key(spec), **sure}
