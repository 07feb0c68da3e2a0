"""A dry run of every kind of stage, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import getitem
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from limbeck.core import Counts, Distiller, Term, map_rows, map_tensors
from limbeck.errors import LimbeckError, RecipeError, located
from limbeck.models import sklearn_part
from limbeck.recipes.options import option_types
from limbeck.recipes.term_spec import TermSpec
from limbeck.runs.build import for_training
from limbeck.runs.checks import check_gradients
from limbeck.runs.plan import TrainingSpec
from limbeck.tasks import BatchSource, OnPolicySource, Task
from limbeck.training.batch_stream import batch_stream
from limbeck.training.fitting import check_fitting
from limbeck.training.optimizers import make_optimizers
from limbeck.training.precision import supports_bfloat16
from limbeck.training.settings import Settings

__all__ = ["DryRun", "check_rows"]

# Batch normalization rejects one row; a step that works with two rows works with more.
_rows = 2
_settings = frozenset(field.name for field in fields(Settings))
_term_options = ("weight", "where", "scale", "detach", "classes", "gather")


@dataclass(frozen=True)
class DryRun:
    """A trial step of one kind of stage.

    Args:
        training: of the stage.
        distiller: builds its distiller.
        cached: gives the outputs that caches add to a batch; None if the distiller reads none.
    """

    training: TrainingSpec
    distiller: Callable[[], Distiller]
    cached: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def check_settings(self, task: Task, accelerator: Accelerator) -> None:
        """Refuse settings that fit neither the data nor the machine.

        Raises:
            RecipeError: with the place in the recipe.
        """
        settings, path = self.training.train, self.training.path
        if settings.watches_validation and not len(task.validation):
            raise RecipeError(
                f"{path}: select: best and patience need validation rows; set data.validation above 0",
                code="conflict",
                path=f"{path}.{'select' if settings.select == 'best' else 'patience'}",
            )
        if settings.precision == "bfloat16" and not supports_bfloat16(accelerator.device):
            raise RecipeError(
                f"{path}.precision is bfloat16, which this {accelerator.device.type} does not compute; "
                "take auto or float32",
                code="unsupported",
                path=f"{path}.precision",
            )
        parts = accelerator.num_processes * settings.accumulate
        if settings.batch_size % parts:
            raise RecipeError(
                f"{path}.batch_size is {settings.batch_size}, which {accelerator.num_processes} processes with "
                f"accumulate={settings.accumulate} cannot share; choose a multiple of {parts}",
                code="out_of_range",
                path=f"{path}.batch_size",
            )

    def step(self, task: Task, accelerator: Accelerator) -> list[str]:
        """Compute one loss and its gradient.

        Returns:
            Lines on what a step will compute otherwise than its settings suggest.

        Raises:
            RecipeError: if it cannot be computed.
        """
        settings = self.training.train
        batches, steps = self._batches(task)
        if self.cached is not None and batches.reads_student:
            raise RecipeError(
                f"cache: {self.training.title} writes its own batches, so no output of a teacher can be cached; remove "
                "the section",
                code="unsupported",
                path="cache",
            )
        parts = accelerator.num_processes * settings.accumulate
        try:
            distiller = for_training(self.distiller()).to(accelerator.device)
            batch = map_tensors(next(batch_stream(batches, 0, 1, distiller)), Tensor.to, accelerator.device)
            if self.cached is not None:
                batch = {**batch, "cached": map_tensors(self.cached(batch), Tensor.to, accelerator.device)}
            task.check_distiller(distiller)
            distiller.prepare([batch])
            if sklearn_part(distiller.students["student"]) is not None:
                check_fitting(distiller)
            make_optimizers(settings, self.training.learner_train, distiller)
            size = min(_rows, settings.batch_size // parts)
            output = distiller.train()(map_rows(batch, getitem, slice(size)))
            output.loss(Counts({name: mean.count for name, mean in output.terms.items()}, 1, 1)).backward()
            check_gradients(distiller, output)
            _follow_schedules(distiller, steps * settings.epochs)
            return self._notes(distiller, settings, accelerator.num_processes)
        except RecipeError:
            raise
        except LimbeckError as error:
            place, text = self._place_of(error), _with_notes(error)
            where = "" if place in text or place == self._learner else f"{place}: "
            raise RecipeError(f"{self.training.title}: {where}{text}", code=error.code, path=place) from error
        except Exception as error:  # of a model or loss that was given, or of torch under one of ours
            raise RecipeError(
                f"{self.training.title} cannot train: {type(error).__name__}: {_with_notes(error)}",
                code="failed",
                path=self._learner,
            ) from error

    def _notes(self, distiller: Distiller, settings: Settings, processes: int) -> list[str]:
        notes = []
        for name in distiller.relational_terms:
            parts = settings.accumulate * (1 if distiller.terms[name].gather else processes)
            if parts > 1:
                rows = settings.batch_size // parts
                notes.append(
                    f"{self.training.title}: the term {name!r} compares rows with each other, and sees {rows} of the "
                    f"{settings.batch_size} rows of a step at a time"
                )
        return notes

    def _batches(self, task: Task) -> tuple[BatchSource | OnPolicySource, int]:
        size, seed = self.training.train.batch_size, self.training.train.seed
        try:
            return task.batches(self.training.rows, batch_size=size, seed=seed, rank=0, world=1)
        except LimbeckError as error:
            if error.path == "labelled":  # Not one row has a label.
                place = "data"
            elif error.path in option_types(task.Settings):
                place = f"data.{error.path}"
            else:
                place = self._place_of(error)
            raise RecipeError(f"{self.training.path}: {error}", code=error.code, path=place) from error

    @property
    def _learner(self) -> str:
        """The place in the recipe of the model that is trained."""
        return f"models.{self.training.learners['student']}"

    def _place_of(self, error: LimbeckError) -> str:
        """The place in the recipe of an error in a step."""
        place, _, rest = (error.path or "").partition(".")
        name, _, argument = rest.partition(".")
        if place == "terms" and name in self.training.terms:
            return _place_in(self.training.terms[name], argument)
        if place == "teachers":
            return f"models.{name}"
        if place == "students":
            return f"models.{self.training.learners[name]}{f'.train.{argument}' if argument else ''}"
        return f"{self.training.path}.{place}" if place in _settings else self._learner


def _place_in(term: TermSpec, argument: str) -> str:
    """The place of an argument of a term or of its loss, or of an address that it reads; else that of the term."""
    places, option = dict(term.places), argument.partition(".")[0]
    if argument in places:
        return places[argument]
    if option in term.inputs:
        return f"{term.path}.inputs.{option}"
    if option in term.loss.options:
        return f"{term.path}.loss.{argument}"
    return f"{term.path}.{option}" if option in _term_options else term.path


def check_rows(task: Task) -> None:
    """Refuse rows that nothing can be measured on.

    Raises:
        RecipeError: if a row for validation or the test has no label.
    """
    for name, rows in (("validation", task.validation), ("test", task.test)):
        unknown = int((~rows.labelled).sum())
        if unknown:
            raise RecipeError.at(
                "data", f"{unknown} of the {len(rows)} {name} rows have no label; label or drop them", code="missing"
            )


def _follow_schedules(distiller: Distiller, total: int) -> None:
    """Find weights and temperatures that become negative in a later epoch."""
    modules: list[Any] = [(name, module) for name, term in distiller.terms.items() for module in term.modules()]
    moving = [
        (name, m) for name, m in modules if hasattr(m, "follow_step") and not (isinstance(m, Term) and m.is_constant)
    ]
    with torch.no_grad():
        for step in range(total + 1) if moving else ():
            for name, module in moving:
                with located(f"terms.{name}"):
                    module.follow_step(step)


def _with_notes(error: Exception) -> str:
    text, notes = str(error).partition("\n")[0], getattr(error, "__notes__", ())
    return f"{text} ({', '.join(notes)})" if notes else text
