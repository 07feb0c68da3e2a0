"""What a person sees while a stage trains."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from limbeck.training import progress as module
from limbeck.training.progress import (
    BarProgress,
    Counting,
    LineProgress,
    Progress,
    SilentProgress,
    progress_for_terminal,
)


def train(progress: Progress, first: int = 0) -> None:
    progress.note("run here")
    for stage in ("teacher", "control"):
        progress.start(stage, 3, 10, first)
        for step in range(first + 1, 11):
            progress.advance(step, 1 / step)
        progress.validated(0, {"accuracy": 0.75})
        progress.finish()


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock takes two seconds."""
    now = iter(range(0, 10_000, 2))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))


def test_what_is_counted_is_told_every_ten_seconds(clock):
    lines = []
    counting = Counting("cache: teacher, entries", lines.append)
    for done in range(100, 1001, 100):
        counting(done, 1000)
    # It began at 0 s and looks every 2 s.
    assert lines == ["cache: teacher, entries: 600 of 1,000, 50/s, 8 s left"]


def test_lines_go_to_standard_error(capsys, clock):
    train(LineProgress())
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "run here"
    assert [line.split(": ")[0] for line in lines[1:]] == ["teacher, seed 3"] * 2 + ["control, seed 3"] * 2
    # It began at 0 s and looks every 2 s, and once more when it has something to say.
    assert lines[1] == "teacher, seed 3: step 6/10, loss 0.1667, 0.4 steps/s, 9 s left"
    assert lines[2].startswith("teacher, seed 3: 10 steps in ")
    assert lines[2].endswith(" s, loss 0.1000, validation accuracy 0.7500")


def test_a_resumed_stage_says_where_it_goes_on(capsys, clock):
    train(LineProgress(), first=4)
    assert "teacher, seed 3: going on from step 4 of 10" in capsys.readouterr().err


def test_a_stage_with_nothing_left_to_train_has_no_loss(capsys, clock):
    progress = LineProgress()
    progress.start("teacher", 0, 10, 10)
    progress.finish()
    assert capsys.readouterr().err.splitlines()[-1] == "teacher, seed 0: 10 steps in 2.0 s"


def test_bars():
    screen = io.StringIO()
    progress = BarProgress(Console(file=screen, force_terminal=True, width=120))
    train(progress)
    text = screen.getvalue()
    assert "run here" in text
    assert "teacher, seed 3" in text
    assert "control, seed 3" in text
    assert "10/10" in text
    assert not progress.bars.task_ids


def test_silence(capsys):
    train(SilentProgress())
    assert capsys.readouterr() == ("", "")


def test_plain_lines_where_there_is_no_terminal(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_for_terminal(), LineProgress)
