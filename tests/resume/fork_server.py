"""The client of the fork server, and what two runs must have in common."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

KILLED = -9


class ForkServer:
    """Runs jobs, each in a fresh fork of a process that has everything imported."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self.jobs = 0

    def __call__(self, run: Run, *deaths: dict[str, Any], resume: bool = False, **given: Any) -> str:
        """Run or resume; the error's text. Death is what is expected where deaths are given, and nothing else."""
        self.jobs += 1
        job = {
            "folder": str(run.folder),
            "rows": str(run.rows),
            "recipe": None if resume else run.recipe,
            "plugin": run.plugin,
            "deaths": deaths,
            "inexact": False,
            "fresh": False,
            "environment": {},
            # numpy takes its seed from the system: here it differs from job to job for certain.
            "entropy": self.jobs,
            **given,
        }
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        expected = KILLED if deaths else 0
        if answer["code"] != expected and not given.get("fails"):
            raise AssertionError(f"exit {answer['code']} instead of {expected}, {deaths}: {answer['error']}")
        return answer["error"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@functools.cache
def fork_server() -> ForkServer:
    """The one of this process: it takes seconds to start."""
    server = ForkServer()
    atexit.register(server.close)
    return server


@dataclass
class Run:
    """A run. One in a parent folder of its own shares no stage with another."""

    parent: Path
    recipe: dict[str, Any]
    plugin: str | None = None
    name: str = "run"
    folder: Path = field(init=False)
    rows: Path = field(init=False)

    def __post_init__(self) -> None:
        self.parent.mkdir(parents=True, exist_ok=True)
        self.folder = self.parent / self.name
        self.rows = self.parent / f"{self.name}.rows.jsonl"

    def steps(self) -> dict[tuple[str, int, int], list[Any]]:
        """What every step saw, in the order in which steps were first taken; a step taken twice saw the same."""
        seen: dict[tuple[str, int, int], list[Any]] = {}
        lines = self.rows.read_text(encoding="utf-8").splitlines() if self.rows.exists() else []
        for line in map(json.loads, lines):
            place = (line["stage"], line["seed"], line["step"])
            assert seen.setdefault(place, line) == line
        return seen

    def trained(self) -> list[str]:
        """The stages that took steps, in their order."""
        return list(dict.fromkeys(f"{stage} {seed}" for stage, seed, _ in self.steps()))

    def stages(self) -> dict[str, dict[str, torch.Tensor]]:
        """The weights of all finished training stages by name and key."""
        found = {}
        for manifest in sorted(self.parent.glob(".stages/*/stage.json")):
            name = json.loads(manifest.read_text(encoding="utf-8"))["name"]
            weights = manifest.with_name("student.safetensors")
            if weights.exists():
                found[f"{name} {manifest.parent.name}"] = load_file(weights)
        return found

    def models(self) -> dict[str, bytes]:
        return {path.parent.name: path.read_bytes() for path in sorted(self.folder.glob("models/*/model.safetensors"))}

    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """The newest checkpoint of every stage, and its best weights."""
        found = {}
        for folder in sorted(self.folder.glob("checkpoints/*")):
            found[folder.name] = torch.load(max(folder.glob("step-*.pt")), weights_only=True)
            if (folder / "best.pt").exists():
                found[f"{folder.name} best"] = torch.load(folder / "best.pt", weights_only=True)
        return found

    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        return found

    def events(self) -> list[dict[str, Any]]:
        """The log, without the time that a step took."""
        lines = (self.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def check_readable(parent: Path) -> None:
    """Whatever stands under its own name can be read; of an event log, all but the last line."""
    for path in parent.rglob("*"):
        if any(part.startswith(".") and part.endswith(".tmp") for part in path.parts) or not path.is_file():
            continue
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").split("\n")
            for line in lines[:-1]:
                json.loads(line)


def check_same(broken: Run, unbroken: Run) -> None:
    """Everything that a run leaves behind is equal bit for bit; only the time that it took is its own."""
    assert not list(broken.parent.rglob(".*.tmp"))
    assert broken.models() == unbroken.models()
    assert {"teacher", "control", "student"} <= broken.models().keys()
    torch.testing.assert_close(broken.stages(), unbroken.stages(), rtol=0, atol=0)
    assert broken.events() == unbroken.events()
    assert broken.steps() == unbroken.steps()
    mine, other = broken.checkpoints(), unbroken.checkpoints()
    assert mine.keys() == other.keys()
    for name, checkpoint in other.items():
        # The log's length is in there too, and the seconds in the log have more or fewer digits.
        for key in checkpoint.keys() - {"seconds", "events"}:
            _check_equal(mine[name][key], checkpoint[key], f"{name}: {key}")
    assert broken.results() == unbroken.results()


def _check_equal(one: Any, other: Any, where: str) -> None:
    if isinstance(other, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert one.stride() == other.stride(), where
        assert torch.equal(one, other), where
    elif isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key, value in other.items():
            _check_equal(one[key], value, f"{where}.{key}")
    elif isinstance(other, list | tuple):
        assert len(one) == len(other), where
        for number, value in enumerate(other):
            _check_equal(one[number], value, f"{where}.{number}")
    else:
        assert one == other, where
