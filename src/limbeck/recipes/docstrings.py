"""What a docstring says, taken apart: its first line, what it explains, its sections and the papers it names."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Docstring", "read_docstring"]

_header = re.compile(r"(?:Args|Inputs|Returns|Raises|Cost|Knowledge|Recipe|Example):(?= |$)", re.MULTILINE)
_blank = re.compile(rf"\n\s*\n|\n(?={_header.pattern})", re.MULTILINE)
_named = re.compile(r"(\w+): (.*)")
_paper = re.compile(r"arXiv:|doi:|\b(?:19|20)\d\d\b\)?, [\"“]")
# Where the next paper of a paragraph begins.
_end_of_paper = re.compile(r"(?:(?<=\d\.)|(?<=\)\.)) (?=[A-Z]\w+(?:,| and ))")


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring, as plain text.

    Args:
        summary: the first line.
        body: the paragraphs up to the first section, the equation among them.
        sections: ``Returns``, ``Cost``, ``Knowledge`` and ``Recipe``, each as one paragraph.
        arguments: ``Args`` and ``Inputs``: the description of each name.
        references: the paragraphs that name papers.
    """

    summary: str
    body: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    def section(self, name: str) -> str | None:
        """The text of a section, without its full stop; None if there is none.

        >>> Docstring("", sections={"Cost": "O(B)."}).section("Cost")
        'O(B)'
        """
        text = self.sections.get(name)
        return None if text is None else text.removesuffix(".")


def read_docstring(entry: Any) -> Docstring:
    """The docstring of a class or function; of a class, not that of its base.

    >>> def f(x): '''Twice x.
    ...
    ...     .. math:: y = 2 x
    ...
    ...     Args:
    ...         x: `[B]`, any
    ...             number.
    ...
    ...     Cost: O(B).
    ...     '''
    >>> found = read_docstring(f)
    >>> found.summary, found.body, found.arguments["Args"], found.section("Cost")
    ('Twice x.', ('y = 2 x',), {'x': '[B], any number.'}, 'O(B)')
    """
    summary, _, rest = inspect.cleandoc(entry.__doc__ or "").partition("\n")
    body: list[str] = []
    sections: dict[str, str] = {}
    arguments: dict[str, Mapping[str, str]] = {}
    for name, text in _blocks(rest):
        if name in ("Args", "Inputs"):
            arguments[name] = _names(text)
        elif name in ("Returns", "Cost", "Knowledge", "Recipe"):
            sections[name] = _flowed(text)
        elif not name and not text.lstrip().startswith(">>>"):
            body.append(_flowed(text))
    references = [paper for text in body if _paper.search(text) for paper in _end_of_paper.split(text)]
    explained = tuple(text for text in body if not _paper.search(text))
    return Docstring(_flowed(summary), explained, sections, arguments, tuple(references))


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Every section with its text, and every paragraph outside of them with no name."""
    name = ""
    gathered: list[str] = []
    for block in filter(None, _blank.split(text.strip("\n"))):
        header = _header.match(block.partition("\n")[0])
        inside = header is None and block.startswith(" ") and name != ""
        if not inside:
            yield from [(name, "\n".join(gathered))] if gathered else []
            name, gathered = ("", []) if header is None else (header.group().removesuffix(":"), [])
            block = block if header is None else block[len(name) + 1 :].lstrip(" ")
        gathered.append(block.strip("\n"))
    yield from [(name, "\n".join(gathered))] if gathered else []


def _names(text: str) -> dict[str, str]:
    """``name: what it is`` for each line that is not indented further than the first."""
    found: dict[str, list[str]] = {}
    for line in textwrap.dedent(text).split("\n"):
        named = _named.match(line)
        if named is not None:
            found[named.group(1)] = [named.group(2)]
        elif found:
            found[next(reversed(found))].append(line)
    return {name: _flowed("\n".join(lines)) for name, lines in found.items()}


def _flowed(text: str) -> str:
    """One line for each paragraph or item of a list, without the marks of reStructuredText."""
    text = re.sub(r"\.\. math::\s*|:math:(?=`)|`", "", text)
    return "\n".join(" ".join(item.split()) for item in re.split(r"\n(?=\s*- )", text))
