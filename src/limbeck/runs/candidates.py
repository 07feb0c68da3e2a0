"""The models of a run that are evaluated, and the one of them that is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from types import MappingProxyType
from typing import Any, TypeAlias

from torch import nn

from limbeck.core import Address
from limbeck.recipes.model_sources import TeacherContext
from limbeck.runs import plan
from limbeck.runs.evaluated_models import EvaluatedModel
from limbeck.runs.models import Models
from limbeck.runs.stages import Trained
from limbeck.runs.teachers import TeacherModel, closure
from limbeck.teachers.map_classes import known_by

__all__ = ["Candidates"]

# Writes `models/<name>`, given the section that rebuilds the model and its classes; returns the bytes of its weights.
Ship: TypeAlias = Callable[[str, nn.Module, Mapping[str, Any] | None, Sequence[str] | None], int]


class Candidates:
    """The models that can be evaluated once everything is trained.

    Args:
        models: of the recipe.
        used: the names of the teachers in use.
        teachers: trained models with weights among them, by name.
        students: the student's training for each seed.
    """

    def __init__(
        self,
        models: Models,
        used: Sequence[str],
        teachers: Mapping[str, nn.Module],
        students: Sequence[Trained],
    ) -> None:
        self.models = models
        self.specs = models.specs
        self.teachers = teachers
        self.students = students
        # What reads outputs of another model cannot be evaluated by itself.
        self.peers = [name for name in plan.peers(self.specs) if not self.specs[name].input_sources]
        measured = [name for name in used if self._is_measured(name)]
        # Teachers that the student's training changes differ from seed to seed.
        self.per_seed = [name for name in measured if self._per_seed_parts(name)]
        self.fixed = [name for name in measured if name not in self.per_seed]

    def _is_measured(self, name: str) -> bool:
        trained_states = self.students[0].weights
        specs = {part: self.specs[part] for part in closure(name, self.specs)}
        return all(
            spec.source.is_model(spec) and (part in trained_states or not spec.source.learns(spec))
            for part, spec in specs.items()
        )

    def _per_seed_parts(self, name: str) -> list[str]:
        return [part for part in closure(name, self.specs) if part in self.students[0].weights]

    def _follows(self, name: str) -> str | None:
        spec = self.specs[name]
        return spec.source.follows(spec)

    @property
    def _averages(self) -> list[str]:
        return [name for name in self.per_seed if self._follows(name) is not None]

    def evaluated_models(
        self,
        controls: Sequence[Trained],
        ship: Ship,
        compressed: Sequence[nn.Module] = (),
        baselines: Mapping[str, Sequence[nn.Module]] = MappingProxyType({}),
    ) -> dict[str, EvaluatedModel]:
        """The models to measure, by name; the first teacher is the one that the student is compared with.

        Args:
            controls: for each seed; none if the recipe has no control.
            ship: writes a model.
            compressed: the compressed students, for each seed; none if the recipe compresses nothing.
            baselines: further students that the student is compared with, for each seed, by name.
        """
        sizes = {
            name: ship(name, model, self.models.architecture(name), self.models.output_names(name))
            for name, model in self.teachers.items()
        }
        found: dict[str, EvaluatedModel] = {}
        for name in sorted(self.fixed, key=lambda name: name != self._first_teacher()):
            if name in self.teachers:
                model, inputs = self.models.for_task(name, self.teachers[name]), self._inputs(name)
                found[name] = EvaluatedModel([model], sizes[name], is_teacher=True, inputs=inputs)
            else:
                found[name] = EvaluatedModel([self._joined(name)], None, is_teacher=True, inputs="batch")
        if controls:
            models = [self.models.trained("student", one.weights["student"]) for one in controls]
            found["control"] = self._shipped("control", models, "student", None, ship)
        for name, students in baselines.items():
            found[name] = replace(self._shipped(name, students, "student", None, ship), is_baseline=True)
        for name in ("student", *self.peers):
            found.update(self._trained(name, name, ship))
        for name in self._averages:
            found.update(self._trained(name, str(self._follows(name)), ship))
        for name in self.per_seed:
            if name not in found:
                found[name] = EvaluatedModel([self._joined(name, one) for one in self.students], None, inputs="batch")
        if compressed:
            size = ship("compressed", compressed[0], None, None)
            found["compressed"] = EvaluatedModel(compressed, size, inputs=self._inputs("student"))
        return found

    def _first_teacher(self) -> str:
        return "teacher" if "teacher" in self.fixed else next(reversed(self.fixed))

    def _trained(self, name: str, section: str, ship: Ship) -> dict[str, EvaluatedModel]:
        """A model that the student's training produced, and the parts of it that are evaluated too."""
        parts = [self.models.shipped(section, one.weights[name], self.teachers) for one in self.students]
        titles = {part: "_".join(filter(None, (name, part))) for part in parts[0]}
        return {
            title: self._shipped(title, [one[part] for one in parts], section, part, ship)
            for part, title in titles.items()
        }

    def _shipped(
        self, name: str, models: Sequence[nn.Module], section: str, part: str | None, ship: Ship
    ) -> EvaluatedModel:
        size = ship(name, models[0], self.models.architecture(section, part), None)
        return EvaluatedModel(models, size, inputs=self._inputs(section))

    def _inputs(self, section: str) -> Address:
        return self.specs[section].inputs

    def _joined(self, name: str, student: Trained | None = None) -> nn.Module:
        """A teacher made of several models, some of which this training may have produced."""
        models, trained_states = dict(self.teachers), {} if student is None else student.weights
        for part in closure(name, self.specs):
            section = self._follows(part) or part
            if part in trained_states and section in self.models.names:
                models[part] = self.models.shipped(section, trained_states[part], self.teachers)[""]
        classes = self.models.task.names
        model = TeacherModel(
            name, TeacherContext(specs=self.specs, classes=classes, models=models, trained_states=trained_states)
        )
        known = known_by(model.teacher)
        if known is None:
            return model
        return self.models.task.with_outputs(model, [classes[at] for at in known.classes])

    def choices(self, evaluated: Mapping[str, EvaluatedModel]) -> list[str]:
        """The models to choose from: the student, and models of the same architecture that trained together with it.

        Another architecture would need a control of its own, and none is trained.
        """
        same = _network(evaluated["student"].models[0])
        others = [*self.peers, *self._averages] if len(self.models.task.validation) else []
        return ["student", *(name for name in others if _network(evaluated[name].models[0]) == same)]

    def best(self, evaluated: Mapping[str, EvaluatedModel]) -> str:
        """The name of the model to export: the best mean over seeds of the main metric on the validation rows."""
        task, names = self.models.task, self.choices(evaluated)
        if len(names) == 1:
            return "student"

        def score(name: str) -> float:
            found = evaluated[name]
            value = fmean(next(iter(task.validate(one.eval(), found.inputs).values())) for one in found.models)
            return value if task.judgement.main.higher_is_better else -value

        return max(names, key=score)


def _network(model: nn.Module) -> tuple[str, dict[str, list[int]]]:
    return repr(model), {name: list(value.shape) for name, value in model.state_dict().items()}
