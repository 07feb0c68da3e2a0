"""Which students are trained, and what the validation rows decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loss_catalogue.bench import Place
from loss_catalogue.methods import CONTROL, Method
from loss_catalogue.runs import Ledger, Record, Run, execute
from loss_catalogue.settings import SETTINGS
from loss_catalogue.study import Study

__all__ = ["Choice", "Trials"]

# Seed 0 is for the choices.
_chosen_on = 0


@dataclass(frozen=True)
class Choice:
    """A method with the scale of its weight that is best on the validation rows."""

    method: Method
    scale: float
    accuracy: float | None


class Trials:
    """All students of one setting: those for the learning rate, those for the scales, those for the test rows.

    Args:
        setting: its name.
        methods: the rows of the table; the control is among them.
        study: the numbers that all runs share.
        place: of data and results.
        processes: students that are trained at a time.
        ledger: of what is trained already.
    """

    def __init__(
        self, setting: str, methods: Sequence[Method], study: Study, place: Place, processes: int, ledger: Ledger
    ) -> None:
        self.setting = setting
        self.methods = methods
        self.rates = SETTINGS[setting].rates
        self.study = study
        self.ledger = ledger
        self._execution = (study, place, processes, ledger)

    def train(self) -> None:
        """Every student that is missing. Test rows are read when every choice is made."""
        execute([self._trial(CONTROL, 1.0, rate) for rate in self.rates], *self._execution)
        rate = self.rate()
        execute([self._trial(m, scale, rate) for m in self.methods for scale in self._scales(m)], *self._execution)
        execute([run for choice in self.choices() for run in self._judged(choice)], *self._execution)

    def rate(self) -> float:
        """The learning rate that is best for the control."""
        return max(self.rates, key=lambda rate: _accuracy(self._record(self._trial(CONTROL, 1.0, rate))))

    def choices(self) -> list[Choice]:
        """For each method the best scale; of equal ones that nearest to 1."""
        rate = self.rate()
        found = []
        for method in self.methods:
            scores = {s: _accuracy(self._record(self._trial(method, s, rate))) for s in self._scales(method)}
            scale = max(scores, key=lambda s: (scores[s], -abs(math.log10(s))))
            found.append(Choice(method, scale, None if scores[scale] < 0 else scores[scale]))
        return found

    def judged(self, choice: Choice) -> list[Record]:
        """What the students of this choice did on the test rows, by seed."""
        return [self._record(run) for run in self._judged(choice)]

    def _scales(self, method: Method) -> tuple[float, ...]:
        return self.study.scales if method.loss else (1.0,)

    def _trial(self, method: Method, scale: float, rate: float) -> Run:
        return Run(self.setting, method.name, scale, rate, _chosen_on, "validation")

    def _judged(self, choice: Choice) -> list[Run]:
        seeds = range(_chosen_on + 1, _chosen_on + 1 + self.study.seeds)
        return [Run(self.setting, choice.method.name, choice.scale, self.rate(), seed, "test") for seed in seeds]

    def _record(self, run: Run) -> Record:
        return self.ledger.records[run.key(self.study)]


def _accuracy(record: Record) -> float:
    """Below any other where the student diverged."""
    return -1.0 if record["diverged"] else float(record["accuracy"])
