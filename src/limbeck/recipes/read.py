"""Recipes from files, from the package, and with values set on the command line."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from limbeck.errors import RecipeError, suggest

__all__ = ["builtin_names", "builtin_text", "override", "parsed", "read_recipe", "recipe_text"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2, which refuses a key that stands twice, where the standard loader takes the last without a word.

    PyYAML follows YAML 1.1, in which ``on`` is true, ``1:30`` is 90 and ``2e-3`` is a text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != _merge]
        twice = sorted({key for key in own if own.count(key) > 1})
        if twice:
            problem = f"the key {twice[0]!r} stands twice in a mapping"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)

    def whole_number(self, node: yaml.ScalarNode) -> int:
        digits = str(self.construct_scalar(node)).replace("_", "")
        return int(digits, 0 if re.search("[box]", digits) else 10)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` and a loader of YAML 1.1 read back as the same."""


_merge = "tag:yaml.org,2002:merge"
_integer = "tag:yaml.org,2002:int"
# The pattern of each kind, and the characters that it begins with.
_plain = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    _integer: (r"[-+]?[0-9][0-9_]*|0o[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0b[01][01_]*", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9_]*)([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in found if tag not in (*_plain, "tag:yaml.org,2002:timestamp")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, (_form, _first) in _plain.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(_tag, re.compile(f"(?:{_form})$"), list(_first))
_Loader.add_constructor(_integer, _Loader.whole_number)


def builtin_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    folder = resources.files("limbeck.recipes") / "builtin"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def builtin_text(name: str) -> str:
    """The text of a recipe that comes with the package.

    Raises:
        RecipeError: if there is none of this name.
    """
    if name not in builtin_names():
        raise RecipeError(
            f"no recipe {name!r}, neither built in nor a file.{suggest(name, builtin_names())}", code="unknown_name"
        )
    return (resources.files("limbeck.recipes") / "builtin" / f"{name}.yaml").read_text(encoding="utf-8")


def read_recipe(recipe: str | Path | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A recipe's name and content, from a file, a built-in name or a mapping.

    Raises:
        RecipeError: if there is no such recipe, or it is no YAML mapping.
    """
    if isinstance(recipe, Mapping):
        return _name(recipe, "recipe"), copy.deepcopy(dict(recipe))
    path = Path(recipe)
    if path.is_file():
        name, text = path.stem, _text(path)
    elif path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise RecipeError(f"no recipe file {path}", code="not_found", path=path)
    else:
        name, text = str(recipe), builtin_text(str(recipe))
    try:
        content = parsed(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{recipe} is no YAML: {' '.join(str(error).split())}", code="unreadable", path=recipe
        ) from error
    if not isinstance(content, dict):
        raise RecipeError(
            f"{recipe} holds a {type(content).__name__}; a recipe is a mapping that begins with schema: 1",
            code="wrong_type",
            path=recipe,
        )
    return _name(content, name), content


def parsed(text: str) -> Any:
    """What a text of YAML 1.2 says.

    Raises:
        yaml.YAMLError: if it is none, or a key stands twice in a mapping.

    >>> parsed("{on: yes, rate: 1e-3, sure: true}")
    {'on': 'yes', 'rate': 0.001, 'sure': True}
    """
    return yaml.load(text, Loader=_Loader)


def _name(recipe: Mapping[str, Any], otherwise: str) -> str:
    name = recipe.get("name", otherwise)
    if not isinstance(name, str) or not name:
        raise RecipeError(
            f"name is {name!r}; it must be a text, and not an empty one",
            code="out_of_range" if name == "" else "wrong_type",
            path="name",
        )
    return name


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """A recipe as YAML, which `read_recipe` reads back as the same."""
    return yaml.dump(dict(recipe), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe {path} cannot be read: {error}", code="unreadable", path=path) from error


def override(recipe: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The recipe with values set by ``path=value``, the value in YAML.

    Raises:
        RecipeError: if an item has no ``=``, or its path goes through something that is no mapping.

    >>> override({"train": {"epochs": 30}}, ["train.epochs=5"])
    {'train': {'epochs': 5}}
    """
    recipe = copy.deepcopy(recipe)
    for item in settings:
        path, equals, text = item.partition("=")
        if not equals or not all(path.split(".")):
            raise RecipeError(
                f"--set {item}: write it as a path, = and a value, as in train.epochs=5",
                code="wrong_type",
                path="--set",
            )
        try:
            value = parsed(text)
        except yaml.YAMLError as error:
            raise RecipeError(f"--set {item}: {text!r} is no YAML value", code="unreadable", path=path) from error
        _put(recipe, _path_in(recipe, path.split(".")), value, item)
    return recipe


def _path_in(recipe: Mapping[str, Any], parts: list[str]) -> list[str]:
    """Where this recipe has it: `student` at the top is short for `models.student`, and the other way round."""
    named = parts[1:] if parts[0] == "models" else parts
    if not named or named[0] not in ("teacher", "student"):
        return parts
    return named if named[0] in recipe else ["models", *named]


def _put(recipe: dict[str, Any], parts: list[str], value: Any, item: str) -> None:
    place = recipe
    for part in parts[:-1]:
        inner = place.get(part)
        if inner is None:
            inner = place[part] = {}
        elif isinstance(inner, str):
            # `loss: kl_divergence` is short for `loss: {use: kl_divergence}`.
            inner = place[part] = {"use": inner}
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {item}: {part!r} is {inner!r}, not a section", code="wrong_type", path="--set")
        place = inner
    place[parts[-1]] = value
