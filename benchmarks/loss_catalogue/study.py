"""How much is trained, on what, and with which steps: the same for every method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.data import Idx, Splits, split

__all__ = ["FULL", "Study", "load"]


@dataclass(frozen=True)
class Study:
    """The numbers that all runs share. Seed 0 is for choices on the validation rows, the others are for the test rows.

    Args:
        rows: training rows of the students; None for all.
        teacher_rows: training rows of the teacher, those of the students among them; None for all.
        validation: share of the training rows that choices are made on; neither teacher nor student trains on them.
        epochs: of every student.
        teacher_epochs: of every teacher.
        batch_size: of all.
        seeds: how many students of each method are measured on the test rows.
        scales: what the weight from a paper is multiplied by; the best one is taken for each method.
    """

    rows: int | None = 4000
    teacher_rows: int | None = 20_000
    validation: float = 0.05
    epochs: int = 6
    teacher_epochs: int = 10
    batch_size: int = 64
    seeds: int = 3
    scales: tuple[float, ...] = (0.1, 1.0, 10.0)

    def of_one_run(self) -> dict[str, Any]:
        """What decides the outcome of a single student; how many there are, and what else was tried, does not."""
        others = ("seeds", "scales")
        return {name: value for name, value in asdict(self).items() if name not in others}


FULL = Study(rows=None, teacher_rows=None, epochs=12, teacher_epochs=20, seeds=5)


def load(folder: Path, study: Study) -> tuple[Splits, Splits]:
    """The rows of the students and those of the teacher; validation and test rows are the same in both."""
    source = Idx(folder=str(folder)).load()
    students, teachers = (
        split(source, validation=study.validation, test=0.0, seed=0, limit=limit)
        for limit in (study.rows, study.teacher_rows)
    )
    return students, teachers
