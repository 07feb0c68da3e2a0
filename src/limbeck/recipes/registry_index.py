"""The index of the registry: what the package's entries are and take, written by `make index`."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from limbeck import functional, registry
from limbeck.core.binding import arguments, default_address
from limbeck.files import write_text
from limbeck.recipes.cache_settings import CacheSettings
from limbeck.recipes.docstrings import Docstring, read_docstring
from limbeck.recipes.options import FROM_TRAIN, option_types
from limbeck.recipes.recipe import ExportSettings, MeasureSettings
from limbeck.recipes.registry_entries import Input, Option, RegistryEntry
from limbeck.tasks import Task
from limbeck.training.settings import Settings

__all__ = ["build_index", "describe_entry", "index_text"]

_SECTIONS = {
    "cache": CacheSettings,
    "train": Settings,
    "measure": MeasureSettings,
    "export": ExportSettings,
}


def describe_entry(registered: registry.Registered) -> RegistryEntry:
    """The description of an entry from its constructor and its docstring, and from those of a loss's function."""
    kind, name, entry, capabilities = registered
    module_doc = read_docstring(entry)
    function = getattr(functional, name, None) if kind == "loss" else None
    main = module_doc if function is None else read_docstring(function)
    parts = [module_doc] if main is module_doc else [main, module_doc]
    return RegistryEntry(
        kind=kind,
        name=name,
        module=entry.__module__,
        capabilities=capabilities if capabilities.inputs else None,
        knowledge=next((part.section("Knowledge") for part in parts if part.section("Knowledge")), None),
        summary=main.summary,
        explanation=main.body,
        setup=() if main is module_doc else (module_doc.summary, *module_doc.body),
        inputs=_inputs(entry, module_doc, main) if kind == "loss" else {},
        options=_options(registered),
        returns=main.sections.get("Returns"),
        recipe=_recipe(entry, module_doc) if kind == "teacher" else None,
        cost=tuple(part.sections["Cost"] for part in parts if "Cost" in part.sections),
        references=tuple(dict.fromkeys(paper for part in parts for paper in part.references)),
        objects=tuple(_path(each) for each in (entry, function) if each is not None),
    )


def build_index() -> dict[str, Any]:
    """The content of ``registry.json``, from the imported package."""
    _import_everything()
    kinds: dict[str, dict[str, list[Any]]] = {}
    for one in sorted(registry.registered(), key=lambda one: (one.kind, one.name, str(one.capabilities))):
        if str(getattr(one.entry, "__module__", "")).startswith("limbeck."):
            described = asdict(describe_entry(one))
            described = {key: value for key, value in described.items() if key not in ("kind", "name")}
            kinds.setdefault(one.kind, {}).setdefault(one.name, []).append(described)
    sections = {name: option_types(settings) for name, settings in _SECTIONS.items()}
    return {"schema": 1, "sections": sections, "kinds": kinds}


def index_text() -> str:
    """The index as text: the same on every machine."""
    return json.dumps(build_index(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _import_everything() -> None:
    for module in pkgutil.walk_packages([str(registry.INDEX_FILE.parent)], "limbeck."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


def _options(registered: registry.Registered) -> dict[str, Option]:
    # A task has its options in a class of their own: it is made of data, not of a recipe's section.
    constructor = getattr(registered.entry, "Settings", registered.entry)
    meanings = _meanings(constructor)
    renamed = _renamed(registered.entry) if registered.kind == "teacher" else {}
    return {
        renamed.get(option, option): Option(
            found["type"], "default" not in found, found.get("default"), meanings.get(option, "")
        )
        for option, found in option_types(constructor, _supplied(registered)).items()
    }


def _renamed(teacher: Any) -> Mapping[str, str]:
    """What a recipe calls a parameter of a teacher: the one that says which models it is made of is the key itself."""
    section = getattr(teacher, "section", None)
    nested = getattr(teacher, "nested", False)
    return {} if section is None or nested else {getattr(teacher, "section_option", section): section}


def _recipe(teacher: Any, doc: Docstring) -> str | None:
    section = getattr(teacher, "section", None)
    return doc.section("Recipe") or (None if section is None else f"models: {{teacher: {{{section}: …}}}}")


def _meanings(constructor: Any) -> Mapping[str, str]:
    """The meaning of each argument; a dataclass inherits those of its bases."""
    bases = constructor.__mro__ if inspect.isclass(constructor) else (constructor,)
    return {
        name: meaning
        for base in reversed(bases)
        for name, meaning in read_docstring(base).arguments.get("Args", {}).items()
    }


def _supplied(registered: registry.Registered) -> set[str]:
    """The parameters of an entry that no recipe gives."""
    kind, capabilities = registered.kind, registered.capabilities
    if kind == "teacher":
        return {"members", "classes"} if hasattr(registered.entry, "section") else set()
    tasks: list[type[Task]] = [registry.lookup("task", name) for name in registry.names("task")]
    parts = [part for task in tasks for part in task.parts.values()]
    return {
        *(FROM_TRAIN if kind == "temperature" else ()),
        *(name for task in tasks if kind == "model" and capabilities.fits(task.needs) for name in task.supplied),
        *(name for part in parts if kind == part.kind and capabilities.fits(part.needs) for name in part.supplied),
    }


def _inputs(entry: Any, module_doc: Docstring, main: Docstring) -> dict[str, Input]:
    meanings = {**main.arguments.get("Args", {}), **module_doc.arguments.get("Inputs", {})}
    return {
        name: Input(default_address(name), parameter.default is inspect.Parameter.empty, meanings.get(name, ""))
        for name, parameter in arguments(entry).items()
    }


def _path(entry: Any) -> str:
    """Where a user imports it from: packages export what their modules with an underscore define."""
    name: str = entry.__qualname__
    if getattr(functional, name, None) is entry:
        return f"limbeck.functional.{name}"
    public = [part for part in entry.__module__.split(".") if not part.startswith("_")]
    return ".".join([*public, name])


if __name__ == "__main__":
    write_text(registry.INDEX_FILE, index_text())
