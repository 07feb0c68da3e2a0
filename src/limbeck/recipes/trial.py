"""What can be known to fail, tried before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from limbeck.core import Counts, Distiller, Term, map_tensors
from limbeck.errors import LimbeckError, RecipeError
from limbeck.recipes.build import for_training
from limbeck.recipes.exclusive import check_exclusive
from limbeck.recipes.options import construct
from limbeck.recipes.vain import check_gradients
from limbeck.students import fitted_part
from limbeck.tasks import Batch, Task, TrainingRows
from limbeck.training.fitting import check_fitting
from limbeck.training.optimizers import make_optimizers
from limbeck.training.precision import supports_bfloat16
from limbeck.training.settings import Settings

__all__ = ["Trial", "check_rows"]

# Batch normalization refuses one row; what two rows can do, more can do.
_rows = 2


@dataclass(frozen=True)
class Trial:
    """One kind of stage: its name, where its settings stand in the recipe, its settings, rows and distiller; the
    settings of learners with an optimizer of their own, by name; and what gives what caches would bring along with a
    batch, if the distiller reads any."""

    name: str
    path: str
    train: Mapping[str, Any]
    training: TrainingRows
    distiller: Callable[[], Distiller]
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cached: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def check_settings(self, task: Task, accelerator: Accelerator) -> None:
        """Refuse settings that fit neither the data nor the machine.

        Raises:
            RecipeError: with the place in the recipe.
        """
        settings = Settings(**self.train)
        if settings.watches_validation and not len(task.validation):
            raise RecipeError(
                f"{self.path}: select: best and patience need validation rows; set data.validation above 0"
            )
        if settings.precision == "bfloat16" and not supports_bfloat16(accelerator.device):
            raise RecipeError(
                f"{self.path}.precision is bfloat16, which this {accelerator.device.type} does not compute; "
                "take auto or float32"
            )
        parts = accelerator.num_processes * settings.accumulate
        if settings.batch_size % parts:
            raise RecipeError(
                f"{self.path}.batch_size is {settings.batch_size}, which {accelerator.num_processes} processes with "
                f"accumulate={settings.accumulate} cannot share; choose a multiple of {parts}"
            )

    def step(self, task: Task, accelerator: Accelerator) -> None:
        """Compute one loss and its gradient.

        Raises:
            RecipeError: if it cannot be computed.
        """
        settings = Settings(**self.train)
        batch, steps = self._first(task, accelerator.device)
        parts = accelerator.num_processes * settings.accumulate
        try:
            if self.cached is not None:
                batch = {**batch, "cached": map_tensors(self.cached(batch), Tensor.to, accelerator.device)}
            distiller = for_training(self.distiller()).to(accelerator.device)
            check_exclusive(distiller, task.scoring)
            distiller.prepare([batch])
            if fitted_part(distiller.students["student"]) is not None:
                check_fitting(distiller)
            make_optimizers(settings, {name: _own(name, own) for name, own in self.own.items()}, distiller)
            size = min(_rows, settings.batch_size // parts)
            output = distiller.train()(map_tensors(batch, Tensor.__getitem__, slice(size)))
            output.loss(Counts({name: mean.count for name, mean in output.terms.items()}, 1, 1)).backward()
            check_gradients(distiller, output)
            _follow_schedules(distiller, steps * settings.epochs)
        except RecipeError:
            raise
        except LimbeckError as error:
            raise RecipeError(f"{self.name}: {_with_notes(error)}") from error
        except Exception as error:  # of a model or loss that was given, or of torch under one of ours
            raise RecipeError(f"{self.name} cannot train: {type(error).__name__}: {_with_notes(error)}") from error

    def _first(self, task: Task, device: torch.device) -> tuple[Batch, int]:
        size, seed = self.train["batch_size"], self.train["seed"]
        try:
            batches, steps = task.batches(self.training, batch_size=size, seed=seed, rank=0, world=1)
        except LimbeckError as error:
            raise RecipeError(f"{self.path}: {error}") from error
        return map_tensors(next(batches.iterate(0, 1)), Tensor.to, device), steps


def _own(name: str, settings: Mapping[str, Any]) -> Settings:
    found: Settings = construct(Settings, settings, path=f"models.{name}.train")
    return found


def check_rows(task: Task) -> None:
    """Refuse rows that nothing can be measured on.

    Raises:
        RecipeError: if a row for validation or the test has no label.
    """
    for name, rows in (("validation", task.validation), ("test", task.test)):
        unknown = int((~rows.labelled).sum())
        if unknown:
            raise RecipeError(f"data: {unknown} of the {len(rows)} {name} rows have no label; label or drop them")


def _follow_schedules(distiller: Distiller, total: int) -> None:
    """A weight or a temperature that falls below 0 in the last epoch is found now."""
    modules: list[Any] = [module for term in distiller.terms.values() for module in term.modules()]
    moving = [m for m in modules if hasattr(m, "follow_step") and not (isinstance(m, Term) and m.is_constant)]
    with torch.no_grad():
        for step in range(total + 1) if moving else ():
            for module in moving:
                module.follow_step(step)


def _with_notes(error: Exception) -> str:
    return " ".join([str(error).partition("\n")[0], *getattr(error, "__notes__", ())])
