"""Errors: their codes and places, and the tail that says how to mend an unknown name."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import limbeck
from limbeck import errors

CLASSES = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
# A recipe, data or a run is fixed by someone who did not write the call, so that the class says too little.
CODED = {"RecipeError", "DataError", "RunError", "CacheError", "ExportError"}
PACKAGE = Path(limbeck.__file__).parent
# An exception in flight hands its code on; a function chooses one.
CHOSEN = {"error.code", "_code(faults[0]['type'], given)", "_code_of_task(recipe.get('task'))"}


def raised() -> Iterator[tuple[str, str, ast.Call]]:
    """Every error that the package makes: where, its class, the call."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).removesuffix(".at")
                if name in errors.__all__ and name.endswith("Error"):
                    yield f"{file.relative_to(PACKAGE)}:{node.lineno}", name, node


def codes_of(call: ast.Call) -> set[str]:
    """The codes that a call may give."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    return set() if not given or ast.unparse(given[0]) in CHOSEN else set(_words(given[0]))


def _words(code: ast.expr) -> Iterator[str]:
    if isinstance(code, ast.IfExp):
        yield from (*_words(code.body), *_words(code.orelse))
    else:
        assert isinstance(code, ast.Constant), ast.unparse(code)
        yield code.value


RAISED = list(raised())


def test_every_error_is_a_limbeck_error() -> None:
    assert len(CLASSES) == 9
    for one in CLASSES:
        assert issubclass(one, errors.LimbeckError)
        assert str(one("a line")) == "a line"


def test_errors_are_of_the_classes_that_a_user_of_python_expects() -> None:
    assert issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.AddressError, LookupError)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_has_a_code_and_a_place(kind: type[errors.LimbeckError]) -> None:
    assert (kind("a line").code, kind("a line").path) == (kind.default_code, None)
    error = kind("a line", code="cycle", path=Path("runs/a"))
    assert (str(error), error.code, error.path) == ("a line", "cycle", "runs/a")


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_keeps_code_and_place(kind: type[errors.LimbeckError], twin: object) -> None:
    error = kind.at("train.epochs", "it is 0", code="no_effect")
    assert callable(twin)
    again = twin(error)
    assert type(again) is kind
    assert (str(again), again.code, again.path) == ("train.epochs: it is 0", "no_effect", "train.epochs")


def test_the_place_of_an_error_begins_its_text() -> None:
    assert str(errors.DataError.at(Path("a.csv"), "not found", code="not_found")) == "a.csv: not found"
    nowhere = errors.RecipeError.at("", "seeds is 0")
    assert (str(nowhere), nowhere.path) == ("seeds is 0", None)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_unknown_code_is_refused(kind: type[errors.LimbeckError]) -> None:
    with pytest.raises(ValueError, match=r"no error code 'unknown_nam'\. Did you mean 'unknown_name'") as refused:
        kind("a line", code="unknown_nam")  # type: ignore[arg-type]
    assert not isinstance(refused.value, errors.LimbeckError)


def test_the_package_gives_known_codes_alone_and_uses_all() -> None:
    assert len(RAISED) > 700
    used = {code for _, _, call in RAISED for code in codes_of(call)} | {kind.default_code for kind in CLASSES}
    assert used == errors.CODES


@pytest.mark.parametrize("name", sorted(CODED))
def test_every_error_of_a_recipe_data_or_a_run_gives_its_code(name: str) -> None:
    sites = [(place, {keyword.arg for keyword in call.keywords}) for place, kind, call in RAISED if kind == name]
    assert sites
    assert [place for place, keywords in sites if "code" not in keywords] == []


def test_the_guide_explains_every_code() -> None:
    guide = Path(__file__).parents[1] / "docs" / "errors.md"
    assert set(re.findall(r"^\| `(\w+)` \|", guide.read_text(encoding="utf-8"), re.MULTILINE)) == errors.CODES


def test_located_puts_a_name_before_the_place_of_an_error() -> None:
    for path, place in ((None, "terms.soft"), ("where", "terms.soft.where")):
        with pytest.raises(errors.ArgumentError) as raised_there, errors.located("terms.soft"):
            raise errors.ArgumentError("a line", path=path)
        assert (str(raised_there.value), raised_there.value.path) == ("a line", place)


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
