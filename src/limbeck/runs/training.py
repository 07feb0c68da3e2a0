"""Training stages of a run, each trained when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from limbeck.core import Distiller, resolve, source_of
from limbeck.models import save_weights
from limbeck.recipes.model_sources import ModelSpec
from limbeck.recipes.recipe import Recipe
from limbeck.recipes.sklearn_models import is_sklearn_model
from limbeck.recipes.term_spec import Objective
from limbeck.runs import plan
from limbeck.runs.build import build_distiller, for_training
from limbeck.runs.cache import CachePlan, Caches
from limbeck.runs.compression import compress_model
from limbeck.runs.inputs import alone
from limbeck.runs.keys import data_key, stage_key
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

    def __init__(self, recipe: Recipe, task: Task, models: Models, runner: StageRunner, cache_plan: CachePlan) -> None:
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
        trained = self.runner.train(self.stage(training, training.train.seed))
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
        shares = list(spec.weights or [1.0] * len(results))
        key = stage_key(stage=spec.name, kind="merge", upstream=[one.key for one in results], weights=shares)
        merged = {
            learner: merge_weights([one.weights[learner] for one in results], shares) for learner in results[0].weights
        }
        return Trained(key, merged)

    def _select(self, spec: StageSpec) -> Trained:
        """The one of the needed stages whose student is best on validation rows."""
        results = [self.result(stage) for stage in spec.needs]
        address = self.recipe.student.inputs
        scores = []
        for result in results:
            model = self.models.trained("student", result.weights["student"]).eval()
            scores.append(next(iter(self.task.validate(model, address).values())))
        best = (max if self.task.judgement.main.higher_is_better else min)(range(len(scores)), key=scores.__getitem__)
        return results[best]

    def _compress(self, spec: StageSpec) -> Trained:
        (source,) = spec.needs
        model = self._compressed[source] if source.kind == "compress" else self._student_of(self.result(source))
        example = resolve({"batch": self.task.example}, self.recipe.student.inputs)
        assert spec.compressor is not None
        smaller = compress_model(model, spec.compressor, example)
        upstream, section = [self.result(source).key], spec.compressor.to_dict()
        key = stage_key(stage=spec.name, kind="compress", upstream=upstream, section=section)

        def write(beside: Path) -> None:
            save_weights(smaller, beside / "compressed.safetensors")

        folder = self.runner.get_or_create(key, spec.name, write, kind="compress", seed=spec.seed)
        weights = load_file(folder / "compressed.safetensors")
        smaller.load_state_dict(weights)
        self._compressed[spec] = smaller
        return Trained(key, {"compressed": weights})

    def student(self, spec: StageSpec) -> nn.Module:
        """The student of a stage, as it is shipped."""
        if spec.training is not None and spec.training.without_adapter:
            return self.models.trained("student", self.result(spec).weights["student"])
        return self._student_of(self.result(spec))

    def _student_of(self, result: Trained) -> nn.Module:
        needed = plan.student(self.recipe, self.task).teachers
        teachers = {name: self.model(name) for name in needed if name in self.models.names}
        return self.models.shipped("student", result.weights["student"], teachers)[""]

    def stage(self, training: TrainingSpec, seed: int, before: Trained | None = None) -> Stage:
        """One training with this seed, from initial weights or from those of an earlier one."""
        specs, task = self._scene(training)
        leaves = [name for name in training.teachers if name in self.models.names]
        teachers = {name: self.model(name) for name in leaves}

        def distiller(cached: Collection[str]) -> Distiller:
            learners = self.models.learners(training, seed, teachers)
            for name, weights in (before.weights if before is not None else {}).items():
                if name in learners:
                    learners[name].load_state_dict(weights)
            return build_distiller(training, specs, learners, teachers, classes=task.names, cached=cached)

        reads = {
            "models": {
                name: self.models.identity(section, without_adapter=training.without_adapter)
                for name, section in training.learners.items()
            },
            "objective": {name: term.to_dict() for name, term in training.terms.items()},
            "balance": None if training.balance is None else training.balance.to_dict(),
            "normalized_weights": training.normalized_weights,
            "own": {name: own.key for name, own in training.learner_train.items()},
            "sources": {
                **{name: _output_key(specs[section]) for name, section in training.learners.items()},
                **{name: _teaching_key(specs[name]) for name in training.teachers},
            },
            "upstream": {name: self.key(name) for name in leaves},
            "before": None if before is None else before.key,
            "data": data_key(task, training.rows, training.train),
            **self.caches.plan.reads(training, specs, task),
        }
        train = replace(training.train, seed=seed)
        if is_sklearn_model(specs[training.learners["student"]]):
            # Another version of a package may compute otherwise.
            package = "lightgbm" if specs[training.learners["student"]].options["use"] == "lightgbm" else "scikit-learn"
            train, reads["fitted_by"] = replace(train, precision="float32"), f"{package} {version(package)}"
        scene = _Scene(specs=specs, task=task, training=training, train=train)
        return Stage(
            name=training.stage,
            seed=seed,
            reads=reads,
            train=train,
            job=partial(self._job, scene, teachers, distiller),
        )

    def _scene(self, training: TrainingSpec) -> tuple[Mapping[str, ModelSpec], Task]:
        """The sections of the models and the task as a training sees them."""
        name, specs, task = training.learners["student"], self.recipe.models, self.task
        if training.standalone:
            specs, task = alone(specs, task, name)
        elif not training.without_adapter:
            return specs, task
        # What other trainings read, of it or of a model that it begins from, decides nothing of what it learns alone.
        found = {
            other: spec.with_taps_of(_read_of("student" if other == name else other, training.terms))
            for other, spec in specs.items()
        }
        return found, task

    def _job(
        self,
        scene: _Scene,
        teachers: Mapping[str, nn.Module],
        distiller: Callable[[Collection[str]], Distiller],
        precision: torch.dtype | None,
    ) -> Job:
        training, task, train, accelerator = scene.training, scene.task, scene.train, self.runner.accelerator
        cached = None if precision is None else self.caches.open(training, teachers, precision)
        batches, length = task.batches(
            training.rows,
            batch_size=train.batch_size,
            seed=train.seed,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            views=self.caches.plan.views_of(training, task),
            cached=cached,
        )
        built = for_training(distiller(() if cached is None else cached.stores))
        address = scene.specs[training.learners["student"]].inputs
        return Job(
            stage=training.stage,
            seed=train.seed,
            distiller=built,
            trained_states=partial(trained_states, built.teachers, scene.specs),
            batches=batches,
            steps_per_epoch=length,
            settings=train,
            rows=partial(task.evaluation, training.rows.rows),
            own=training.learner_train,
            validate=partial(task.validate, inputs=address) if len(task.validation) else None,
            higher_is_better=task.judgement.main.higher_is_better,
        )


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What a training sees: the sections of the models, the task, and its settings with the seed of the stage."""

    specs: Mapping[str, ModelSpec]
    task: Task
    training: TrainingSpec
    train: Settings


def _read_of(name: str, terms: Objective) -> set[str]:
    """The outputs and taps of a model that terms name, and the names on the way to them."""
    addresses = [address for term in terms.values() for address in term.addresses]
    return {part for address in addresses if source_of(address) == name for part in address.split(".")[1:]}


def _output_key(spec: ModelSpec) -> Mapping[str, Any]:
    return spec.source.output_key(spec)


def _teaching_key(spec: ModelSpec) -> Mapping[str, Any]:
    return {**_output_key(spec), **({} if spec.confidence is None else {"confidence": spec.confidence})}
