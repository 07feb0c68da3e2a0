"""Errors of values of another type than an option has, in words of recipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from limbeck.errors import Code, RecipeError

__all__ = ["type_error"]

_expected = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
}


def type_error(error: pydantic.ValidationError, value: Any, path: str, kinds: Iterable[str] | None) -> RecipeError:
    """The error for a value that an option does not take.

    Args:
        error: of pydantic.
        value: of the option.
        path: of the option.
        kinds: of the entries that may stand in place of a number; None if none may.
    """
    faults = error.errors()
    steps = list(_steps(value, faults[0]["loc"]))
    # A union has a fault for each of its types.
    alike = [fault for fault in faults if list(_steps(value, fault["loc"])) == steps]
    words = dict.fromkeys(map(_words, alike))
    entry = [] if kinds is None else [f"{{use: NAME}} of a {' or '.join(kinds)}"]
    place, given = ".".join((path, *steps)), faults[0]["input"]
    return RecipeError.at(
        place, f"expected {' or '.join([*words, *entry])}, got {given!r}", code=_code(faults[0]["type"], given)
    )


def _words(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "literal_error":
        return f"one of {fault['ctx']['expected'].replace(' or ', ', ')}"
    return _expected.get(fault["type"], f"another value ({fault['msg']})")


def _code(fault: str, given: Any) -> Code:
    # One of several words is no matter of type where a word is given.
    return "out_of_range" if fault == "literal_error" and isinstance(given, str) else "wrong_type"


def _steps(value: Any, location: Iterable[int | str]) -> Iterator[str]:
    """The keys and positions of a location of pydantic, without the names of types that it has among them."""
    for step in location:
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping) and step in inner:
            value = inner[step]
            yield str(step)
