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
_kinds = {
    "losses built": ("limbeck.losses",),
    "networks and their blocks": ("limbeck.models.vision", "limbeck.students"),
}


def counted(recipe: str) -> Counter[str]:
    """The figures of one check of a recipe."""
    counts: Counter[str] = Counter()
    files: set[str] = set()
    built: dict[int, nn.Module] = {}

    def hook(frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        path = frame.f_code.co_filename.replace("\\", "/")
        if f"{_marker}recipes/" in path:
            counts["calls into recipes/"] += 1
            files.add(path)
            caller = frame.f_back
            if caller is not None and f"{_marker}recipes/" not in caller.f_code.co_filename:
                counts["of them from outside"] += 1
        made = frame.f_locals.get("self")
        if frame.f_code.co_name == "__init__" and isinstance(made, nn.Module) and id(made) not in built:
            kind = next((kind for kind, prefixes in _kinds.items() if type(made).__module__.startswith(prefixes)), None)
            if kind is not None:
                # Kept, so that no other object gets its id.
                built[id(made)] = made
                counts[kind] += 1

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
