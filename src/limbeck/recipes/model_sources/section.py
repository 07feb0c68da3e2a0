"""The section of one model of a recipe, before its source has parsed it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from limbeck.errors import RecipeError
from limbeck.recipes.model_io import ModelIO, check_taps
from limbeck.recipes.model_sources.model_spec import Learning, ModelSpec
from limbeck.recipes.options import resolve_options
from limbeck.recipes.sections import parse_section
from limbeck.tasks import Task

if TYPE_CHECKING:
    from limbeck.recipes.model_sources.model_source import ModelSource

__all__ = ["Section"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """The section of one model.

    Args:
        task: which one the recipe is for.
        name: under ``models``.
        path: where it stands, for errors.
        options: all but what follows.
        train: how it learns, as the recipe says it; None if it does not.
        objective: by which terms, likewise.
        reading: ``taps``, ``inputs`` and ``call``, where they are given.
        wrappers: ``classes``, ``preprocess`` and ``confidence``, resolved, where they are given.
        row_kinds: the kinds of the rows of the data, such as ``tables``; none where they are given in Python.
    """

    task: type[Task]
    name: str
    path: str
    options: dict[str, Any]
    train: Any
    objective: Any
    reading: Mapping[str, Any]
    wrappers: Mapping[str, Any]
    row_kinds: Collection[str] = ()

    def io(self) -> ModelIO:
        """Its taps, inputs and call arguments.

        Raises:
            RecipeError: with the place in the recipe.
        """
        parsed = parse_section(ModelIO, self.reading, self.path)
        check_taps(parsed.taps, f"{self.path}.taps")
        return parsed

    def spec(
        self,
        source: ModelSource,
        options: Mapping[str, Any],
        *,
        io: ModelIO | None = None,
        learning: Learning | None = None,
    ) -> ModelSpec:
        """The parsed section."""
        return ModelSpec(
            name=self.name, source=source, options=options, io=io, learning=learning, wrappers=self.wrappers
        )

    def resolved(
        self,
        key: str,
        entry: Callable[..., Any],
        *,
        supplied: Collection[str] = (),
        renamed: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """The section of a source without weights of its own: the options of one constructor.

        Args:
            key: of the source.
            entry: the constructor.
            supplied: its parameters that no recipe gives.
            renamed: what the recipe calls a parameter where it has another name there.

        Raises:
            RecipeError: if one is unknown, missing or of a wrong type, or the section says how it is trained.
        """
        self.refuse_training(key)
        given = {**self.options, **self.reading}
        return resolve_options(entry, given, path=self.path, name=key, supplied=supplied, renamed=renamed)

    def refuse_training(self, key: str) -> None:
        """Refuse ``train`` and ``objective``.

        Raises:
            RecipeError: if one is given.
        """
        for section, given in (("train", self.train), ("objective", self.objective)):
            if given is not None:
                raise RecipeError.at(
                    f"{self.path}.{section}", f"a model taken by {key} is not trained; remove it", code="no_effect"
                )
