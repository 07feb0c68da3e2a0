"""The models of a run that are measured against each other, and the one of them that is exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, TypeAlias

from torch import nn

from limbeck.core import Address
from limbeck.recipes import lessons
from limbeck.recipes.classes import AllClasses
from limbeck.recipes.forms import Parts, form_of
from limbeck.recipes.measuring import Contestant
from limbeck.recipes.models import Models
from limbeck.recipes.stages import Trained
from limbeck.recipes.teachers import AsModel, closure
from limbeck.teachers.map_classes import known_by

__all__ = ["Contest"]

# Writes `models/<name>`, given the section that builds it again and its classes; gives the bytes of its weights.
Ship: TypeAlias = Callable[[str, nn.Module, Mapping[str, Any] | None, Sequence[str] | None], int]


class Contest:
    """Everything that can be measured when all is trained.

    Args:
        recipe: as `resolve` gives it.
        models: of the recipe.
        used: the teachers in use, by name.
        teachers: those of them that have weights, ready.
        students: the student's training for each seed.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        models: Models,
        used: Sequence[str],
        teachers: Mapping[str, nn.Module],
        students: Sequence[Trained],
    ) -> None:
        self.recipe = recipe
        self.models = models
        self.teachers = teachers
        self.students = students
        measured = [name for name in used if self._is_measured(name)]
        # What comes out of the student's training differs from seed to seed.
        self.grown = [name for name in measured if self._parts_grown(name)]
        self.ready = [name for name in measured if name not in self.grown]

    def _is_measured(self, name: str) -> bool:
        kept = self.students[0].weights
        specs = {part: self.recipe["models"][part] for part in closure(name, self.recipe)}
        return all(
            form_of(spec).is_model(spec) and (part in kept or not form_of(spec).learns(spec))
            for part, spec in specs.items()
        )

    def _parts_grown(self, name: str) -> list[str]:
        return [part for part in closure(name, self.recipe) if part in self.students[0].weights]

    def _follows(self, name: str) -> str | None:
        spec = self.recipe["models"][name]
        return form_of(spec).follows(spec)

    @property
    def _averages(self) -> list[str]:
        return [name for name in self.grown if self._follows(name) is not None]

    def contestants(self, controls: Sequence[Trained], ship: Ship) -> dict[str, Contestant]:
        """The models to measure, by name; the first teacher is the one that the student is compared with."""
        sizes = {
            name: ship(name, model, self.models.architecture(name), self.models.classes(name))
            for name, model in self.teachers.items()
        }
        found: dict[str, Contestant] = {}
        for name in sorted(self.ready, key=lambda name: name != self._reference()):
            if name in self.teachers:
                model, inputs = self.models.for_task(name, self.teachers[name]), self._inputs(name)
                found[name] = Contestant([model], sizes[name], teaches=True, inputs=inputs)
            else:
                found[name] = Contestant([self._joined(name)], None, teaches=True, inputs="batch")
        if controls:
            models = [self.models.trained("student", one.weights["student"]) for one in controls]
            found["control"] = self._shipped("control", models, "student", None, ship)
        for name in ("student", *lessons.peers(self.recipe)):
            found.update(self._trained(name, name, ship))
        for name in self._averages:
            found.update(self._trained(name, str(self._follows(name)), ship))
        for name in self.grown:
            if name not in found:
                found[name] = Contestant([self._joined(name, one) for one in self.students], None, inputs="batch")
        return found

    def _reference(self) -> str:
        return "teacher" if "teacher" in self.ready else next(reversed(self.ready))

    def _trained(self, name: str, section: str, ship: Ship) -> dict[str, Contestant]:
        """What came out of the student's training under a name, and the parts of it that are measured too."""
        parts = [self.models.shipped(section, one.weights[name], self.teachers) for one in self.students]
        titles = {part: "_".join(filter(None, (name, part))) for part in parts[0]}
        return {
            title: self._shipped(title, [one[part] for one in parts], section, part, ship)
            for part, title in titles.items()
        }

    def _shipped(
        self, name: str, models: Sequence[nn.Module], section: str, part: str | None, ship: Ship
    ) -> Contestant:
        size = ship(name, models[0], self.models.architecture(section, part), None)
        return Contestant(models, size, inputs=self._inputs(section))

    def _inputs(self, section: str) -> Address:
        address: Address = self.recipe["models"][section]["inputs"]
        return address

    def _joined(self, name: str, student: Trained | None = None) -> nn.Module:
        """A teacher made of models; some of them may have come out of this training."""
        models, kept = dict(self.teachers), {} if student is None else student.weights
        for part in closure(name, self.recipe):
            section = self._follows(part) or part
            if part in kept and section in self.models.names:
                models[part] = self.models.shipped(section, kept[part], self.teachers)[""]
        classes = self.models.task.classes
        model = AsModel(name, Parts(recipe=self.recipe, classes=classes, models=models, kept=kept))
        known = known_by(model.teacher)
        return model if known is None else AllClasses(model, [classes[at] for at in known.classes], classes)

    def candidates(self, contestants: Mapping[str, Contestant]) -> list[str]:
        """Those to choose from: the student, and what trained together with it and is the same network.

        Another network has another control, and none was trained.
        """
        same = _network(contestants["student"].models[0])
        others = [*lessons.peers(self.recipe), *self._averages] if len(self.models.task.validation) else []
        return ["student", *(name for name in others if _network(contestants[name].models[0]) == same)]

    def best(self, contestants: Mapping[str, Contestant]) -> str:
        """The one of the candidates to export: by the metric that decides, on validation rows, the mean over seeds."""
        task, names = self.models.task, self.candidates(contestants)
        if len(names) == 1:
            return "student"

        def score(name: str) -> float:
            found = contestants[name]
            return fmean(next(iter(task.validate(one.eval(), found.inputs).values())) for one in found.models)

        return max(names, key=score)


def _network(model: nn.Module) -> tuple[str, dict[str, list[int]]]:
    return repr(model), {name: list(value.shape) for name, value in model.state_dict().items()}
