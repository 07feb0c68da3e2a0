"""Errors and the tail that says how to mend an unknown name."""

from __future__ import annotations

import pytest

from limbeck import errors


def test_every_error_is_a_limbeck_error() -> None:
    classes = [getattr(errors, name) for name in errors.__all__ if name != "suggest"]
    assert len(classes) == 9
    for one in classes:
        assert issubclass(one, errors.LimbeckError)
        assert str(one("a line")) == "a line"


def test_errors_are_of_the_classes_that_a_user_of_python_expects() -> None:
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.AddressError, LookupError)


@pytest.mark.parametrize(
    ("name", "known", "tail"),
    [
        ("teachr", ["student", "teacher"], " Did you mean 'teacher'?"),
        ("TEACHER", ["student", "teacher"], " Known: 'student', 'teacher'."),
        ("x", ["b", "a"], " Known: 'a', 'b'."),
        ("x", [], ""),
        ("", ["a"], " Known: 'a'."),
        ("teacher", {"teacher": 1}, " Did you mean 'teacher'?"),
    ],
)
def test_suggest(name: str, known: list[str], tail: str) -> None:
    assert errors.suggest(name, known) == tail
