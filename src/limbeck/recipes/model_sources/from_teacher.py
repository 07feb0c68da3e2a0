"""Teachers that describe themselves: the section of a recipe is the signature of their constructor."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from limbeck import registry
from limbeck.core import Teacher, source_of
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
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

    def parse(self, section: Section) -> ModelSpec:
        return section.spec(self, section.resolved(self.key, self.entry))

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        needs = getattr(self.entry, "needs", None)
        return () if needs is None else tuple(needs(spec.options))

    def reads(self, spec: ModelSpec) -> tuple[str, ...]:
        needed = self.needs(spec)
        read = {source_of(address) for address in self._construct(spec).reads}
        return tuple(name for name in needed if name in read)

    def is_model(self, spec: ModelSpec) -> bool:
        return bool(getattr(self.entry, "is_model", False))

    def learns(self, spec: ModelSpec) -> bool:
        return issubclass(self.entry, nn.Module)

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        return teacher.state_dict() if isinstance(teacher, nn.Module) else {}

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        return self._construct(spec)

    def _construct(self, spec: ModelSpec) -> Teacher:
        teacher: Teacher = construct(self.entry, spec.options, path=spec.path)
        return teacher


def registered_teachers() -> dict[str, ModelSource]:
    """The registered teachers that have a section, by its name."""
    entries = (registry.lookup("teacher", name) for name in registry.names("teacher"))
    return {entry.section: FromTeacher(entry) for entry in entries if hasattr(entry, "section")}
