"""Evaluation of models and exported files on the test rows, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.measure import ClassScoring, Evaluation, Evaluator, Scoring, verdict
from limbeck.runs.evaluated_models import EvaluatedModel, Exported
from limbeck.runs.outputs import TestOutputs
from limbeck.tasks import Arrays

__all__ = ["Evaluated", "evaluate_models"]


@dataclass(frozen=True)
class Evaluated:
    """The results of an evaluation.

    Args:
        results: for results.json.
        verdict: whether distillation helped, in a sentence.
        statistics: of the test rows, by which metrics and intervals can be computed again.
        int8: the largest difference between the outputs of the file in 8 bits and those of its model; empty without it.
    """

    results: dict[str, Any]
    verdict: str
    statistics: Mapping[str, NDArray[Any]]
    int8: Mapping[str, float]


def evaluate_models(
    test_outputs: TestOutputs,
    evaluated: Mapping[str, EvaluatedModel],
    files: Mapping[str, Exported],
    *,
    subject: str = "student",
    draws: int,
) -> Evaluated:
    """Metrics, intervals and comparisons of all models on the test rows. Outputs of one batch are held at a time.

    The student is compared with the control, the baselines and the first teacher. So is ``subject``, the student that
    is exported where there are several; its comparisons come first, and the verdict is about it.

    Args:
        test_outputs: reads the outputs.
        evaluated: the models, by name.
        files: exported from the subject, by name: ``exported`` and ``int8``.
        subject: the name of the student that is exported.
        draws: of the bootstrap.
    """
    task = test_outputs.task
    scoring = task.judgement
    teachers = [name for name, entry in evaluated.items() if entry.is_teacher]
    reference = teachers[0] if teachers else None
    evaluator = Evaluator(scoring, units=None if scoring.units is None else scoring.units(task.test), draws=draws)
    readers = {
        name: [test_outputs.of_model(name, model, entry.inputs) for model in entry.models]
        for name, entry in evaluated.items()
    }
    readers |= {name: [test_outputs.of_file(file)] for name, file in files.items()}
    int8 = _Differences(scoring, subject)
    for number, batch in enumerate(task.evaluation(task.test)):
        outputs = {name: [read(number, batch) for read in of_seeds] for name, of_seeds in readers.items()}
        labels, rows = task.labels(batch), batch["row"].cpu().numpy()
        for name, of_seeds in outputs.items():
            against = None if reference is None or name == reference else outputs[reference][0]
            for seed, values in enumerate(of_seeds):
                evaluator.update(name, seed, values, labels, against, rows)
        int8.update(outputs)
    baselines = [name for name, entry in evaluated.items() if entry.is_baseline]
    others = [*(["control"] if "control" in evaluated else []), *baselines, *teachers[:1]]
    evaluation = evaluator.result([(one, other) for one in dict.fromkeys((subject, "student")) for other in others])
    return Evaluated(
        {"metric": scoring.main.name, "teachers": teachers, **evaluation.to_json()},
        _verdict(evaluation, subject, scoring.main.name, has_control="control" in evaluated),
        evaluation.statistics,
        int8.largest,
    )


def _verdict(evaluation: Evaluation, subject: str, metric: str, *, has_control: bool) -> str:
    if not has_control:
        return "No control was trained, so this run cannot say whether distillation helped."
    called = "the student" if subject == "student" else f"the chosen student {subject}"
    return verdict(evaluation.comparison(subject, "control", metric), subject=called)


@dataclass
class _Differences:
    """The largest difference between the file in 8 bits and its model: in a probability, or in each output."""

    scoring: Scoring
    subject: str
    largest: dict[str, float] = field(default_factory=dict)

    def update(self, outputs: Mapping[str, list[Arrays]]) -> None:
        """Add a batch, where there is such a file."""
        if "int8" not in outputs:
            return
        for name, difference in self._of_batch(outputs[self.subject][0], outputs["int8"][0]).items():
            self.largest[name] = max(self.largest.get(name, 0.0), difference)

    def _of_batch(self, ours: Arrays, theirs: Arrays) -> dict[str, float]:
        if isinstance(self.scoring, ClassScoring):
            probabilities = self.scoring.probabilities(ours), self.scoring.probabilities(theirs)
            return {"max_probability_difference": float(np.abs(probabilities[0] - probabilities[1]).max(initial=0))}
        return {"max_difference": max(float(np.abs(ours[name] - theirs[name]).max(initial=0)) for name in ours)}
