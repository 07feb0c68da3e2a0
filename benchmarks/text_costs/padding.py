"""Batches of about one length, padded to their longest row, against batches in the plan's order, padded to 128."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor, nn

from limbeck.core import logits_of
from limbeck.data import Batch, Plan, TextSet
from limbeck.data.text_batches import TextBatches, read_rows, whole_texts
from limbeck.data.tokens import TokenizerView
from limbeck.measure import evaluate
from limbeck.measure.evaluation import Comparison
from text_costs.setting import LENGTH, Setting
from text_costs.turns import Source, Spread, in_turns, trainer

__all__ = ["LEAST", "Padding", "measure", "section"]

# As many steps as batches by length have their rows in common.
LEAST, TURN = 1.5, 32
BUCKETED, PADDED = "by length", f"padded to {LENGTH}"


@dataclass(frozen=True)
class Padded:
    """The batches of a plan, each padded to 128 tokens."""

    data: TextSet
    plan: Plan
    reading: TokenizerView

    def iterate(self, start_step: int, stop_step: int) -> Iterator[Batch]:
        for step in range(start_step, stop_step):
            yield read_rows(self.data, self.plan.rows(step)[0], {"own": self.reading}, least=LENGTH)


@dataclass(frozen=True)
class Padding:
    """What was found.

    Args:
        with_full_batches: the share of places that hold padding, of each kind of batches.
        epoch: seconds of an epoch: the mean turn's, times the turns of an epoch.
        ratio: of the seconds of two turns over the same rows.
        accuracy: the mean over seeds.
        difference: of the accuracies.
    """

    with_full_batches: dict[str, float]
    epoch: dict[str, float]
    ratio: Spread
    accuracy: dict[str, float]
    difference: Comparison


def measure(setting: Setting) -> Padding:
    seconds: dict[str, list[float]] = {BUCKETED: [], PADDED: []}
    logits: dict[str, list[Tensor]] = {BUCKETED: [], PADDED: []}
    train, test = setting.train, setting.test
    for seed in range(setting.seeds):
        plan = setting.plan(seed)
        sources = {
            BUCKETED: TextBatches(train, plan, {"own": setting.reading}),
            PADDED: Padded(train, plan, setting.reading),
        }
        students = {name: setting.student() for name in sources}
        torch.manual_seed(seed)
        runs = {name: trainer(students[name], sources[name], setting.learning_rate) for name in sources}
        found = in_turns(runs, setting.epochs * plan.steps_per_epoch, TURN)
        for name, student in students.items():
            seconds[name] += found[name]
            logits[name].append(read(student, test, setting.reading))
    evaluation = evaluate(logits, test.target, comparisons=[(BUCKETED, PADDED)], metrics=["accuracy"])
    turns = plan.steps_per_epoch / TURN
    return Padding(
        with_full_batches={name: with_full_batches(source, plan.steps_per_epoch) for name, source in sources.items()},
        epoch={name: turns * mean(found) for name, found in seconds.items()},
        ratio=Spread.of([long / short for long, short in zip(seconds[PADDED], seconds[BUCKETED], strict=True)]),
        accuracy={name: evaluation.models[name].metrics["accuracy"].value for name in sources},
        difference=evaluation.comparison(BUCKETED, PADDED, "accuracy"),
    )


def with_full_batches(source: Source, steps: int) -> float:
    """The share of padding in the places of an epoch's batches."""
    masks = [batch["inputs"]["attention_mask"] for batch in source.iterate(0, steps)]
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


@torch.no_grad()
def read(student: nn.Module, data: TextSet, reading: TokenizerView) -> Tensor:
    """The logits of all rows, in their order."""
    batches = list(whole_texts(data, 64, {"own": reading}))
    logits = torch.cat([logits_of(student.eval(), batch) for batch in batches])
    return logits[torch.cat([batch["row"] for batch in batches]).argsort()]


def section(setting: Setting, found: Padding) -> str:
    """The part of the page that holds the figures."""
    lines = [
        f"{setting.rows:,} snippets in batches of {setting.batch_size}; epochs: {setting.epochs}, seeds: "
        f"{setting.seeds}, threads: {torch.get_num_threads()}. Batches by length go through {found.ratio.text(2)} "
        f"times as many epochs in an hour, by turns of {TURN} steps over the same rows.",
        "",
        "| batches | padding | epochs per hour | accuracy |",
        "|---|--:|--:|--:|",
    ]
    for name, seconds in found.epoch.items():
        lines.append(
            f"| {name} | {found.with_full_batches[name]:.0%} | {3600 / seconds:.0f} | {found.accuracy[name]:.1%} |"
        )
    change = found.difference
    points = [f"{100 * value:+.1f}" for value in (change.difference, change.low, change.high)]
    return "\n".join(
        [*lines, "", f"The difference of the accuracies is {points[0]} points ({points[1]} to {points[2]})."]
    )
