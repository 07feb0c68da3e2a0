"""Programs by several processes that find each other: started by torchrun, or forked with what torchrun sets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from forks import LIMBECK, Program, forked, limbeck_command

__all__ = ["completed", "free_port", "launched", "limbeck", "started_by_torchrun"]

CPU = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started_by_torchrun(*words: str, processes: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of limbeck through torchrun, which `accelerate launch` calls for GPUs."""
    launch = ["torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", str(free_port())]
    return subprocess.run(
        [sys.executable, "-m", *launch, "-m", "limbeck", *words],
        cwd=folder,
        env={**os.environ, **CPU},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def completed(done: subprocess.CompletedProcess[str]) -> None:
    """Torch's gloo may abort a process that has done everything, at its very end (pytorch/pytorch#179291)."""
    assert done.returncode == 0 or "terminate called without an active exception" in done.stderr, done.stderr


def launched(program: Program, *, processes: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """The program by so many processes at once: the first exit code that is not 0, and all that they print."""
    code, words, environment = program
    world = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if processes > 1 else {}
    programs: list[Program] = [
        (code, words, {**CPU, **environment, **({**world, **place, "RANK": rank, "LOCAL_RANK": rank} if place else {})})
        for rank in map(str, range(processes))
    ]
    done = forked(*programs, folder=folder, modules=LIMBECK)
    codes = [one.returncode for one in done if one.returncode]
    printed = ["".join(getattr(one, stream) for one in done) for stream in ("stdout", "stderr")]
    return subprocess.CompletedProcess(list(words), codes[0] if codes else 0, *printed)


def limbeck(*words: str, processes: int = 1, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of limbeck by so many processes."""
    return launched(limbeck_command(*words), processes=processes, folder=folder)
