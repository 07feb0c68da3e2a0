"""Python files of a user that add entries to the registry."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from limbeck.errors import LimbeckError, RecipeError

__all__ = ["load_plugin"]


def load_plugin(path: Path) -> None:
    """Run a Python file that registers more entries; ``name.py`` becomes the module ``limbeck_plugin_name``.

    Raises:
        RecipeError: if there is no such file, or it fails.
    """
    if not path.is_file():
        raise RecipeError(f"no plugin file {path}", code="not_found", path=path)
    spec = importlib.util.spec_from_file_location(f"limbeck_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(
            f"the plugin {path} is no Python file; its name must end in .py", code="wrong_type", path=path
        )
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and type hints look their module up by name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except LimbeckError as error:
        raise RecipeError(f"the plugin {path} fails: {error}", code=error.code, path=path) from error
    except (Exception, SystemExit) as error:
        raise RecipeError(
            f"the plugin {path} fails: {type(error).__name__}: {error}", code="failed", path=path
        ) from error
