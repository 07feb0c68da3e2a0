"""From the outputs of models on all test rows to every metric, interval and comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from limbeck.errors import ArgumentError, suggest
from limbeck.measure.accumulator import as_arrays
from limbeck.measure.class_scorings import single_label_scoring
from limbeck.measure.evaluation import Evaluation
from limbeck.measure.evaluator import Evaluator
from limbeck.measure.metric import Integers, Metric
from limbeck.measure.scoring import Scoring

__all__ = ["evaluate"]

Values: TypeAlias = ArrayLike | Mapping[str, Any]


def evaluate(
    outputs: Mapping[str, Sequence[Values]],
    labels: Values,
    *,
    reference: str | None = None,
    comparisons: Sequence[tuple[str, str]] = (),
    scoring: Scoring | None = None,
    metrics: Sequence[str | Metric[Any]] | None = None,
    units: Integers | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate models on the same rows, with 95% intervals over rows and, where there are several, seeds.

    This is an `Evaluator` that is given all rows as one batch.

    Args:
        outputs: per model, one entry for each seed: logits ``[N, …, C]``, or a mapping of outputs by name.
        labels: the target of each row, or a mapping of labels by name; by default the class of each row, ``[N]``.
        reference: the model that the others are compared with by metrics such as `teacher_agreement`; these are left
            out without it, and for the reference itself.
        comparisons: pairs (a, b); each gives a − b for every metric that both have. Seed s of a is paired with seed s
            of b; a model with one instance is paired with every seed of the other.
        scoring: of the task; that of rows of one class by default.
        metrics: names of registered metrics that fit these outputs and labels; those of the scoring by default.
        units: the unit of each row, which the bootstrap draws; None if every row is a unit.
        draws: of the bootstrap over rows.
        seed: of these draws.

    Returns:
        The metrics and tables of each model, and the comparisons.

    Raises:
        ArgumentError: for outputs that are not finite, shapes that do not agree, labels that do not fit, unknown names
            of models or metrics, metrics of other outputs, and pairs with different numbers of seeds.

    >>> evaluation = evaluate({"student": [np.eye(3)]}, [0, 1, 1])
    >>> round(evaluation.models["student"].metrics["accuracy"].value, 3)
    0.667
    """
    target = _named(labels, "target")
    models = {name: [_named(one, "logits") for one in seeds] for name, seeds in outputs.items()}
    _check_shapes(models)
    scoring = _single_label(models) if scoring is None else scoring
    for name in [*(name for pair in comparisons for name in pair), *([] if reference is None else [reference])]:
        if name not in models:
            raise ArgumentError(
                f"evaluate: no outputs of a model {name!r}.{suggest(name, models)}", code="unknown_name", path="models"
            )
    evaluator = Evaluator(scoring, metrics=metrics, units=units, draws=draws, seed=seed)
    for name, seeds in models.items():
        teachers = _paired(models, name, reference)
        for at, values in enumerate(seeds):
            evaluator.update(name, at, values, target, teachers[at])
    return evaluator.result(comparisons)


def _named(values: Values, name: str) -> dict[str, Any]:
    """Arrays by name; one array stands for the output or label of this name."""
    arrays = values if isinstance(values, Mapping) else {name: np.asarray(values)}
    return as_arrays(arrays)


def _single_label(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> Scoring:
    logits = next(iter(models.values()))[0].get("logits")
    if logits is None or logits.ndim < 2 or logits.shape[-1] == 0:
        raise ArgumentError(
            "evaluate: no logits [N, C]; give them, or the scoring of these outputs", code="missing", path="logits"
        )
    return single_label_scoring(logits.shape[-1])


def _check_shapes(models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Refuse models whose outputs differ in shape."""
    expected: dict[str, tuple[int, ...]] = {}
    for name, seeds in models.items():
        if not seeds:
            raise ArgumentError(
                f"evaluate: {name!r} has no outputs; give one entry for each seed", code="missing", path=name
            )
        for at, values in enumerate(seeds):
            for output, value in values.items():
                if isinstance(value, np.ndarray) and value.shape != expected.setdefault(output, value.shape):
                    raise ArgumentError(
                        f"evaluate: {output} of {name!r}, seed {at}, have shape {value.shape}; expected "
                        f"{expected[output]}, the same rows and classes for every model",
                        code="wrong_shape",
                        path=name,
                    )
    if not models:
        raise ArgumentError(
            "evaluate: no models; give outputs under the name of each model", code="missing", path="models"
        )


def _paired(
    models: Mapping[str, Sequence[Mapping[str, Any]]], name: str, reference: str | None
) -> Sequence[Mapping[str, Any] | None]:
    """The outputs of the reference for each seed of a model; those of a single instance for all."""
    seeds = len(models[name])
    if reference is None or reference == name:
        return [None] * seeds
    outputs = models[reference]
    if len(outputs) not in (1, seeds):
        raise ArgumentError(
            f"evaluate: {name!r} has {seeds} seeds and {reference!r} has {len(outputs)}; expected as many, or "
            "one alone",
            code="mismatch",
            path=name,
        )
    return list(outputs) * seeds if len(outputs) == 1 else outputs
