"""Where a run takes place: what has to be the same for it to go on bit for bit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import RunError

__all__ = ["check_same", "describe", "processor"]

_packages = ("limbeck", "torch", "accelerate", "numpy", "onnx", "onnxruntime", "safetensors", "scikit-learn")
_exact = ("torch", "device", "threads", "processes")


def processor() -> str:
    """The name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe(device: torch.device, processes: int) -> dict[str, Any]:
    """Versions, machine, threads and revision, as ``environment.json`` has them."""
    return {
        "schema": 1,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "packages": {name: metadata.version(name) for name in _packages},
        "git_revision": _revision(),
    }


def _revision() -> str | None:
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on where the result would not be the same, bit for bit.

    Raises:
        RunError: if torch's version, the device, the processor, the threads or the number of processes differ.
    """
    # On another CPU torch may choose other kernels, which add up in another order.
    names = (*_exact, "processor") if now["device"] == "cpu" else _exact
    for name in names:
        old, new = (side["packages"]["torch"] if name == "torch" else side[name] for side in (before, now))
        if old != new:
            raise RunError(
                f"this run began with {name} {old}, here it is {new}: the result would not be the same to the bit; "
                "restore it, or resume with --inexact",
                code="changed",
                path=name,
            )
