"""Ends a process with SIGKILL just before a chosen line of the cache's code is run."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from types import FrameType
from typing import Any

_watched = (f"limbeck{os.sep}cache{os.sep}", f"limbeck{os.sep}files.py")
_fork = multiprocessing.get_context("fork")


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of the cache's code are run."""
    return _traced(work, lambda count: None)


def killed_at(point: int, work: Callable[[Callable[[int, int], None]], object]) -> int:
    """Do the work in a process that is killed before this line; how far its progress had been told."""
    done: Synchronized[int] = _fork.Value("q", 0)
    process = _fork.Process(target=_doomed, args=(point, work, done))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return done.value


def _doomed(point: int, work: Callable[[Callable[[int, int], None]], object], done: Synchronized[int]) -> None:
    def progress(entries: int, _: int) -> None:
        done.value = entries

    def kill(count: int) -> None:
        if count > point:
            os.kill(os.getpid(), signal.SIGKILL)

    _traced(lambda: work(progress), kill)


def _traced(work: Callable[[], object], on_line: Callable[[int], None]) -> int:
    count = itertools.count(1)  # counted by several threads: its step cannot be interrupted

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not any(part in frame.f_code.co_filename for part in _watched):
            return None
        if event == "line":
            on_line(next(count))
        return trace

    before = sys.gettrace()
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
    return next(count) - 1
