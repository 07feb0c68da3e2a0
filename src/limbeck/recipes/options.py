"""A constructor's signature as the schema of a recipe's section."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pydantic
from torch import nn

from limbeck import registry
from limbeck.errors import ArgumentError, LimbeckError, RecipeError, suggest
from limbeck.recipes.type_errors import type_error

__all__ = [
    "FROM_TRAIN",
    "construct",
    "lookup",
    "option_types",
    "place_of",
    "plain",
    "resolve_options",
    "resolve_use",
    "unnamed",
]

# What the section train supplies to an entry that stands in an option of another, as a temperature does in a loss.
FROM_TRAIN = ("batch_size",)

_by_keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def resolve_options(
    entry: Callable[..., Any],
    given: Mapping[str, Any],
    *,
    path: str,
    name: str,
    supplied: Collection[str] = (),
    beside: Collection[str] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The options of a constructor, checked against its signature, with every default written out.

    Args:
        entry: a class or function with annotated options.
        given: what the recipe says.
        path: where it says so, for errors.
        name: what the entry is called there.
        supplied: parameters that come from elsewhere, and are no options.
        beside: what the section takes beside the options, to suggest for a misspelt one.
        renamed: what the recipe calls a parameter where it has another name there.

    Raises:
        RecipeError: for an unknown option, with the nearest known; a missing one; a value of a wrong type.

    >>> def resnet(*, width: int = 16, depth: int = 1) -> None: ...
    >>> resolve_options(resnet, {"width": 8}, path="student", name="resnet")
    {'width': 8, 'depth': 1}
    """
    fields = {renamed.get(option, option): field for option, field in _fields(entry, supplied, path).items()}
    for option in given:
        if option not in fields:
            raise RecipeError(
                f"{path}: {name} takes no {option!r}.{suggest(str(option), [*fields, *beside])}",
                code="unknown_name",
                path=_under(path, str(option)),
            )
    values = {}
    for option, (kind, default) in fields.items():
        if option not in given and default is ...:
            raise RecipeError(
                f"{path}: {name} needs {option!r}; give it a value of type {_type_name(kind)}",
                code="missing",
                path=_under(path, option),
            )
        values[option] = _checked(kind, given[option], _under(path, option)) if option in given else plain(default)
    return values


def resolve_use(
    kinds: Sequence[str],
    spec: Any,
    path: str,
    supplied: Collection[str] = (),
    beside: Collection[str] = (),
    needs: registry.Needs | None = None,
) -> dict[str, Any]:
    """``{use: NAME, **options}``, or NAME alone, with the options of the constructor registered under one of the kinds.

    Raises:
        RecipeError: if the section is neither, or what it says cannot be right.

    >>> import limbeck.core
    >>> resolve_use(["schedule"], {"use": "constant", "value": 2}, "weight")
    {'use': 'constant', 'value': 2.0}
    """
    if isinstance(spec, str):
        spec = {"use": spec}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("use"), str):
        raise unnamed(spec, path)
    name, options = spec["use"], {key: value for key, value in spec.items() if key != "use"}
    entry = lookup(kinds, name, path, needs)
    return {"use": name, **resolve_options(entry, options, path=path, name=name, supplied=supplied, beside=beside)}


def unnamed(spec: Any, path: str) -> RecipeError:
    """The error for a section that names no entry."""
    is_missing = spec is None or (isinstance(spec, Mapping) and spec.get("use") is None)
    return RecipeError(
        f"{path} is {spec!r}; write a name, or {{use: NAME}} with its options",
        code="missing" if is_missing else "wrong_type",
        path=path,
    )


def lookup(kinds: Sequence[str], name: str, path: str, needs: registry.Needs | None = None) -> Any:
    """The entry that is registered under one of these kinds and has what is needed.

    Raises:
        RecipeError: if there is none, with the place in the recipe and the nearest known name, or what is missing.
    """
    for kind in kinds:
        if name in registry.names(kind):
            try:
                return registry.lookup(kind, name, needs)
            except ArgumentError as error:
                raise RecipeError.at(path, str(error), code=error.code) from error
    known = [known for kind in kinds for known in registry.names(kind, needs)]
    raise RecipeError.at(path, f"no {' or '.join(kinds)} {name!r}.{suggest(name, known)}", code="unknown_name")


def _checked(kind: Any, value: Any, path: str) -> Any:
    """The value, if it is of this type. Types are those of JSON: 1 is a number, "1" and true are none."""
    kinds = _kinds(kind)
    if kinds is not None:
        if isinstance(value, Mapping):
            return resolve_use(kinds, value, path, supplied=FROM_TRAIN)
        kind = float
    try:
        text = json.dumps(value, default=str)
        return plain(pydantic.TypeAdapter(kind).validate_json(text, strict=True))
    except pydantic.ValidationError as error:
        raise type_error(error, value, path, kinds) from error
    except (ValueError, RecursionError) as error:
        raise RecipeError.at(path, f"the value holds itself ({error}); write it out", code="cycle") from error
    except pydantic.errors.PydanticUserError as error:
        raise RecipeError.at(
            path, f"no recipe can hold a value of type {_type_name(kind)}; annotate plain types", code="unsupported"
        ) from error


def _kinds(annotation: Any) -> tuple[str, ...] | None:
    """The kinds of entries that may stand in place of a number."""
    marks = getattr(annotation, "__metadata__", ())
    return next((mark.kinds for mark in marks if isinstance(mark, registry.Entry)), None)


def construct(
    entry: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    path: str,
    supplied: Mapping[str, Any] = MappingProxyType({}),
    places: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Call a constructor; its errors name the place in the recipe.

    Args:
        entry: a class or function.
        options: as `resolve_options` gives them. An entry that stands in one of them is constructed first.
        path: where the recipe says so, for errors.
        supplied: values for those entries, of parameters that no recipe gives.
        places: where the recipe gives a parameter, if not as an option of this name.

    Raises:
        RecipeError: if the constructor refuses a value.
    """
    options = {
        option: _constructed(entry, option, value, path, supplied)
        if isinstance(value, Mapping) and "use" in value
        else value
        for option, value in options.items()
    }
    try:
        return entry(**options)
    except RecipeError:
        raise
    except LimbeckError as error:
        raise RecipeError(
            f"{path}: {error}" if path else str(error),
            code=error.code,
            path=place_of(error, path, {option for option, value in options.items() if _is_given(value)}, places),
        ) from error
    except (TypeError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        # A plugin's constructor, or torch's under one of ours: it refuses with the classes of Python.
        raise RecipeError.at(path, f"{type(error).__name__}: {error}", code="failed") from error


def place_of(
    error: LimbeckError, path: str, options: Collection[str], places: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The place in a recipe of an error about an argument: of the option, if it is one, else of the section.

    Args:
        error: raised by a constructor or by what it made.
        path: of the section.
        options: of the section.
        places: where the recipe gives a parameter, if not as an option of this name.

    >>> place_of(ArgumentError("width is 0", path="width"), "models.student", ["width", "depth"])
    'models.student.width'
    """
    name, dot, rest = (error.path or "").partition(".")
    if name in places:
        return f"{places[name]}{dot}{rest}"
    # The path of another error may be a file, such as test.csv beside an option test.
    is_option = name in options if isinstance(error, ArgumentError) else error.path in options
    return _under(path, f"{name}{dot}{rest}") if is_option else path


def _under(path: str, option: str) -> str:
    """The place of an option; the sections at the top of a recipe are in none."""
    return f"{path}.{option}" if path else option


def _is_given(value: Any) -> bool:
    """Whether a recipe can give the value: it gives no model."""
    return not isinstance(value, nn.Module)


def _constructed(entry: Callable[..., Any], option: str, value: Any, path: str, supplied: Mapping[str, Any]) -> Any:
    kinds = _kinds(_fields(entry, (), path).get(option, (Any,))[0])
    if kinds is None:
        return value
    path = f"{path}.{option}"
    inner = lookup(kinds, value["use"], path)
    wanted = {name: found for name, found in supplied.items() if name in inspect.signature(inner).parameters}
    return construct(inner, {**{k: v for k, v in value.items() if k != "use"}, **wanted}, path=path, supplied=supplied)


def option_types(entry: Callable[..., Any], supplied: Collection[str] = ()) -> dict[str, Any]:
    """The options of a constructor, each with its type and, unless it is required, its default.

    >>> def resnet(*, width: int = 16) -> None: ...
    >>> option_types(resnet)
    {'width': {'type': 'int', 'default': 16}}
    """
    found = {}
    for option, (kind, default) in _fields(entry, supplied, "options").items():
        found[option] = {"type": _type_name(kind)}
        if default is not ...:
            found[option]["default"] = plain(default)
    return found


def _type_name(kind: Any) -> str:
    kinds = _kinds(kind)
    if kinds is not None:
        return f"float | {{use: {' or '.join(kinds)}}}"
    # Names of modules say nothing to the writer of a recipe, and change when code moves.
    return kind.__name__ if isinstance(kind, type) else re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", str(kind))


def _fields(entry: Callable[..., Any], supplied: Collection[str], path: str) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(entry.__init__ if inspect.isclass(entry) else entry, include_extras=True)
    except NameError as error:
        raise RecipeError.at(
            path, f"{error} in the annotations of {entry!r}; import it in that file", code="failed"
        ) from error
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(entry).parameters.values():
        if parameter.name in supplied or parameter.kind not in _by_keyword:
            continue
        default: Any = ... if parameter.default is inspect.Parameter.empty else parameter.default
        if type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
            default = {}
        fields[parameter.name] = (hints.get(parameter.name, Any), default)
    return fields


def plain(value: Any) -> Any:
    """The same value in the types that YAML has."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
