"""What the students did on the test rows, as a table in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.measure import Comparison, Evaluation, evaluate
from loss_catalogue.bench import Bench
from loss_catalogue.choices import Choice, Trials
from loss_catalogue.methods import CONTROL, PLAIN
from loss_catalogue.runs import Record
from loss_catalogue.training import logits_of

__all__ = ["section"]

_teacher = "teacher"

_words = {
    "helped": "helped",
    "no difference": "made no difference that this run can show",
    "hurt": "hurt",
    "diverged": "diverged",
}


@dataclass(frozen=True)
class _Row:
    """One line: what was chosen, how it did, and what that says."""

    choice: Choice
    accuracy: float | None
    control: Comparison | None
    plain: Comparison | None
    diverged: str

    @property
    def effect(self) -> str:
        """What the interval against the control allows to say."""
        if self.diverged:
            return "diverged"
        if self.control is None:
            return ""
        if not self.control.clear:
            return "no difference"
        return "helped" if self.control.difference > 0 else "hurt"


def section(bench: Bench, trials: Trials, times: Mapping[str, float]) -> str:
    """The figures and the table of one setting."""
    judged = {choice.method.name: trials.judged(choice) for choice in trials.choices()}
    logits: dict[str, list[NDArray[np.float32]]] = {
        name: [np.load(trials.ledger.logits / f"{record['key']}.npy") for record in records]
        for name, records in judged.items()
        if not any(record["diverged"] for record in records)
    }
    logits[_teacher] = [logits_of(bench.teacher(), bench.rows.test, bench.device)]
    found = _evaluated(logits, bench)
    rows = [_row(choice, judged[choice.method.name], found) for choice in trials.choices()]
    rows.sort(key=lambda row: -1.0 if row.accuracy is None else row.accuracy, reverse=True)
    return "\n\n".join([_heading(bench, trials, found), _counts(rows), _table(rows, times), _machine(bench)])


def _evaluated(logits: Mapping[str, Sequence[NDArray[np.float32]]], bench: Bench) -> Evaluation:
    pairs = [(name, base.name) for name in logits if name != _teacher for base in (CONTROL, PLAIN)]
    pairs = [(name, base) for name, base in pairs if name != base and base in logits]
    return evaluate(logits, bench.rows.test.target.numpy(), comparisons=pairs, metrics=("accuracy",))


def _row(choice: Choice, judged: Sequence[Record], found: Evaluation) -> _Row:
    name, diverged = choice.method.name, sum(bool(record["diverged"]) for record in judged)
    if diverged:
        return _Row(choice, None, None, None, f"{diverged} of {len(judged)} diverged")
    against = {(one.a, one.b): one for one in found.comparisons}
    control, plain = against.get((name, CONTROL.name)), against.get((name, PLAIN.name))
    return _Row(choice, found.models[name].metrics["accuracy"].value, control, plain, "")


def _heading(bench: Bench, trials: Trials, found: Evaluation) -> str:
    study, rows = bench.study, bench.rows
    size, accuracy = bench.sizes(), found.models[_teacher].metrics["accuracy"].value
    return (
        f"### {bench.setting.title}\n\n"
        f"Student of {size['student']:,} parameters, {len(rows.train):,} training rows, {study.epochs} epochs of "
        f"{len(rows.train) // study.batch_size} steps with {study.batch_size} rows, last epoch, {study.seeds} seeds. "
        f"Teacher of {size['teacher']:,} parameters, test accuracy {accuracy:.2%}. "
        f"{len(rows.test):,} test rows, {len(rows.validation):,} validation rows. Learning rate {trials.rate():g}, the "
        f"best for the control among {', '.join(f'{rate:g}' for rate in trials.rates)} on the validation rows."
    )


def _counts(rows: Sequence[_Row]) -> str:
    effects = [row.effect for row in rows if row.choice.method.loss is not None]
    told = [f"{effects.count(effect)} {words}" for effect, words in _words.items() if effect in effects]
    return f"Of {len(effects)} methods, against the control: {', '.join(told)}."


def _table(rows: Sequence[_Row], times: Mapping[str, float]) -> str:
    head = "| method | reads | weight | validation | test | against the control | | against plain KD | time of a step |"
    return "\n".join([head, "|---|---|--:|--:|--:|--:|---|--:|--:|", *(_line(row, times) for row in rows)])


def _line(row: _Row, times: Mapping[str, float]) -> str:
    method = row.choice.method
    mark = "" if method.published else "†"
    time = f"{times[method.name]:.2f}" if method.name in times else ""
    cells = [
        f"`{method.loss}`{method.name.removeprefix(method.loss)}" if method.loss else method.name,
        method.reads,
        f"{method.weight:g}{mark} × {row.choice.scale:g}" if method.loss else "",
        "diverged" if row.choice.accuracy is None else f"{100 * row.choice.accuracy:.1f}",
        row.diverged if row.accuracy is None else f"{100 * row.accuracy:.2f}",
        _points(row.control),
        row.effect,
        _points(row.plain),
        time + ("" if method.teacher == "stored" else "‡"),
    ]
    return f"| {' | '.join(cells)} |"


def _points(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    difference, low, high = (100 * value for value in (comparison.difference, comparison.low, comparison.high))
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"


def _machine(bench: Bench) -> str:
    where = (
        f"{platform.machine()}, one thread a student" if bench.device.type == "cpu" else torch.cuda.get_device_name()
    )
    return f"Computed with torch {torch.__version__.partition('+')[0]} on {where}."
