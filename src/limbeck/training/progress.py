"""What a person sees while a run goes on. All of it goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

__all__ = ["BarProgress", "Counting", "LineProgress", "Progress", "SilentProgress", "progress_for_terminal"]


class Progress(Protocol):
    """Told by the loop what happens."""

    def start(self, stage: str, seed: int, total: int, step: int) -> None: ...

    def advance(self, step: int, loss: float) -> None: ...

    def validated(self, epoch: int, scores: Mapping[str, float]) -> None: ...

    def finish(self) -> None: ...

    def note(self, text: str) -> None: ...


class SilentProgress:
    """Says nothing: for processes other than the main one, and for tests."""

    def start(self, stage: str, seed: int, total: int, step: int) -> None: ...

    def advance(self, step: int, loss: float) -> None: ...

    def validated(self, epoch: int, scores: Mapping[str, float]) -> None: ...

    def finish(self) -> None: ...

    def note(self, text: str) -> None: ...


class LineProgress:
    """One plain line for each stage, and one every ten seconds in a long one."""

    _every = 10.0

    def start(self, stage: str, seed: int, total: int, step: int) -> None:
        self.stage, self.total, self.first = f"{stage}, seed {seed}", total, step
        self.began = self.said = time.monotonic()
        self.loss, self.step, self.scores = 0.0, step, ""
        if step:
            self.note(f"{self.stage}: going on from step {step} of {total}")

    def advance(self, step: int, loss: float) -> None:
        self.step, self.loss = step, loss
        if time.monotonic() - self.said > self._every:
            self.said = time.monotonic()
            rate = (step - self.first) / (self.said - self.began)
            left = (self.total - step) / rate
            self.note(f"{self.stage}: step {step}/{self.total}, loss {loss:.4f}, {rate:.1f} steps/s, {left:.0f} s left")

    def validated(self, epoch: int, scores: Mapping[str, float]) -> None:
        self.scores = "".join(f", validation {name} {value:.4f}" for name, value in scores.items())

    def finish(self) -> None:
        seconds = time.monotonic() - self.began
        loss = f", loss {self.loss:.4f}" if self.step > self.first else ""
        self.note(f"{self.stage}: {self.step} steps in {seconds:.1f} s{loss}{self.scores}")

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Counting:
    """One line every ten seconds of something that is counted and takes long.

    Args:
        what: is counted, and where.
        note: says a line.

    >>> counting = Counting("cache: teacher, entries", print)
    >>> counting(64, 1000)
    """

    _every = 10.0

    def __init__(self, what: str, note: Callable[[str], None]) -> None:
        self.what, self.note = what, note
        self.began = self.said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.said > self._every and done < total:
            self.said = now
            rate = done / (now - self.began)
            self.note(f"{self.what}: {done:,} of {total:,}, {rate:,.0f}/s, {(total - done) / rate:.0f} s left")


class BarProgress:
    """A bar for each stage, with its rate and the time that is left."""

    def __init__(self, console: Console) -> None:
        self.bars = Bars(
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
        )

    def start(self, stage: str, seed: int, total: int, step: int) -> None:
        self.first, self.began, self.scores = step, time.monotonic(), ""
        self.bars.start()
        self.task: TaskID = self.bars.add_task(f"{stage}, seed {seed}", total=total, completed=step, rate="", text="")

    def advance(self, step: int, loss: float) -> None:
        rate = (step - self.first) / max(time.monotonic() - self.began, 1e-6)
        self.bars.update(self.task, completed=step, rate=f"{rate:.1f}/s", text=f"loss {loss:.3f}{self.scores}")

    def validated(self, epoch: int, scores: Mapping[str, float]) -> None:
        self.scores = "".join(f" {name} {value:.3f}" for name, value in scores.items())

    def finish(self) -> None:
        self.bars.stop_task(self.task)
        self.bars.stop()
        for task in self.bars.task_ids:
            self.bars.remove_task(task)

    def note(self, text: str) -> None:
        self.bars.console.print(text, highlight=False, soft_wrap=True)


def progress_for_terminal() -> Progress:
    """Bars where standard error is a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    return BarProgress(console) if console.is_terminal else LineProgress()
