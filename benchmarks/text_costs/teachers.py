"""An epoch without a teacher, with a cached one, and with a live one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from limbeck import Frozen
from limbeck.cache import CachedRows, CacheReader, Manifest, build, fields_of
from limbeck.data.text_batches import TextBatches
from limbeck.teachers import Cached
from text_costs.setting import Setting
from text_costs.turns import Spread, in_turns, trainer

__all__ = ["MOST", "measure", "section"]

MOST, TURN = 1.10, 8
CONTROL, CACHED, LIVE = "control", "student, cached teacher", "student, live teacher"


def measure(setting: Setting) -> dict[str, Spread]:
    """How many times as long as the control's each turn takes, over the same rows."""
    teacher = Frozen(setting.teacher)
    with tempfile.TemporaryDirectory() as place:
        cached = built(Path(place), setting, teacher)
        torch.manual_seed(0)
        runs = {
            name: trainer(setting.student(), batches(setting, rows), setting.learning_rate, asked)
            for name, rows, asked in (
                (CONTROL, None, None),
                (CACHED, cached, Cached("teacher")),
                (LIVE, None, teacher),
            )
        }
        seconds = in_turns(runs, setting.epochs * setting.plan(0).steps_per_epoch, TURN)
    return {
        name: Spread.of([own / alone for own, alone in zip(found, seconds[CONTROL], strict=True)])
        for name, found in seconds.items()
    }


def built(place: Path, setting: Setting, teacher: Frozen) -> CachedRows:
    """What the teacher says of every row."""
    source = batches(setting, None)

    def said(rows: Tensor, views: Tensor) -> dict[str, Tensor]:
        logits: Tensor = teacher({"batch": source.view(rows, views)})["logits"]
        return {"logits": logits}

    first = torch.zeros(1, dtype=torch.int64)
    fields = fields_of(said(first, first), {"logits": {"use": "float32"}})
    build(place, Manifest(fields, rows=setting.rows), said)
    return CachedRows({"teacher": CacheReader(place)})


def batches(setting: Setting, cached: CachedRows | None) -> TextBatches:
    return TextBatches(setting.train, setting.plan(0), {"own": setting.reading}, views=1, cached=cached)


def section(setting: Setting, found: dict[str, Spread]) -> str:
    """The part of the page that holds the figures."""
    lines = [
        f"The same snippets in batches by length; threads: {torch.get_num_threads()}. The time of a turn of {TURN} "
        "steps over that of the control's.",
        "",
        "| training | time, of the control's |",
        "|---|--:|",
    ]
    return "\n".join([*lines, *(f"| {name} | {spread.text(3)} |" for name, spread in found.items())])
