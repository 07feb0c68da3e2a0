"""What checking a recipe costs, counted: losses and networks built, and calls into ``limbeck.recipes``.

``python benchmarks/recipe_check.py [RECIPE]`` prints one line for each figure. Calls are counted by a profiler hook, so
the figures do not depend on the machine.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

from torch import nn

from limbeck.api import check

_marker = "/limbeck/"
_networks = ("limbeck.models.vision.mlp", "limbeck.models.vision.resnet", "limbeck.students.resnet")


def counted(recipe: str) -> Counter[str]:
    """The figures of one check of a recipe."""
    counts: Counter[str] = Counter()
    files: set[str] = set()

    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        path = frame.f_code.co_filename.replace("\\", "/")
        if f"{_marker}recipes/" in path:
            counts["calls into recipes/"] += 1
            files.add(path)
        if frame.f_code.co_name == "__init__" and _marker in path:
            owner = type(frame.f_locals.get("self")).__module__
            if owner.startswith("limbeck.losses") and isinstance(frame.f_locals.get("self"), nn.Module):
                counts["losses built"] += 1
            if owner.startswith(
                ("limbeck.models.vision.mlp", "limbeck.models.vision.resnet", "limbeck.students.resnet")
            ):
                counts["networks built"] += 1

    check(recipe)  # imports are not counted
    sys.setprofile(hook)
    try:
        check(recipe)
    finally:
        sys.setprofile(None)
    counts["files of recipes/ entered"] = len(files)
    return counts


def main() -> None:
    recipe = sys.argv[1] if len(sys.argv) > 1 else "digits"
    for name, count in sorted(counted(recipe).items()):
        print(f"{name:26} {count}")


if __name__ == "__main__":
    main()
