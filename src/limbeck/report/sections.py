"""The sections of the report that compare models: header, results, differences, costs."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.report.charts import Cost, interval_plot, scatter
from limbeck.report.formatting import (
    DASH,
    bracket,
    count,
    finite,
    milliseconds,
    scaled,
    sentence_case,
    significant,
    size,
)
from limbeck.report.markup import card, cell, fold, grid, legend, note, section, swatch, table, text
from limbeck.report.metric_description import MetricDescription
from limbeck.report.results import Comparison, Estimate, Latency, ModelResult, Results, Throughput, title

__all__ = ["costs", "differences", "header", "summary"]

_Row = tuple[str, Callable[[ModelResult], str]]
_LABELS = {"training": "training labels", "validation": "validation labels", "unlabelled": "rows without labels"}


def header(results: Results) -> str:
    """Title, verdict and the facts that say what was measured."""
    facts = {
        "task": results.task_title,
        "input": results.task_description.input,
        "output": results.task_description.output,
        "test rows": count(results.test_rows),
        "seeds": ", ".join(map(str, results.seeds)) or DASH,
        **{_LABELS.get(kind, kind.replace("_", " ")): count(number) for kind, number in results.label_budget.items()},
    }
    listed = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())
    return (
        f'<p class="kicker">limbeck run</p><h1>{text(results.recipe)}</h1>'
        f'<p class="verdict">{text(results.verdict or DASH)}</p><dl class="facts">{listed}</dl>'
    )


def summary(results: Results) -> str:
    """The main table: one column per model, one row per metric and per cost that some model has."""
    rows = [*(_metric_row(results.metrics[name], name) for name in results.measured), *_cost_rows()]
    models = results.models
    head = ["", *(swatch(name) + text(title(name)) for name in models)]
    body = [[name, *(show(model) for model in models.values())] for name, show in rows]
    body = [row for row in body if any(shown != DASH for shown in row[1:])]
    return section(
        "Results on the test split",
        card(table(head, body, kind="main-table")),
        note(_interval_note(results)),
        *(note(sentence) for sentence in results.fitted),
        _seeds(results),
    )


def _metric_row(metric: MetricDescription, name: str) -> _Row:
    return cell(metric.title, metric.direction), lambda model: _estimate(metric, model.metric(name))


def _cost_rows() -> list[_Row]:
    return [
        (cell("parameters"), lambda model: cell(count(model.cost.parameters))),
        (cell("FLOPs", "one row"), lambda model: cell(scaled(model.cost.flops))),
        (cell("file size"), lambda model: cell(size(model.cost.bytes))),
        (cell("latency", "one row: median, quartiles"), lambda model: _latency(model.cost.latency_ms or Latency())),
        (cell("throughput", "rows per second"), lambda model: _throughput(model.cost.throughput or Throughput())),
    ]


def _estimate(metric: MetricDescription, estimate: Estimate) -> str:
    ends = bracket(estimate.low, estimate.high, lambda end: metric.text(end, unit=False))
    return cell(metric.text(estimate.value), ends)


def _latency(latency: Latency) -> str:
    quartiles = bracket(latency.low, latency.high, lambda end: milliseconds(end, unit=False))
    threads = "" if latency.threads is None else f" {latency.threads} thread{'s' if latency.threads != 1 else ''}"
    return text(milliseconds(latency.median)) + "".join(
        f"<small>{text(part)}</small>" for part in (quartiles, threads) if part
    )


def _throughput(throughput: Throughput) -> str:
    batch = "" if throughput.batch is None else f"batches of {throughput.batch}"
    return cell(count(throughput.rows_per_second), batch)


def _interval_note(results: Results) -> str:
    over: dict[str, list[str]] = {}
    for name, model in results.models.items():
        over.setdefault("test rows and seeds" if model.scope == "rows+seeds" else "test rows", []).append(title(name))
    scopes = "; ".join(f"over {scope} for {', '.join(names)}" for scope, names in over.items())
    return (
        f"Values are means over seeds, with 95% intervals {scopes}. Test rows are resampled by the bootstrap; seeds "
        f"enter by Student's t.{_parity_note(results)}"
    )


def _parity_note(results: Results) -> str:
    export = results.export
    if export is None:
        return ""
    limit = f" (tolerance {significant(export.tolerance)})" if finite(export.tolerance) is not None else ""
    return (
        f" Outputs of the exported file differ from those of the PyTorch model by at most "
        f"{significant(export.max_difference)}{limit} on {count(export.rows)} rows."
    )


def _seeds(results: Results) -> str:
    """The values of each seed, folded."""
    names = results.measured
    rows = [
        [
            text(f"{title(name)}, seed {entry.seed}"),
            *(text(results.metrics[metric].text(entry.metrics.get(metric))) for metric in names),
        ]
        for name, model in results.models.items()
        for entry in model.seeds
    ]
    head = ["", *(text(results.metrics[name].title) for name in names)]
    return fold("Every seed", table(head, rows)) if rows else ""


def differences(results: Results) -> str:
    """The paired differences between models, as a plot and as a table; nothing without a comparison."""
    if not results.comparisons:
        return ""
    by_metric: dict[str, list[Comparison]] = {}
    for comparison in results.comparisons:
        by_metric.setdefault(comparison.metric, []).append(comparison)
    plots = [
        card(interval_plot(results.metrics[name], compared))
        for name, compared in by_metric.items()
        if any(finite(comparison.difference) is not None for comparison in compared)
    ]
    rows = [_difference_row(results.metrics[comparison.metric], comparison) for comparison in results.comparisons]
    listed = table(["difference", "value", "95% interval", "better"], rows, kind="differences")
    return section(
        "Differences",
        note(
            "Differences are paired: both models predict the same test rows. An interval that contains 0 is no "
            "evidence of a difference."
        ),
        grid(plots),
        fold("All differences as a table", listed),
    )


def _difference_row(metric: MetricDescription, comparison: Comparison) -> list[str]:
    better = metric.better(comparison.low, comparison.high)
    ends = bracket(comparison.low, comparison.high, lambda end: metric.difference(end, unit=False)) or DASH
    return [
        cell(f"{title(comparison.a)} − {title(comparison.b)}", metric.title),
        text(metric.difference(comparison.difference)),
        cell(ends, f"over {comparison.scope.replace('+', ' and ')}"),
        text("not clear" if better is None else title(comparison.a if better else comparison.b)),
    ]


def costs(results: Results) -> str:
    """The metric that decides against latency and against the size of the file; nothing if no cost is known."""
    latency = {
        n: cost for n, model in results.models.items() if (cost := _latency_cost(model.cost.latency_ms)) is not None
    }
    bytes_ = {n: cost for n, model in results.models.items() if (cost := _point_cost(model.cost.bytes)) is not None}
    if not latency and not bytes_:
        return ""
    plots = [
        _cost_card(results, latency, "latency, one row", "latency", milliseconds),
        _cost_card(results, bytes_, "file size", "file size", size),
    ]
    return section(f"{sentence_case(results.main.title)} against cost", legend(results.models), grid(plots))


def _cost_card(
    results: Results, costs: dict[str, Cost], axis: str, short: str, write: Callable[[float | None], str]
) -> str:
    metric = results.main
    scores = {name: model.metric(results.metric) for name, model in results.models.items()}
    drawn = [name for name in costs if finite(scores[name].value) is not None]
    missing = [title(name) for name in results.models if name not in drawn]
    absent = note(f"No {short} was measured for: {', '.join(missing)}.") if missing else ""
    if not drawn:
        return card(absent)
    rows = [
        [text(title(n)), _estimate(metric, scores[n]), cell(write(costs[n].value), _spread(costs[n], write))]
        for n in drawn
    ]
    values = fold("Values as a table", table(["model", text(metric.title), text(axis)], rows))
    return card(scatter(metric, scores, {name: costs[name] for name in drawn}, axis, write), absent, values)


def _spread(cost: Cost, write: Callable[[float | None], str]) -> str:
    return f"[{write(cost.low)}, {write(cost.high)}]" if cost.high > cost.low else ""


def _latency_cost(latency: Latency | None) -> Cost | None:
    known = _point_cost(latency.median if latency else None)
    if latency is None or known is None:
        return None
    low, high = _point_cost(latency.low), _point_cost(latency.high)
    return known if low is None or high is None else Cost(known.value, low.value, high.value)


def _point_cost(value: float | None) -> Cost | None:
    known = finite(value)
    return Cost(known, known, known) if known is not None and known > 0 else None
