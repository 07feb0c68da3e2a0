"""The settings of caches in a recipe. The constructor of `CacheSettings` is the schema of the section ``cache:``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import limbeck.cache  # noqa: F401  # registers the codecs
from limbeck.cache import Codec
from limbeck.cache.codecs import codec_of
from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.options import resolve_use
from limbeck.recipes.sections import parse_section

__all__ = ["AUTO", "CacheSettings", "CacheSpec", "parse_cache", "parse_cache_settings"]

AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """How teachers are cached.

    Args:
        codec: how logits are written: a codec's name, or ``{use: NAME}`` with its settings.
        features: how taps are written, likewise.
        views: how many augmentations of each row there are; the student, its control and every other model that learns
            from the student's rows see these and no others. Where nothing is augmented, there is one.
        teachers: which are cached; all that can be, if null.
        batch_size: rows for which a teacher is asked at once.
        folder: where the caches lie, each under its teacher's name; in a folder shared by all runs, if null.
    """

    codec: Any = "float32"
    features: Any = "float32"
    views: int | None = None
    teachers: tuple[str, ...] | None = None
    batch_size: int = 128
    folder: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("views", self.views), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise ArgumentError(f"{name} is {value}; it must be at least 1", path=name)

    def codec_of(self, output: str) -> Codec:
        """How an output of a teacher is written."""
        return codec_of(self.section_of(output))

    def section_of(self, output: str) -> Mapping[str, Any]:
        """The section of that codec."""
        section: Mapping[str, Any] = self.codec if output == "logits" else self.features
        return section


CacheSpec: TypeAlias = CacheSettings | Literal["auto", False]
"""The section ``cache``: settings where a recipe asks for caches."""


def parse_cache(given: Any) -> CacheSpec:
    """The section ``cache``.

    Raises:
        RecipeError: if it is something else, or what it says cannot be right.
    """
    if given is None or given == AUTO:
        return AUTO
    if given is False:
        return False
    if not isinstance(given, Mapping):
        raise RecipeError(
            f"cache is {given!r}; write {AUTO}, false, or a section with keys of its own",
            code="wrong_type",
            path="cache",
        )
    return parse_cache_settings(given)


def parse_cache_settings(given: Mapping[str, Any]) -> CacheSettings:
    """`CacheSettings` whose codecs have every default written out.

    Raises:
        RecipeError: with the place in the recipe.
    """
    folder = given.get("folder")
    settings = {**given, **({"folder": str(folder)} if isinstance(folder, Path) else {})}
    for option in ("codec", "features"):
        settings[option] = resolve_use(["codec"], settings.get(option, "float32"), f"cache.{option}")
    return parse_section(CacheSettings, settings, "cache")
