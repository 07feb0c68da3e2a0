"""From statistics of batches to metrics, intervals and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import ArgumentError, suggest
from limbeck.measure.accumulator import Accumulator
from limbeck.measure.derived import Derived
from limbeck.measure.evaluation import Comparison, Evaluation, ModelEvaluation
from limbeck.measure.intervals import Interval, Resamples, interval
from limbeck.measure.metric import Floats, Integers, Labels, Metric, MetricInfo, OfMeans, Outputs
from limbeck.measure.metric_fit import check_fit
from limbeck.measure.scoring import Scoring
from limbeck.measure.tables import Table

__all__ = ["Evaluator"]


@dataclass(frozen=True)
class _Measured:
    """A metric of a model: on all rows `[S]`, and in each draw of the rows `[S, draws]`."""

    values: Floats
    draws: Floats


_Measures = Mapping[str, _Measured]


class Evaluator:
    """Evaluate models on the same rows, batch by batch, with 95% intervals over rows and seeds.

    Args:
        scoring: of the task.
        metrics: names of registered metrics, or metrics; those of the scoring by default.
        units: the unit of each row, ``[rows]``, which the bootstrap draws; None if every row is a unit.
        draws: of the bootstrap over rows.
        seed: of these draws.

    Raises:
        ArgumentError: for metrics that do not exist.

    >>> from limbeck.measure import single_label_scoring
    >>> evaluator = Evaluator(single_label_scoring(3), draws=100)
    >>> for rows in (np.array([0, 2]), np.array([1])):
    ...     evaluator.update("student", 0, {"logits": np.eye(3)[rows]}, {"target": rows % 2}, rows=rows)
    >>> round(evaluator.result().models["student"].metrics["accuracy"].value, 3)
    0.667
    """

    def __init__(
        self,
        scoring: Scoring,
        *,
        metrics: Sequence[str | Metric[Any]] | None = None,
        units: Integers | None = None,
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.scoring = scoring if metrics is None else scoring.with_metrics(metrics)
        self.metrics = {metric.name: metric for metric in self.scoring.metrics}
        self._foreign = {name: metric for name, metric in self.metrics.items() if metric not in scoring.metrics}
        self._usual = [metric.name for metric in scoring.metrics]
        self._table_types: dict[str, Table] = {key: table for key, table in scoring.tables.items() if table is not None}
        self._units = units
        self._draws, self._seed = draws, seed
        self._models: dict[str, dict[int, Accumulator]] = {}
        self._known = 0

    def update(
        self,
        name: str,
        seed: int,
        outputs: Outputs,
        labels: Labels,
        reference: Outputs | None = None,
        rows: Integers | None = None,
    ) -> None:
        """Add a batch of a model.

        Args:
            name: of the model.
            seed: of this instance of the model. Seed s of one model is paired with seed s of another.
            outputs: of the model.
            labels: of the rows.
            reference: the outputs of the model that it is compared with by metrics such as `teacher_agreement`; without
                it, these are left out.
            rows: the numbers of these rows in the data set; if None, they follow the rows of the batches before.

        Raises:
            ArgumentError: for outputs that are not finite or do not fit the labels, metrics that do not fit the
                outputs, and a reference that only some batches have.
        """
        for metric in self._foreign.values():
            check_fit(metric, outputs, labels, self._usual)
        self._foreign = {}
        if self.scoring.known is not None:
            self._known += self.scoring.known(labels)
        self._accumulator(name, seed, has_reference=reference is not None).update(outputs, labels, reference, rows)

    def _accumulator(self, name: str, seed: int, *, has_reference: bool) -> Accumulator:
        usable = {key: one for key, one in self.metrics.items() if has_reference or not one.needs_reference}
        accumulator = self._models.setdefault(name, {}).get(seed)
        if accumulator is None:
            accumulator = Accumulator(
                usable,
                tables=self._table_types,
                keep=self.scoring.keep,
                check=self.scoring.check,
                label=f"{name!r}, seed {seed},",
                optional=self.scoring.optional,
            )
            self._models[name][seed] = accumulator
        if accumulator.metrics.keys() != usable.keys():
            raise ArgumentError(
                f"evaluation of {name!r}, seed {seed}: some batches have a reference; give it for all",
                code="mismatch",
                path="reference",
            )
        return accumulator

    def result(self, comparisons: Sequence[tuple[str, str]] = (), derived: Sequence[Derived] = ()) -> Evaluation:
        """The metrics and tables of all models, the comparisons and the derived metrics.

        Args:
            comparisons: pairs (a, b); each gives a − b for every metric that both have. A model with one instance is
                paired with every seed of the other.
            derived: functions of metrics.

        Raises:
            ArgumentError: if there is no model or no known label, an unknown model or metric is named, or models have
                different rows or seeds.
        """
        rows = self._row_count()
        for pair in comparisons:
            self._check_pair(*pair)
        resamples = Resamples(rows, units=self._units, draws=self._draws, seed=self._seed)
        measured = {
            name: _joined([_measure(one, resamples) for one in seeds.values()]) for name, seeds in self._models.items()
        }
        infos = {name: metric.info for name, metric in self.metrics.items()}
        return Evaluation(
            models={name: self._model(name, measured[name], infos) for name in self._models},
            comparisons=tuple(one for a, b in comparisons for one in _compare(a, b, measured, infos)),
            metrics=(*infos.values(), *(one.info for one in derived)),
            derived={one.info.name: self._derive(one, measured) for one in derived},
            statistics=self.tables(),
        )

    def _derive(self, derived: Derived, measured: Mapping[str, _Measures]) -> Interval:
        for model, metric in derived.of:
            self._check_pair(derived.of[0][0], model)
            if metric not in measured[model]:
                raise ArgumentError(
                    f"evaluation: {derived.info.name} reads {metric!r} of {model!r}, which has none."
                    f"{suggest(metric, measured[model])}",
                    code="unknown_name",
                    path=metric,
                )
        parts = [measured[model][metric] for model, metric in derived.of]
        values = np.stack(np.broadcast_arrays(*(part.values for part in parts)))
        draws = np.stack(np.broadcast_arrays(*(part.draws for part in parts)))
        return interval(derived.function(values), derived.function(draws), bounds=derived.info.bounds)

    def _row_count(self) -> int:
        """The number of rows, each of which every instance must have once."""
        if not self._models:
            raise ArgumentError(
                "evaluation: no models; give the outputs of at least one", code="missing", path="models"
            )
        if self.scoring.known is not None and self._known == 0:
            raise ArgumentError(
                "evaluation: no label is known in any row; give rows with labels", code="missing", path="labels"
            )
        instances = [(name, seed, one.rows) for name, seeds in self._models.items() for seed, one in seeds.items()]
        count = len(instances[0][2])
        for name, seed, rows in instances:
            if not np.array_equal(np.sort(rows), np.arange(count)):
                raise ArgumentError(
                    f"evaluation: {name!r}, seed {seed}, has {len(rows)} rows, numbered from {rows.min(initial=0)} to "
                    f"{rows.max(initial=0)}; expected each of rows 0 to {count - 1} once, as for {instances[0][0]!r}",
                    code="mismatch",
                    path=name,
                )
        return count

    def _check_pair(self, a: str, b: str) -> None:
        for name in (a, b):
            if name not in self._models:
                raise ArgumentError(
                    f"evaluation: no model {name!r}.{suggest(name, self._models)}", code="unknown_name", path=name
                )
        seeds = len(self._models[a]), len(self._models[b])
        if 1 not in seeds and self._models[a].keys() != self._models[b].keys():
            raise ArgumentError(
                f"evaluation: {a!r} has {seeds[0]} seeds and {b!r} has {seeds[1]}; expected the same seeds, or one "
                "alone",
                code="mismatch",
                path=b,
            )

    def _model(self, name: str, measures: _Measures, infos: Mapping[str, MetricInfo]) -> ModelEvaluation:
        seeds = list(self._models[name].values())
        return ModelEvaluation(
            metrics={key: interval(one.values, one.draws, bounds=infos[key].bounds) for key, one in measures.items()},
            scope="rows" if len(seeds) == 1 else "rows+seeds",
            seeds=tuple({key: float(one.values[at]) for key, one in measures.items()} for at in range(len(seeds))),
            tables={
                key: [] if table is None else table.summary(np.concatenate([one.entries(key) for one in seeds]))
                for key, table in self.scoring.tables.items()
            },
            breakdown=_breakdown(seeds),
        )

    def tables(self) -> dict[str, NDArray[Any]]:
        """The statistics of every metric of every model, as arrays to store.

        The keys are ``MODEL/SEED/METRIC``, with ``/PART`` behind it where a metric has several arrays. Rows of an
        `OfMeans` are in the order of the data set, those of other metrics in the order of ``MODEL/SEED/rows``.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for name, seeds in self._models.items():
            for seed, accumulator in seeds.items():
                arrays[f"{name}/{seed}/rows"] = accumulator.rows
                for key, metric in accumulator.metrics.items():
                    for part, array in metric.arrays(accumulator.statistics(key)).items():
                        arrays[f"{name}/{seed}/{key}{f'/{part}' if part else ''}"] = array
        return arrays if self._units is None else {**arrays, "units": self._units}

    def kept(self, name: str, seed: int) -> dict[str, list[NDArray[Any]]]:
        """The outputs that the scoring keeps, one entry for each row."""
        return {output: self._models[name][seed].kept(output) for output in self.scoring.keep}


def _measure(accumulator: Accumulator, resamples: Resamples) -> dict[str, tuple[float, Floats]]:
    """The value of each metric of an instance, and its values in the draws.

    Functions of means are computed from one table: another grouping of the products changes the last digits.
    """
    statistics = {name: accumulator.statistics(name) for name in accumulator.metrics}
    of_means = {name: one for name, one in accumulator.metrics.items() if isinstance(one, OfMeans)}
    drawn: dict[str, Floats] = {}
    if of_means:
        parts = [statistics[name] for name in of_means]
        table = np.concatenate(parts, axis=1)
        cuts = np.cumsum([part.shape[1] for part in parts])[:-1]
        # The first row is the mean over the rows as they are, the others are the draws.
        means = np.split(np.concatenate([table.mean(axis=0)[None], resamples.means(table)]), cuts, axis=1)
        drawn = {name: one.of_means(mean) for (name, one), mean in zip(of_means.items(), means, strict=True)}
    for name, metric in accumulator.metrics.items():
        if name not in drawn:
            chunks = [np.ones((1, len(accumulator))), *resamples.weights(accumulator.rows)]
            drawn[name] = np.concatenate([metric.value(statistics[name], weights) for weights in chunks])
    return {name: (float(drawn[name][0]), drawn[name][1:]) for name in accumulator.metrics}


def _joined(seeds: Sequence[Mapping[str, tuple[float, Floats]]]) -> _Measures:
    return {
        name: _Measured(np.array([seed[name][0] for seed in seeds]), np.array([seed[name][1] for seed in seeds]))
        for name in seeds[0]
        if all(name in seed for seed in seeds)
    }


def _breakdown(seeds: Sequence[Accumulator]) -> dict[str, dict[str, float]]:
    """Metrics per class or target, as means over seeds."""
    found = {}
    for name, metric in seeds[0].metrics.items():
        each = [metric.breakdown(seed.statistics(name), np.ones((1, len(seed)))) for seed in seeds]
        if each[0]:
            found[name] = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
    return found


def _compare(
    a: str, b: str, measured: Mapping[str, _Measures], infos: Mapping[str, MetricInfo]
) -> Iterator[Comparison]:
    for key in [key for key in measured[a] if key in measured[b]]:
        left, right = measured[a][key], measured[b][key]
        width = infos[key].bounds[1] - infos[key].bounds[0]
        values = left.values - right.values
        found = interval(values, left.draws - right.draws, bounds=(-width, width))
        yield Comparison(a, b, infos[key], found.value, found.low, found.high, found.scope, seeds=len(values))
