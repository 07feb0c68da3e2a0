"""The main road: teachers, control, student, measurement, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from accelerate import Accelerator
from torch import nn

from limbeck.errors import RecipeError, suggest
from limbeck.recipes import lessons
from limbeck.recipes.caching import kept_of, plan_of
from limbeck.recipes.contest import Contest
from limbeck.recipes.ending import Ending
from limbeck.recipes.fitted import check_fitted_models, fitted_notes
from limbeck.recipes.measuring import check_int8
from limbeck.recipes.models import Models
from limbeck.recipes.options import construct
from limbeck.recipes.road import Road
from limbeck.recipes.stages import Stages
from limbeck.recipes.terms import build_term, is_read
from limbeck.recipes.trial import Trial, check_rows
from limbeck.recipes.vain import check_knowledge
from limbeck.tasks import Task
from limbeck.training.settings import Settings

__all__ = ["Runner"]


class Runner:
    """Everything that one resolved recipe asks for.

    Args:
        recipe: as `resolve` gives it.
        task: with the data loaded.
        objects: models that were given as real objects, by name.
    """

    def __init__(self, recipe: Mapping[str, Any], task: Task, objects: Mapping[str, nn.Module]) -> None:
        self.recipe = recipe
        self.task = task
        self.models = Models(recipe, task, objects)
        self.caching = plan_of(recipe, task)
        self.peers = lessons.peers(recipe)
        self.used = lessons.student(recipe, task).teachers(recipe)
        self.seeds = [recipe["train"]["seed"] + number for number in range(recipe["seeds"])]

    def check(self, accelerator: Accelerator) -> list[str]:
        """Build everything once and try a step of every stage, before anything is written; what there is to say.

        Raises:
            LimbeckError: if models, terms or data do not fit together.
        """
        check_rows(self.task)
        models = {name: self.models.initial(name, self.seeds[0]) for name in self.models.names}
        for name, model in models.items():
            inputs = self.recipe["models"][name]["inputs"]
            self.task.check_model(f"models.{name}", self.models.for_task(name, model), inputs)
        if self.models.classes("student") is not None:
            raise RecipeError("models.student knows other classes than the data; a student needs the same")
        check_fitted_models(self.recipe, models, self.task)
        check_int8(self.recipe, models["student"])
        self._check_read()
        last = {**self.recipe["train"], "seed": self.seeds[-1]}
        construct(Settings, last, path="seeds")
        for trial in self._trials(models):
            trial.check_settings(self.task, accelerator)
        for trial in self._trials(models):
            trial.step(self.task, accelerator)
        for lesson in lessons.lessons(self.recipe, self.task):
            check_knowledge(lesson, self.recipe)
        return [*fitted_notes(self.recipe, self.task), *self._untrained(models)]

    def _untrained(self, models: Mapping[str, nn.Module]) -> Iterator[str]:
        """What has random weights in models that came with others."""
        for name, model in models.items():
            what = getattr(model, "untrained", "")
            if (
                what
                and self._names_classes()
                and name != "student"
                and self.recipe["models"][name].get("train") is None
            ):
                raise RecipeError(f"models.{name}: {what}; train it, as in train: {{epochs: 2}}")
            if what:
                yield f"models.{name}: {what}"

    def _names_classes(self) -> bool:
        """Whether a training reads logits: a head that none reads may be any."""
        return any(
            address.endswith(".logits")
            for lesson in lessons.lessons(self.recipe, self.task)
            for name, spec in lesson.terms.items()
            for address in build_term(spec, f"objective.{name}").addresses
        )

    def _check_read(self) -> None:
        for name in self.models.objects:
            if name not in (*self.used, *self.peers, "student"):
                raise RecipeError(
                    f"models.{name} was given as an object, but no term reads it.{suggest(name, self.used)}"
                )
        for name in self.peers:
            if not is_read(name, self.recipe["objective"]):
                raise RecipeError(
                    f"models.{name} trains together with the student, but no term of the objective reads it"
                )

    def _trials(self, models: Mapping[str, nn.Module]) -> Iterator[Trial]:
        for lesson in lessons.lessons(self.recipe, self.task):
            # What a recipe does not ask for changes nothing that a trial could find.
            cached = self.caching.cached_in(lesson, self.recipe) if self.caching.asked else []
            learners, classes = self.models.learners(lesson, self.seeds[0], models), self.task.classes
            distiller = partial(lesson.distiller, self.recipe, learners, models, classes=classes, cached=cached)
            kept = partial(kept_of, self.caching, cached, self.recipe, models) if cached else None
            yield Trial(lesson.title, lesson.path, lesson.train, lesson.rows, distiller, lesson.own, kept)

    # The road.

    def run(self, stages: Stages) -> dict[str, Any]:
        """Train, measure, export; the content of results.json."""
        for name, reason in self.caching.live.items():
            stages.progress.note(f"cache: {name} stays live: {reason}")
        road = Road(self.recipe, self.task, self.models, stages, self.caching)
        controls, students = [], []
        for seed in self.seeds:
            student = road.stage(lessons.student(self.recipe, self.task), seed)
            if self.recipe["control"]:
                # A fair control computes in the student's precision.
                control = road.stage(lessons.control(self.recipe, self.task), seed)
                controls.append(road.finished(stages.train(control, like=student), "control", seed, like=student))
            students.append(road.finished(stages.train(student), "student", seed, like=student))
        teachers = {name: road.model(name) for name in self._leaves()}
        taught = {name: road.key(name) for name in teachers}
        ending = Ending(self.recipe, self.task, self.seeds, stages, taught)
        contest = Contest(self.recipe, self.models, self.used, teachers, students)
        contestants = contest.contestants(controls, ending.ship)
        keys = [trained.key for trained in (*controls, *students)]
        upstream = [*keys, *taught.values()]
        return ending.results(
            contestants, upstream, best=contest.best(contestants), chosen=len(contest.candidates(contestants)) > 1
        )

    def _leaves(self) -> list[str]:
        return [name for name in self.used if name in self.models.names]
