"""Teachers that describe themselves: the section of a recipe is the signature of their constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from limbeck import registry
from limbeck.core import Teacher, source_of
from limbeck.recipes.model_sources.model_source import ModelSource, Section, Spec, TeacherContext
from limbeck.recipes.options import construct

__all__ = ["FromTeacher", "registered_teachers"]


class FromTeacher(ModelSource):
    """A registered teacher, named by its ``section``: ``{SECTION: …, **options}``.

    Its class has ``section``, one of the options of its constructor, by which a recipe names it. It may have
    ``needs(options)``, a class method that gives the names of the models that it refers to, and ``is_model``, whether
    it computes its outputs from the batch alone, so that it can be evaluated like a model.

    Args:
        entry: the class of the teacher.
    """

    def __init__(self, entry: type[Any]) -> None:
        self.entry = entry
        self.key: str = entry.section  # type: ignore[misc]
        self.may_need_student = bool(getattr(entry, "may_need_student", False))  # type: ignore[misc]

    def resolve(self, section: Section) -> dict[str, Any]:
        return section.resolved(self.key, self.entry)

    def needs(self, spec: Spec) -> tuple[str, ...]:
        needs = getattr(self.entry, "needs", None)
        return () if needs is None else tuple(needs(spec))

    def reads(self, spec: Spec) -> tuple[str, ...]:
        needed = self.needs(spec)
        read = {source_of(address) for address in self._construct(spec, self.key).reads}
        return tuple(name for name in needed if name in read)

    def is_model(self, spec: Spec) -> bool:
        return bool(getattr(self.entry, "is_model", False))

    def learns(self, spec: Spec) -> bool:
        return issubclass(self.entry, nn.Module)

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        return teacher.state_dict() if isinstance(teacher, nn.Module) else {}

    def teacher(self, name: str, context: TeacherContext) -> Teacher:
        return self._construct(context.options(name), f"models.{name}")

    def _construct(self, spec: Mapping[str, Any], path: str) -> Teacher:
        teacher: Teacher = construct(self.entry, dict(spec), path=path)
        return teacher


def registered_teachers() -> dict[str, ModelSource]:
    """The registered teachers that have a section, by its name."""
    entries = (registry.lookup("teacher", name) for name in registry.names("teacher"))
    return {entry.section: FromTeacher(entry) for entry in entries if hasattr(entry, "section")}
