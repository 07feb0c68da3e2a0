"""The stages of a run, each trained when something first needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from limbeck.core import Distiller
from limbeck.recipes import lessons
from limbeck.recipes.build import for_training
from limbeck.recipes.caching import CachePlan, Caches
from limbeck.recipes.fitted import is_fitted
from limbeck.recipes.forms import form_of
from limbeck.recipes.inputs import alone
from limbeck.recipes.keys import data_key, settings_key
from limbeck.recipes.lessons import Lesson
from limbeck.recipes.models import Models
from limbeck.recipes.stages import Stage, Stages, Trained
from limbeck.recipes.teachers import left_in
from limbeck.recipes.terms import read_of
from limbeck.tasks import Task
from limbeck.training.loop import Job
from limbeck.training.settings import Settings

__all__ = ["Road"]


class Road:
    """The teachers of one run, each trained when something first needs it, and the stages that stand on them."""

    def __init__(self, recipe: Mapping[str, Any], task: Task, models: Models, stages: Stages, plan: CachePlan) -> None:
        self.recipe = recipe
        self.task = task
        self.models = models.taught_by(self.model)
        self.stages = stages
        self.caches = Caches(recipe, task, plan, stages)
        self._found: dict[str, tuple[nn.Module, str]] = {}

    def model(self, name: str) -> nn.Module:
        """A teacher, ready to teach."""
        return self._teacher(name)[0]

    def key(self, name: str) -> str:
        """What decides a teacher's weights."""
        return self._teacher(name)[1]

    def _teacher(self, name: str) -> tuple[nn.Module, str]:
        if name not in self._found:
            self._found[name] = self._taught(name)
        return self._found[name]

    def _taught(self, name: str) -> tuple[nn.Module, str]:
        lesson = lessons.teaching(name, self.recipe, self.task)
        if lesson is None:
            return self.models.initial(name, 0), self.models.key(name)
        trained = self.stages.train(self.stage(lesson, lesson.train["seed"]))
        return self.models.trained(name, trained.weights["student"]), trained.key

    def finished(self, before: Trained, name: str, seed: int, *, like: Stage) -> Trained:
        """After the last stage on hard labels, for student and control alike; the same where there is none."""
        lesson = lessons.last(name, self.recipe, self.task)
        if lesson is None:
            return before
        after = self.stages.train(self.stage(lesson, seed, before), like=like)
        return Trained(after.key, {**before.weights, **after.weights})

    def stage(self, lesson: Lesson, seed: int, before: Trained | None = None) -> Stage:
        """One training with this seed, from initial weights or from those of an earlier one."""
        recipe, task = self._scene(lesson)
        needed = lesson.teachers(recipe)
        leaves = [name for name in needed if name in self.models.names]
        teachers = {name: self.model(name) for name in leaves}

        def distiller(cached: Collection[str]) -> Distiller:
            learners = self.models.learners(lesson, seed, teachers)
            for name, weights in (before.weights if before is not None else {}).items():
                if name in learners:
                    learners[name].load_state_dict(weights)
            return lesson.distiller(recipe, learners, teachers, classes=task.classes, cached=cached)

        reads = {
            "models": {
                name: self.models.identity(section, without_equipment=lesson.bare)
                for name, section in lesson.learners.items()
            },
            "objective": lesson.terms,
            "balance": lesson.balance,
            "shared": lesson.shared,
            "own": {name: settings_key(own) for name, own in lesson.own.items()},
            "sources": {
                **{name: _spoken(recipe["models"][of], teaching=False) for name, of in lesson.learners.items()},
                **{name: _spoken(recipe["models"][name], teaching=True) for name in needed},
            },
            "upstream": {name: self.key(name) for name in leaves},
            "before": None if before is None else before.key,
            **self.caches.plan.reads(lesson, recipe, task),
        }
        train = {**lesson.train, "seed": seed}
        if is_fitted(recipe["models"][lesson.learners["student"]]):
            # scikit-learn computes as it does, and another version of it may do otherwise.
            train["precision"], reads["fitted_by"] = "float32", f"scikit-learn {version('scikit-learn')}"
        return self._stage(train, lesson, (recipe, task), reads, teachers, distiller)

    def _scene(self, lesson: Lesson) -> tuple[Mapping[str, Any], Task]:
        """Recipe and task as a training sees them."""
        name = lesson.learners["student"]
        recipe, task = alone(self.recipe, self.task, name) if lesson.alone else (self.recipe, self.task)
        if not (lesson.alone or lesson.bare):
            return recipe, task
        # What other trainings read, of it or of a model that it begins from, decides nothing of what it learns alone.
        models = {
            other: _tapped(spec, read_of("student" if other == name else other, lesson.terms))
            for other, spec in recipe["models"].items()
        }
        return {**recipe, "models": models}, task

    def _stage(
        self,
        train: Mapping[str, Any],
        lesson: Lesson,
        scene: tuple[Mapping[str, Any], Task],
        reads: Mapping[str, Any],
        teachers: Mapping[str, nn.Module],
        distiller: Callable[[Collection[str]], Distiller],
    ) -> Stage:
        (recipe, task), accelerator = scene, self.stages.accelerator
        address = recipe["models"][lesson.learners["student"]]["inputs"]
        rank, world = accelerator.process_index, accelerator.num_processes
        views = self.caches.plan.views_of(lesson, task)

        def job(precision: torch.dtype | None) -> Job:
            cached = None if precision is None else self.caches.open(lesson, teachers, precision)
            batches, length = task.batches(
                lesson.rows,
                batch_size=train["batch_size"],
                seed=train["seed"],
                rank=rank,
                world=world,
                views=views,
                cached=cached,
            )
            made = for_training(distiller(() if cached is None else cached.stores))
            return Job(
                stage=lesson.stage,
                seed=train["seed"],
                distiller=made,
                left=partial(left_in, made.teachers, recipe),
                batches=batches,
                steps_per_epoch=length,
                settings=Settings(**train),
                rows=partial(task.evaluation, lesson.rows.rows),
                own={name: Settings(**settings) for name, settings in lesson.own.items()},
                validate=partial(task.validate, inputs=address) if len(task.validation) else None,
            )

        reads = {**reads, "data": data_key(task, lesson.rows, train)}
        return Stage(name=lesson.stage, seed=train["seed"], reads=reads, train=train, job=job)


def _tapped(spec: Mapping[str, Any], read: Collection[str]) -> Mapping[str, Any]:
    """A section with those of its taps that are read."""
    taps = spec.get("taps")
    # A word in their place is refused where the model is read.
    if not isinstance(taps, Mapping):
        return spec
    return {**spec, "taps": {tap: path for tap, path in taps.items() if tap in read}}


def _spoken(spec: Mapping[str, Any], *, teaching: bool) -> Mapping[str, Any]:
    sure = {"confidence": spec["confidence"]} if teaching and "confidence" in spec else {}
    return {**form_of(spec).speaks(spec), **sure}
