"""The parts of the report that look at models one by one: learning curves, calibration, confusion, and the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from limbeck.report.curves import FINETUNE, LOSS, Line, Quantity, curve_plot, model_of, read_lines, validation
from limbeck.report.files import Run
from limbeck.report.formatting import DASH, count, metric_text, metric_title, percent
from limbeck.report.markup import card, cell, fold, grid, legend, note, section, swatch, table, text
from limbeck.report.moving import moving
from limbeck.report.quality import LARGEST_CONFUSION, confused_pairs, confusion_plot, reliability_plot
from limbeck.report.results import ModelResult, Results, title

__all__ = ["calibration", "confusion", "environment", "learning", "recipe"]


def learning(events: Iterable[Mapping[str, Any]], metric: str) -> str:
    """Training loss and the metric on validation rows against the step, one line per model and seed."""
    logged = list(events)
    losses = read_lines(logged, LOSS)
    validated = validation(metric)
    scores = read_lines(logged, validated)
    if not losses and not scores:
        return section("Learning curves", note("This run trained no model: its event log holds no steps."))
    stages = dict.fromkeys(model_of(line.stage) for line in [*losses, *scores])
    remarks = ["One line per seed. Models with other objectives have losses on other scales."]
    if any(line.stage == FINETUNE for line in losses):
        remarks.append("Dashed: the student's fine-tuning, after its last step.")
    plots = [_curves(losses, LOSS), _curves(scores, validated)]
    return section("Learning curves", note(" ".join(remarks)), legend(stages), grid(plots), moving(logged))


def _curves(lines: list[Line], quantity: Quantity) -> str:
    if not lines:
        return card(f"<h3>{text(quantity.title)}</h3>", note(f"No {quantity.title} was logged."))
    rows = [_line_row(line, quantity) for line in lines]
    head = ["line", "points", "first", "lowest", "highest", "last", "last step"]
    return card(curve_plot(lines, quantity), fold("Values as a table", table(head, rows)))


def _line_row(line: Line, quantity: Quantity) -> list[str]:
    values = [value for _, value in line.points]
    figures = [quantity.write(value) for value in (values[0], min(values), max(values), values[-1])]
    return [text(part) for part in (line.name, count(len(values)), *figures, count(line.points[-1][0]))]


def calibration(results: Results) -> str:
    """One reliability diagram per model."""
    shown = {name: model for name, model in results.models.items() if any(part.count for part in model.reliability)}
    if not shown:
        return section("Reliability", note("This run measured no calibration."))
    counted = "answer" if results.several else results.judged
    against = (
        "The share of rows that have a class against its mean probability"
        if results.several
        else "Accuracy against mean confidence"
    )
    explanation = (
        f"{against} in each bin. Below the diagonal a model is more confident than right, above it less. "
        f"A larger circle stands for more test {counted}s."
    )
    cards = [card(_heading(name, _error(model)), reliability_plot(name, model)) for name, model in shown.items()]
    rows = [row for name, model in shown.items() for row in _bin_rows(name, model)]
    head = ["model", "confidence", f"{counted}s", "mean confidence", "accuracy"]
    values = fold("Values as a table", table(head, rows))
    return section("Reliability", note(explanation), grid(cards, "four"), values)


def _error(model: ModelResult) -> str:
    name = "expected_calibration_error"
    return f"{metric_title(name)} {metric_text(name, model.metric(name).value)}"


def _heading(name: str, remark: str = "") -> str:
    return f"<h3>{swatch(name)}{cell(title(name), remark)}</h3>"


def _bin_rows(name: str, model: ModelResult) -> list[list[str]]:
    return [
        [
            text(title(name)),
            f"{percent(p.low)} to {percent(p.high)}",
            count(p.count),
            percent(p.confidence),
            percent(p.accuracy),
        ]
        for p in model.reliability
        if p.count
    ]


def confusion(results: Results) -> str:
    """Confusion matrices of the student and the teacher that it is compared with."""
    shown = [
        name for name in ("student", results.reference) if name in results.models and results.models[name].confusion
    ]
    if not shown:
        return section("Confusion", note("This run measured no confusion matrix."))
    explanation = "Shade: square root of the cell's share of its true class, so that rare mistakes are seen."
    if len(results.classes) > LARGEST_CONFUSION:
        explanation = (
            f"{count(len(results.classes))} classes are too many to draw: these are the most frequent mistakes."
        )
    cards = [_confusion_card(name, results) for name in shown]
    return section("Confusion", note(explanation), grid(cards))


def _confusion_card(name: str, results: Results) -> str:
    matrix = results.models[name].confusion
    classes = [results.classes[i] if i < len(results.classes) else str(i) for i in range(len(matrix))]
    pairs = [
        [text(classes[row]), text(classes[column]), count(number)] for row, column, number in confused_pairs(matrix)
    ]
    mistakes = table(["true class", "predicted class", f"{results.judged}s"], pairs) if pairs else note("No mistake.")
    heading = _heading(name)
    if len(matrix) > LARGEST_CONFUSION:
        return card(heading, mistakes)
    rows = [[text(label), *map(count, counts)] for label, counts in zip(classes, matrix, strict=True)]
    whole = table(["true, by predicted", *map(text, classes)], rows)
    return card(
        heading,
        confusion_plot(name, classes, matrix),
        fold("Values as a table", whole),
        fold("Most frequent mistakes", mistakes),
    )


def recipe(run: Run) -> str:
    """The resolved recipe, as it stands in the run folder."""
    return f"<section>{fold('Recipe', f'<pre>{text(run.recipe_text)}</pre>', 'print')}</section>"


def environment(run: Run) -> str:
    """Versions, device, threads, revision and seeds."""
    rows = [[text(key), text(value)] for key, value in _flat(run.environment)]
    content = table([], rows, kind="text") if rows else note("Nothing was recorded.")
    return f"<section>{fold('Environment', content, 'print')}</section>"


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        elif value is None:
            rows.append((name, DASH))
        else:
            rows.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows
