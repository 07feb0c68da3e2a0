"""Programs in processes of their own, forked from one that has imported torch, which takes longer than most of them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["LIMBECK", "TORCH", "Program", "forked", "limbeck_command"]

TORCH = ("torch",)
"""What programs that say something of other imports may find imported."""

LIMBECK = (*TORCH, "torch._dynamo", "accelerate", "onnx", "onnxruntime", "transformers", "limbeck.api", "limbeck.cli")

Program = tuple[str, Sequence[str], Mapping[str, str]]
"""Python code, the words of its command line, and what its environment has beside that of the tests."""


def limbeck_command(*words: str, **environment: str) -> Program:
    """A command of limbeck."""
    return "from limbeck.cli import main\nmain()", ["limbeck", *words], environment


def forked(*programs: Program, folder: Path, modules: Sequence[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run programs at the same time in this folder, each in a fork of a process that has imported these modules."""
    with tempfile.TemporaryDirectory() as kept:
        jobs, environment = [], {**os.environ, "OMP_NUM_THREADS": "1"}
        for number, (code, words, added) in enumerate(programs):
            files = {stream: str(Path(kept) / f"{number}.{stream}") for stream in ("out", "err")}
            rest = {"environment": {**environment, **added}, "folder": str(folder), "path": sys.path}
            jobs.append({"code": code, "argv": list(words), **rest, **files})
        return [
            subprocess.CompletedProcess(job["argv"], code, *(Path(job[name]).read_text() for name in ("out", "err")))
            for job, code in zip(jobs, _server(tuple(modules))(jobs), strict=True)
        ]


class _Server:
    def __init__(self, modules: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py")), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def __call__(self, jobs: Sequence[Mapping[str, Any]]) -> list[int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        codes: list[int] = json.loads(self.process.stdout.readline())
        return codes

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@functools.cache
def _server(modules: tuple[str, ...]) -> _Server:
    """The one of this process: it takes seconds to start."""
    server = _Server(modules)
    atexit.register(server.close)
    return server
