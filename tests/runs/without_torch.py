"""`limbeck predict` in a process of its own, which may not import torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["predicted_without_torch"]

_CODE = """
import sys
from limbeck.cli import main
try:
    main()
finally:
    print(sorted({"torch", "transformers", "accelerate"} & set(sys.modules)), file=sys.stderr)
"""


def predicted_without_torch(run: Path, *words: str, allowed: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What the command prints as JSON, once it is sure that nothing else was imported than what is allowed."""
    command = [sys.executable, "-c", _CODE, "predict", str(run), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, f"{sorted(allowed)}\n")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
