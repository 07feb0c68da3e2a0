"""One setting with its data and its trained teacher, and the students that are made there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck import Distiller, Frozen, Tapped
from limbeck.data import Batch, Batches, ImageSet, Plan, Splits
from limbeck.files import atomic, canonical_hash
from loss_catalogue.methods import CONTROL, Method, names_read
from loss_catalogue.settings import SETTINGS
from loss_catalogue.study import Study, load
from loss_catalogue.teacher import Stored, outputs_of
from loss_catalogue.training import train

__all__ = ["Bench", "Place"]

# Batches for Distiller.prepare: margins and paraphrasers are learned from some hundred rows.
_prepared = 8


@dataclass(frozen=True)
class Place:
    """Where the data lie, where results go, and what computes."""

    folder: Path
    work: Path
    device: str


class Bench:
    """A setting that is ready to train students.

    Args:
        name: of the setting.
        study: the numbers that all runs share.
        place: of data and results.
    """

    def __init__(self, name: str, study: Study, place: Place) -> None:
        self.setting = SETTINGS[name]
        self.study = study
        self.device = torch.device(place.device)
        said = [name, study.teacher_rows, study.validation, study.teacher_epochs, study.batch_size]
        self._teacher_file = place.work / f"teacher-{name}-{canonical_hash(said)[:16]}.pt"
        self._folder = place.folder

    @cached_property
    def _splits(self) -> tuple[Splits, Splits]:
        return load(self._folder, self.study)

    @property
    def rows(self) -> Splits:
        """What the students are trained and judged on."""
        return self._splits[0]

    def train_teacher(self) -> None:
        """Train the teacher and keep it in the work folder, if it is not there yet."""
        if self._teacher_file.is_file():
            return
        torch.manual_seed(0)
        distiller = Distiller(self.setting.teacher(), CONTROL.terms(1.0)).to(self.device)
        data, epochs = self._splits[1].train, self.study.teacher_epochs
        train(distiller, self.batches(data, epochs, 0), self.steps(data, epochs), self.setting.teacher_rate)
        with atomic(self._teacher_file) as beside:
            torch.save(distiller.students["student"].model.state_dict(), beside)

    def teacher(self) -> nn.Module:
        """The trained teacher."""
        model = self.setting.teacher()
        model.load_state_dict(torch.load(self._teacher_file, weights_only=True, map_location=self.device))
        return model.to(self.device)

    def sizes(self) -> dict[str, int]:
        """The numbers of parameters."""
        models = {"student": self.setting.student(), "teacher": self.setting.teacher()}
        return {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}

    @cached_property
    def stored(self) -> dict[str, Any]:
        """The teacher's outputs and taps on all training rows of the students."""
        return outputs_of(Frozen(self.teacher(), self.setting.teacher_taps), self.rows.train, self.device)

    def steps(self, data: ImageSet, epochs: int) -> int:
        """The number of batches in so many epochs."""
        return epochs * (len(data) // self.study.batch_size)

    def batches(self, data: ImageSet, epochs: int, seed: int) -> Iterator[Batch]:
        """Every batch of a training, on the device."""
        plan = Plan(data.labelled, batch_size=self.study.batch_size, seed=seed)
        for batch in Batches(data, plan, seed=seed).iterate(0, self.steps(data, epochs)):
            yield {name: value.to(self.device) for name, value in batch.items()}

    def distiller(self, method: Method, scale: float, seed: int) -> Distiller:
        """A student, the same for every method, with the terms and the teacher that this method needs; prepared."""
        torch.manual_seed(seed)
        student, terms = self.setting.student(), method.terms(scale)
        taps = _chosen(self.setting.student_taps, names_read(terms, "student"))
        distiller = Distiller(Tapped(student, taps), terms, self._teachers(method, names_read(terms, "teacher")))
        first = itertools.islice(self.batches(self.rows.train, self.study.epochs, seed), _prepared)
        return distiller.to(self.device).prepare(first)

    def _teachers(self, method: Method, names: set[str]) -> dict[str, Any]:
        if not names:
            return {}
        if method.teacher == "stored":
            return {"teacher": Stored(self.stored, names)}
        taps = _chosen(self.setting.teacher_taps, names)
        return {"teacher": Frozen(self.teacher(), taps, differentiable=method.teacher == "differentiable")}


def _chosen(taps: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: path for name, path in taps.items() if name in names}
