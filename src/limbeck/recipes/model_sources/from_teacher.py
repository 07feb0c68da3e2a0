"""Teachers that describe themselves: the section of a recipe is the signature of their constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from limbeck import registry
from limbeck.core import Teacher, source_of
from limbeck.errors import RecipeError
from limbeck.recipes.model_sources.members import with_weights
from limbeck.recipes.model_sources.model_source import ModelSource, TeacherContext
from limbeck.recipes.model_sources.model_spec import ModelSpec
from limbeck.recipes.model_sources.section import Section
from limbeck.recipes.options import construct, resolve_options

__all__ = ["FromTeacher", "registered_teachers"]


class FromTeacher(ModelSource):
    """A registered teacher, named by its ``section``: ``{SECTION: …, **options}``.

    The class of the teacher has ``section``, the key by which a recipe names it. All else is optional:

    - ``section_option``: the parameter of the constructor that the value of the key fills, where it has another name.
    - ``nested``: True if the value of the key holds all options, as in ``{SECTION: {option: …}}``.
    - ``needs(options)``, a class method: the names of the models that it refers to.
    - ``co_trained(options)``, a class method: those of them that must train in the same steps.
    - ``follows(options)``, a class method: the student whose weights it tracks.
    - ``may_need_student``: True if it may refer to the student.
    - ``is_model``: True if it gives outputs from the batch alone once training is over, so that it is evaluated.
    - ``learns``: True if training changes its state, which is then stored; by default, if it is an `nn.Module`.

    A parameter ``members`` gets the teachers that it refers to, by name, and ``classes`` the number of classes.

    Args:
        entry: the class of the teacher.
    """

    def __init__(self, entry: type[Any]) -> None:
        self.entry = entry
        self.key: str = entry.section  # type: ignore[misc]
        self.may_need_student = bool(getattr(entry, "may_need_student", False))  # type: ignore[misc]
        self._option: str = getattr(entry, "section_option", self.key)
        self._nested = bool(getattr(entry, "nested", False))
        parameters = inspect.signature(entry).parameters
        self._supplied = tuple(name for name in ("members", "classes") if name in parameters)

    def parse(self, section: Section) -> ModelSpec:
        named = with_weights(section, self.key) if "members" in self._supplied else section
        if not self._nested:
            renamed = {self._option: self.key}
            options = named.resolved(self.key, self.entry, supplied=self._supplied, renamed=renamed)
            return section.spec(self, options)
        given, path = named.resolved(self.key, _one_mapping(self.key))[self.key], f"{section.path}.{self.key}"
        options = resolve_options(self.entry, given, path=path, name=self.key, supplied=self._supplied)
        return section.spec(self, {self.key: options})

    def needs(self, spec: ModelSpec) -> tuple[str, ...]:
        return self._names("needs", spec)

    def reads(self, spec: ModelSpec) -> tuple[str, ...]:
        if "members" in self._supplied:
            # They are run inside of it.
            return ()
        needed = self.needs(spec)
        read = {source_of(address) for address in self._construct(spec, {}).reads} if needed else set()
        return tuple(name for name in needed if name in read)

    def is_model(self, spec: ModelSpec) -> bool:
        return bool(getattr(self.entry, "is_model", False))

    def learns(self, spec: ModelSpec) -> bool:
        return bool(getattr(self.entry, "learns", issubclass(self.entry, nn.Module)))

    def follows(self, spec: ModelSpec) -> str | None:
        follows = getattr(self.entry, "follows", None)
        followed: str | None = None if follows is None else follows(self._arguments(spec))
        return followed

    def trained_state(self, teacher: Teacher) -> dict[str, Tensor]:
        learns = getattr(self.entry, "learns", True) and isinstance(teacher, self.entry)
        return teacher.state_dict() if learns and isinstance(teacher, nn.Module) else {}

    def teacher(self, spec: ModelSpec, context: TeacherContext) -> Teacher:
        for name in self._names("co_trained", spec):
            if name not in context.learners:
                raise RecipeError.at(
                    self._path(spec), f"{name!r} does not train with {sorted(context.learners)}", code="unsupported"
                )
        supplied: dict[str, Any] = {}
        if "members" in self._supplied:
            supplied["members"] = {name: context.teacher(name) for name in self.needs(spec)}
        if "classes" in self._supplied:
            supplied["classes"] = len(context.classes)
        return self._construct(spec, supplied)

    def _names(self, hook: str, spec: ModelSpec) -> tuple[str, ...]:
        names = getattr(self.entry, hook, None)
        return () if names is None else tuple(names(self._arguments(spec)))

    def _arguments(self, spec: ModelSpec) -> dict[str, Any]:
        """The options under the names that the constructor has for them."""
        if self._nested:
            return dict(spec.options[self.key])
        return {self._option if name == self.key else name: value for name, value in spec.options.items()}

    def _construct(self, spec: ModelSpec, supplied: Mapping[str, Any]) -> Teacher:
        path = self._path(spec) if self._nested else spec.path
        places = {} if self._nested else dict.fromkeys((self._option, "members"), self._path(spec))
        teacher: Teacher = construct(self.entry, {**self._arguments(spec), **supplied}, path=path, places=places)
        return teacher

    def _path(self, spec: ModelSpec) -> str:
        return f"{spec.path}.{self.key}"


def _one_mapping(key: str) -> Callable[..., Any]:
    """A constructor with one option of this name, a mapping."""

    def entry(**options: Any) -> None: ...

    parameter = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=dict[str, Any])
    entry.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    entry.__annotations__ = {key: dict[str, Any]}
    return entry


def registered_teachers() -> dict[str, ModelSource]:
    """The registered teachers that have a section, by its name."""
    entries = (registry.lookup("teacher", name) for name in registry.names("teacher"))
    return {entry.section: FromTeacher(entry) for entry in entries if hasattr(entry, "section")}
