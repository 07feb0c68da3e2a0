"""A process with torch and limbeck loaded that forks one child for each job: a run, or a resumed run, and its death.

Run as a script. A job is one line of JSON on standard input, its outcome one line on standard output. No thread may
have been started before the fork, so nothing is computed here; the client sets OMP_NUM_THREADS.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # the first optimizer of a process imports it, which takes longer than a run here
from safetensors import torch as safetensors_torch
from torch.optim import optimizer as optimizers

import limbeck.api
from limbeck.training.events import EventLog
from limbeck.training.loop import _Loop


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def replace(name: str, value: Any) -> None:
    """Put another function in place of one, wherever limbeck has imported it."""
    places = [m for n, m in sys.modules.items() if n.startswith("limbeck.") and name in vars(m)]
    assert places, name
    for module in places:
        setattr(module, name, value)


class Countdown:
    """Says when the n-th call whose path holds a text has come."""

    def __init__(self, number: int, match: str = "") -> None:
        self.left = number
        self.match = match

    def reached(self, path: Any = "") -> bool:
        if self.match not in str(path):
            return False
        self.left -= 1
        return self.left < 0


def die_at_step(number: int, when: str) -> None:
    """Around the n-th step of the optimizer in the loop, before or after the weights change."""
    countdown = Countdown(number)

    def hook(*_: Any) -> None:
        if in_the_loop and countdown.reached():
            die()

    if when == "before":
        optimizers.register_optimizer_step_pre_hook(hook)
    else:
        optimizers.register_optimizer_step_post_hook(hook)


def die_at_call(name: str, match: str, number: int, when: str) -> None:
    """Around the n-th os.replace, os.rename or os.unlink of a path that holds a text."""
    real, countdown = getattr(os, name), Countdown(number, match)

    def call(path: Any, *rest: Any, **options: Any) -> None:
        # What a file is to become says more than its temporary name.
        last = countdown.reached(rest[0] if rest else path)
        if last and when == "before":
            die()
        real(path, *rest, **options)
        if last:
            die()

    setattr(os, name, call)


def die_half_way(what: str, match: str, number: int) -> None:
    """In the middle of the n-th write of a kind: half of it is in the file."""
    countdown = Countdown(number, match)

    def half(path: Path, lost: int) -> None:
        os.truncate(path, path.stat().st_size - lost)
        die()

    def text(path: Path, *rest: Any, real: Any = Path.write_text, **options: Any) -> None:
        real(path, *rest, **options)
        if countdown.reached(path):
            half(path, path.stat().st_size // 2)

    def save(content: Any, path: Path, *rest: Any, real: Any = torch.save) -> None:
        real(content, path, *rest)
        if countdown.reached(path):
            half(path, path.stat().st_size // 2)

    def save_file(content: Any, path: Path, real: Any = safetensors_torch.save_file) -> None:
        real(content, path)
        if countdown.reached(path):
            half(path, path.stat().st_size // 2)

    def event(log: EventLog, content: Any, real: Any = EventLog.write) -> None:
        before = log.position if log.path.exists() else 0
        real(log, content)
        if countdown.reached():
            half(log.path, (log.position - before) // 2)

    if what == "text":
        Path.write_text = text
    elif what == "checkpoint":
        torch.save = save
    elif what == "weights":
        replace("save_file", save_file)
    else:
        EventLog.write = event


# A run tries a step of every stage before it begins: those do not count.
in_the_loop: list[bool] = []


def record_rows(file: Path) -> None:
    """Write down which rows every step sees."""
    real = _Loop._train

    def train(loop: _Loop, batch: Any, *rest: Any) -> Any:
        place = {"stage": loop.job.stage, "seed": loop.job.seed, "step": loop.step}
        seen = {name: batch[name].tolist() for name in ("index", "view")}
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({**place, **seen}) + "\n")
        in_the_loop.append(True)
        try:
            return real(loop, batch, *rest)
        finally:
            in_the_loop.pop()

    _Loop._train = train


def do(job: dict[str, Any]) -> None:
    replace("cost_of_model", lambda *_: {})
    for name in ("write_tensorboard", "write_model_card", "write_report"):
        replace(name, lambda *_: None)
    # The kernel keeps what a killed process wrote: waiting for the disk would only make the sweep slow.
    os.fsync = lambda descriptor: None
    np.random.seed(job["entropy"])
    kinds = {"step": die_at_step, "call": die_at_call, "half": die_half_way}
    for death in job["deaths"]:
        kinds[death.pop("at")](**death)
    record_rows(Path(job["rows"]))
    for name, value in job["environment"].items():
        getattr(torch, name)(value)
    if job["recipe"] is None:
        limbeck.api.resume(job["folder"], inexact=job["inexact"])
    else:
        limbeck.api.run(job["recipe"], output=job["folder"], plugin=job["plugin"], fresh=job["fresh"])


def child(job: dict[str, Any], errors: str) -> None:
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        do(job)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def main() -> None:
    # What is here already need not be looked at by every child's collector.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        errors = job["rows"] + ".errors"
        process = os.fork()
        if not process:
            child(job, errors)
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        answer = {"code": code, "error": Path(errors).read_text(encoding="utf-8")}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    # Not the interpreter's own end: frozen objects look like leaks to it.
    os._exit(0)


if __name__ == "__main__":
    main()
