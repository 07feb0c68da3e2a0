"""From logits on the test rows to every metric, interval and comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from limbeck import registry
from limbeck.errors import ArgumentError, suggest
from limbeck.measure.evaluation import Comparison, Evaluation, ModelEvaluation
from limbeck.measure.intervals import Resamples, interval
from limbeck.measure.metrics import Floats, Integers, Metric
from limbeck.measure.scoring import Scoring
from limbeck.measure.single_label import SingleLabel

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Measured:
    """A metric of a model: on all rows `[S]`, and in each draw of the rows `[S, draws]`."""

    values: Floats
    draws: Floats


_Logits = Mapping[str, Sequence[Floats]]
_Measures = Mapping[str, _Measured]


def evaluate(
    logits: Mapping[str, Sequence[ArrayLike]],
    target: ArrayLike,
    *,
    teacher: str | None = None,
    comparisons: Sequence[tuple[str, str]] = (),
    scoring: Scoring | None = None,
    metrics: Sequence[str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Measure models on the same rows, with 95% intervals over rows and, where there are several, seeds.

    Args:
        logits: per model, one array `[N, …, C]` per seed; `[N, C]` where a row is of one class.
        target: what is true of each row; its class, `[N]`, unless another scoring is given.
        teacher: the model that the others are compared with by metrics such as `teacher_agreement`; these are left out
            without it, and for the teacher itself.
        comparisons: pairs (a, b); each gives a − b for every metric that both have. Seed s of a is paired with seed s
            of b; a model with one instance is paired with every seed of the other.
        scoring: what targets are and how logits are judged by them; `SingleLabel` by default.
        metrics: names of registered metrics that take these logits and targets; those of the scoring by default.
        draws: of the bootstrap over rows.
        seed: of these draws.

    Returns:
        The metrics, reliability and confusion of each model, and the comparisons.

    Raises:
        ArgumentError: for logits that are not finite, shapes that do not agree, classes out of range, names of models
            or metrics that do not exist, metrics of something else, and pairs with different numbers of seeds.

    >>> found = evaluate({"student": [np.eye(3)]}, [0, 1, 1])
    >>> round(found.models["student"].metrics["accuracy"].value, 3)
    0.667
    """
    scoring = SingleLabel() if scoring is None else scoring
    truth, arrays = _checked(logits, target, scoring)
    for name in [*(name for pair in comparisons for name in pair), *([] if teacher is None else [teacher])]:
        if name not in arrays:
            raise ArgumentError(f"evaluate: no logits of a model {name!r}.{suggest(name, arrays)}")
    for a, b in comparisons:
        _paired(arrays, *((a, b) if len(arrays[a]) >= len(arrays[b]) else (b, a)))
    example = next(iter(arrays.values()))[0]
    chosen = {
        name: _metric(name, scoring, example, truth) for name in (scoring.metrics if metrics is None else metrics)
    }
    resamples = Resamples(len(truth), draws=draws, seed=seed)
    measured = {name: _measure(arrays, name, teacher, truth, chosen, resamples) for name in arrays}
    return Evaluation(
        models={name: _model(arrays[name], truth, measured[name], chosen, scoring) for name in arrays},
        comparisons=tuple(one for a, b in comparisons for one in _compare(a, b, measured, chosen)),
    )


def _checked(
    logits: Mapping[str, Sequence[ArrayLike]], target: ArrayLike, scoring: Scoring
) -> tuple[Integers, _Logits]:
    truth = np.asarray(target)
    if truth.ndim == 0 or len(truth) == 0 or truth.dtype.kind not in "iu":
        raise ArgumentError(
            f"evaluate: target of shape {truth.shape} and type {truth.dtype}; expected integers, [N] or [N, …], N > 0"
        )
    arrays = {name: [np.asarray(one, np.float64) for one in seeds] for name, seeds in logits.items()}
    scoring.check(truth, _shape(arrays, len(truth)))
    return truth.astype(np.int64), arrays


def _metric(name: str, scoring: Scoring, logits: Floats, target: Integers) -> Metric:
    """A metric, of the scoring or one that takes the same."""
    if name in scoring.metrics:
        return scoring.metric(name)
    registry.lookup("metric", name)
    # More rows than any other axis is long, so that no two axes are taken for each other.
    rows = np.arange(sum(logits.shape)) % len(target)
    logits, target = logits[rows], target[rows]
    try:
        metric = scoring.metric(name)
        fits = metric.rows(logits, target, logits if metric.needs_teacher else None).ndim == 2
    except (TypeError, ValueError, IndexError) as error:
        raise _misplaced(name, scoring) from error
    if not fits:
        raise _misplaced(name, scoring)
    return metric


def _misplaced(name: str, scoring: Scoring) -> ArgumentError:
    known = ", ".join(scoring.metrics)
    return ArgumentError(
        f"evaluate: the metric {name!r} is not for logits and targets of {type(scoring).__name__}; its own are {known}"
    )


def _shape(arrays: _Logits, rows: int) -> tuple[int, ...]:
    """The shape that all logits have."""
    shape: tuple[int, ...] | None = None
    for name, seeds in arrays.items():
        if not seeds:
            raise ArgumentError(f"evaluate: {name!r} has no logits; give one array per seed")
        for at, one in enumerate(seeds):
            if one.ndim < 2 or len(one) != rows or one.shape != (shape or one.shape) or one.shape[-1] == 0:
                raise ArgumentError(
                    f"evaluate: logits of {name!r}, seed {at}, have shape {one.shape}; expected "
                    f"{shape or f'({rows}, C)'}: as many rows as targets, the same classes for every model"
                )
            shape = one.shape
            if not np.isfinite(one).all():
                row = int(np.flatnonzero(~np.isfinite(one).reshape(rows, -1).all(axis=1))[0])
                raise ArgumentError(
                    f"evaluate: logits of {name!r}, seed {at}, are not finite (first in row {row}); "
                    "train it with a smaller learning rate or look for bad input"
                )
    if shape is None:
        raise ArgumentError("evaluate: no models; give logits under the name of each model")
    return shape


def _paired(arrays: _Logits, name: str, other: str) -> Sequence[Floats]:
    """The logits of `other`, one for each seed of `name`; a single one serves all."""
    own, theirs = len(arrays[name]), arrays[other]
    if len(theirs) not in (1, own):
        raise ArgumentError(
            f"evaluate: {name!r} has {own} seeds and {other!r} has {len(theirs)}; expected as many, or one alone"
        )
    return list(theirs) * own if len(theirs) == 1 else theirs


def _measure(
    arrays: _Logits, name: str, teacher: str | None, target: Integers, metrics: Mapping[str, Metric], draws: Resamples
) -> _Measures:
    teachers = None if teacher is None or teacher == name else _paired(arrays, name, teacher)
    usable = {key: metric for key, metric in metrics.items() if teachers is not None or not metric.needs_teacher}
    per_seed = []
    for at, logits in enumerate(arrays[name]):
        rows = [one.rows(logits, target, None if teachers is None else teachers[at]) for one in usable.values()]
        table = np.concatenate(rows, axis=1)
        cuts = np.cumsum([one.shape[1] for one in rows])[:-1]
        # The first row is the mean over the rows as they are, the others are the draws.
        means = np.split(np.concatenate([table.mean(axis=0)[None], draws.means(table)]), cuts, axis=1)
        per_seed.append([one.value(mean) for one, mean in zip(usable.values(), means, strict=True)])
    return {
        key: _Measured(np.array([seed[k][0] for seed in per_seed]), np.array([seed[k][1:] for seed in per_seed]))
        for k, key in enumerate(usable)
    }


def _model(
    seeds: Sequence[Floats], target: Integers, measures: _Measures, metrics: Mapping[str, Metric], scoring: Scoring
) -> ModelEvaluation:
    truth, logits = np.concatenate([target] * len(seeds)), np.concatenate(seeds)
    return ModelEvaluation(
        metrics={key: interval(one.values, one.draws, bounds=metrics[key].bounds) for key, one in measures.items()},
        scope="rows" if len(seeds) == 1 else "rows+seeds",
        seeds=tuple({key: float(one.values[at]) for key, one in measures.items()} for at in range(len(seeds))),
        reliability=scoring.reliability(logits, truth),
        confusion=scoring.confusion(logits, truth),
    )


def _compare(a: str, b: str, measured: Mapping[str, _Measures], metrics: Mapping[str, Metric]) -> Iterator[Comparison]:
    for key in [key for key in measured[a] if key in measured[b]]:
        left, right = measured[a][key], measured[b][key]
        width = metrics[key].bounds[1] - metrics[key].bounds[0]
        values = left.values - right.values
        found = interval(values, left.draws - right.draws, bounds=(-width, width))
        yield Comparison(a, b, key, found.value, found.low, found.high, found.scope, seeds=len(values))
