"""The event log once more, for TensorBoard."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["write_tensorboard"]


def write_tensorboard(events: Path, folder: Path) -> bool:
    """Write every event of a finished run as scalars, one series of files for each stage and seed.

    Written at the end rather than along the way, so that a run which was killed and resumed has each step once.

    Returns:
        False, and nothing is written, where the package tensorboard (extra ``track``) is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return False
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    writers: dict[str, SummaryWriter] = {}
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        name = f"{event['stage']}-seed{event['seed']}"
        if name not in writers:
            writers[name] = SummaryWriter(str(folder / name))
        for tag, value in _scalars(event):
            writers[name].add_scalar(tag, value, event["step"], event["seconds"])
    for writer in writers.values():
        writer.close()
    return True


def _scalars(event: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if "loss" in event:
        yield "loss", event["loss"]
    for group in ("terms", "weights", "gradient_norms", "temperatures", "validation"):
        for name, value in event.get(group, {}).items():
            yield f"{group}/{name}", value
