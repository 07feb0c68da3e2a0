"""The sections of the report that show one model or one run: learning curves, calibration, confusion, the recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from limbeck.report.animated_values import animated_values
from limbeck.report.calibration_plots import LARGEST_CONFUSION, confused_pairs, confusion_plot, reliability_plot
from limbeck.report.curves import FINETUNE, LOSS, Line, Quantity, curve_plot, model_of, read_lines, validation
from limbeck.report.files import Run
from limbeck.report.formatting import DASH, count, counted, percent, plural
from limbeck.report.markup import card, cell, fold, grid, legend, note, section, swatch, table, text
from limbeck.report.results import ModelResult, Results, title

__all__ = ["calibration", "confusion", "environment", "learning", "recipe"]


def learning(events: Iterable[Mapping[str, Any]], results: Results) -> str:
    """Training loss and the metric on validation rows against the step, one line per model and seed."""
    logged = list(events)
    losses = read_lines(logged, LOSS)
    validated = validation(results.metric, results.main)
    scores = read_lines(logged, validated)
    if not losses and not scores:
        return ""
    stages = dict.fromkeys(model_of(line.stage) for line in [*losses, *scores])
    remarks = ["One line per seed. Losses of models with different objectives have different scales."]
    if any(line.stage == FINETUNE for line in losses):
        remarks.append("Dashed lines show the student's fine-tuning, which follows its last step.")
    plots = [_curves(losses, LOSS), _curves(scores, validated)]
    return section("Learning curves", note(" ".join(remarks)), legend(stages), grid(plots), animated_values(logged))


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
    """One reliability diagram per model; nothing if no model has bins."""
    shown = {name: model for name, model in results.models.items() if any(part.count for part in model.reliability)}
    if not shown:
        return ""
    decision = results.decision
    explanation = (
        "The observed frequency of what the model predicts against the confidence with which it predicts it, in bins "
        "of confidence. A model is overconfident below the diagonal and underconfident above it. "
        f"A larger circle stands for more {plural(decision)} of the test split."
    )
    cards = [card(_heading(name), reliability_plot(name, model, decision)) for name, model in shown.items()]
    rows = [row for name, model in shown.items() for row in _bin_rows(name, model)]
    head = ["model", "confidence", text(plural(decision)), "mean confidence", "observed frequency"]
    values = fold("Values as a table", table(head, rows))
    return section("Reliability", note(explanation), grid(cards, "four"), values)


def _heading(name: str) -> str:
    return f"<h3>{swatch(name)}{cell(title(name))}</h3>"


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
    """Confusion matrices of the student and the teacher that it is compared with; nothing if neither has one."""
    shown = [
        name for name in ("student", results.reference) if name in results.models and results.models[name].confusion
    ]
    if not shown:
        return ""
    label = results.task_description.label
    size = max(len(results.models[name].confusion) for name in shown)
    explanation = f"The shade is the square root of a cell's share of its true {label}, so that rare mistakes are seen."
    if size > LARGEST_CONFUSION:
        explanation = f"A matrix of {counted(size, label)} is too large to draw: these are the most frequent mistakes."
    return section("Confusion", note(explanation), grid([_confusion_card(name, results) for name in shown]))


def _confusion_card(name: str, results: Results) -> str:
    matrix, label, decision = results.models[name].confusion, results.task_description.label, results.decision
    classes = [results.classes[i] if i < len(results.classes) else str(i) for i in range(len(matrix))]
    pairs = [
        [text(classes[row]), text(classes[column]), count(number)] for row, column, number in confused_pairs(matrix)
    ]
    head = [text(words) for words in (f"true {label}", f"predicted {label}", plural(decision))]
    mistakes = table(head, pairs) if pairs else note("No mistakes.")
    heading = _heading(name)
    if len(matrix) > LARGEST_CONFUSION:
        return card(heading, mistakes)
    rows = [[text(true), *map(count, counts)] for true, counts in zip(classes, matrix, strict=True)]
    whole = table(["true, by predicted", *map(text, classes)], rows)
    return card(
        heading,
        confusion_plot(name, classes, matrix, label=label, decision=decision),
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
