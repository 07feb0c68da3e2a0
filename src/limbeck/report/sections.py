"""The parts of the report that compare models: header, table, differences, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from limbeck.report.charts import Cost, interval_plot, scatter
from limbeck.report.formatting import (
    DASH,
    bracket,
    count,
    difference,
    direction,
    finite,
    metric_text,
    metric_title,
    milliseconds,
    scaled,
    sentence_case,
    significant,
    size,
)
from limbeck.report.markup import card, cell, fold, grid, legend, note, section, swatch, table, text
from limbeck.report.results import Comparison, Latency, ModelResult, Results, Throughput, title

__all__ = ["costs", "differences", "every_metric", "header", "summary"]

_Row = tuple[str, Callable[[ModelResult], str]]
_SURENESS = {"expected_calibration_error": "15 bins", "negative_log_likelihood": "nats", "masked_cross_entropy": "nats"}


def header(results: Results) -> str:
    """Title, verdict and the facts that say what was measured."""
    facts = {
        "task": results.task.replace("_", " "),
        "classes": count(len(results.classes)) if results.classes else DASH,
        "input": _input(results),
        "test rows": count(results.test_rows),
        "seeds": ", ".join(map(str, results.seeds)) or DASH,
        "labels: training": count(results.label_budget.get("training")),
        "labels: validation": count(results.label_budget.get("validation")),
        "rows without label": count(results.label_budget.get("unlabelled")),
    }
    if "copies" in results.label_budget:
        facts["copies in other words"] = count(results.label_budget["copies"])
    listed = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())
    return (
        f'<p class="kicker">limbeck run</p><h1>{text(results.recipe)}</h1>'
        f'<p class="verdict">{text(results.verdict or DASH)}</p><dl class="facts">{listed}</dl>'
    )


def _input(results: Results) -> str:
    return DASH if results.input is None else results.input.shape


def summary(results: Results) -> str:
    """The main table: one column per model, one row per quantity."""
    rows: list[_Row] = [
        (cell(metric_title(results.metric), "95% interval"), lambda model: _metric(model, results.metric)),
        *_beside(results),
        (cell("parameters"), lambda model: cell(count(model.cost.parameters))),
        (cell("FLOPs", "one row"), lambda model: cell(scaled(model.cost.flops))),
        (cell("shipped file"), lambda model: cell(size(model.cost.bytes))),
        (cell("latency", "one row: median, quartiles"), lambda model: _latency(model.cost.latency_ms or Latency())),
        (cell("throughput", "rows per second"), lambda model: _throughput(model.cost.throughput or Throughput())),
    ]
    models = results.models
    head = ["", *(swatch(name) + text(title(name)) for name in models)]
    body = [[name, *(show(model) for model in models.values())] for name, show in rows]
    return section(
        "Results on the test split",
        card(table(head, body, kind="main-table")),
        note(_scope_note(results)),
        fold("Every metric, and every seed", every_metric(results)),
    )


def _beside(results: Results) -> Iterator[_Row]:
    """What stands below the metric that decides."""
    for name, unit in _SURENESS.items():
        if any(name in model.metrics for model in results.models.values()):
            yield cell(metric_title(name), unit), partial(_metric, name=name)


def _metric(model: ModelResult, name: str) -> str:
    estimate = model.metric(name)
    ends = bracket(estimate.low, estimate.high, lambda end: metric_text(name, end, unit=False))
    return cell(metric_text(name, estimate.value), ends)


def _latency(latency: Latency) -> str:
    quartiles = bracket(latency.low, latency.high, lambda end: milliseconds(end, unit=False))
    threads = "" if latency.threads is None else f" {latency.threads} thread{'s' if latency.threads != 1 else ''}"
    return text(milliseconds(latency.median)) + "".join(
        f"<small>{text(part)}</small>" for part in (quartiles, threads) if part
    )


def _throughput(throughput: Throughput) -> str:
    batch = "" if throughput.batch is None else f"batches of {throughput.batch}"
    return cell(count(throughput.rows_per_second), batch)


def _scope_note(results: Results) -> str:
    over: dict[str, list[str]] = {}
    for name, model in results.models.items():
        over.setdefault("test rows and seeds" if model.scope == "rows+seeds" else "test rows", []).append(title(name))
    scopes = "; ".join(f"over {scope} for {', '.join(names)}" for scope, names in over.items())
    export = results.export
    parity = ""
    if export is not None:
        limit = f" (tolerance {significant(export.tolerance)})" if finite(export.tolerance) is not None else ""
        parity = (
            f" The exported file differs from the PyTorch model by at most {significant(export.max_difference)}{limit}"
            f" on {count(export.rows)} rows."
        )
    return f"95% intervals, {scopes}: rows by the bootstrap, seeds by Student's t. Values are means over seeds.{parity}"


def every_metric(results: Results) -> str:
    """All metrics with intervals, and each seed's value."""
    names = list(dict.fromkeys(name for model in results.models.values() for name in model.metrics))
    head = ["", *(text(title(name)) for name in results.models)]
    rows = [
        [cell(metric_title(name), direction(name)), *(_metric(m, name) for m in results.models.values())]
        for name in names
    ]
    seeds = [
        [
            text(f"{title(name)}, seed {entry.seed}"),
            *(text(metric_text(metric, entry.metrics.get(metric))) for metric in names),
        ]
        for name, model in results.models.items()
        for entry in model.seeds
    ]
    return table(head, rows) + (table(["", *(text(metric_title(name)) for name in names)], seeds) if seeds else "")


def differences(results: Results) -> str:
    """What distillation changed: the paired differences as a plot and as a table."""
    if not results.comparisons:
        return section("Differences", note("This run compares no models."))
    by_metric: dict[str, list[Comparison]] = {}
    for comparison in results.comparisons:
        by_metric.setdefault(comparison.metric, []).append(comparison)
    plots = [
        card(interval_plot(metric, found))
        for metric, found in by_metric.items()
        if any(finite(comparison.difference) is not None for comparison in found)
    ]
    rows = [_difference_row(comparison) for comparison in results.comparisons]
    listed = table(["difference", "value", "95% interval", "0 inside"], rows, kind="differences")
    return section(
        "Differences",
        note("Paired on the same test rows. An interval with 0 inside is no evidence of a difference."),
        grid(plots),
        fold("All differences as a table", listed),
    )


def _difference_row(comparison: Comparison) -> list[str]:
    metric = comparison.metric
    low, high = finite(comparison.low), finite(comparison.high)
    inside = DASH if low is None or high is None else "yes" if low <= 0 <= high else "no"
    ends = bracket(low, high, lambda end: difference(metric, end, unit=False)) or DASH
    name = f"{title(comparison.a)} − {title(comparison.b)}"
    over = f"over {comparison.scope.replace('+', ' and ')}"
    return [cell(name, metric_title(metric)), text(difference(metric, comparison.difference)), cell(ends, over), inside]


def costs(results: Results) -> str:
    """The metric that decides against latency and against the size of the file."""
    latency = {
        n: cost for n, model in results.models.items() if (cost := _latency_cost(model.cost.latency_ms)) is not None
    }
    bytes_ = {n: cost for n, model in results.models.items() if (cost := _point_cost(model.cost.bytes)) is not None}
    plots = [
        _cost_card(results, latency, "latency, one row", "latency", milliseconds),
        _cost_card(results, bytes_, "size of the file", "file size", size),
    ]
    return section(f"{sentence_case(metric_title(results.metric))} against cost", legend(results.models), grid(plots))


def _cost_card(
    results: Results, found: dict[str, Cost], axis: str, short: str, write: Callable[[float | None], str]
) -> str:
    main = results.metric
    scores = {name: model.metric(main) for name, model in results.models.items()}
    drawn = [name for name in found if finite(scores[name].value) is not None]
    missing = [title(name) for name in results.models if name not in drawn]
    absent = note(f"No {short} was measured for: {', '.join(missing)}.") if missing else ""
    if not drawn:
        return card(absent)
    rows = [
        [text(title(n)), _metric(results.models[n], main), cell(write(found[n].value), _spread(found[n], write))]
        for n in drawn
    ]
    values = fold("Values as a table", table(["model", text(metric_title(main)), text(axis)], rows))
    return card(scatter(main, scores, {name: found[name] for name in drawn}, axis, write), absent, values)


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
