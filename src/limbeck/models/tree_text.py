"""Decision trees as text that people can read and follow by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor

from limbeck.models.trees import Trees

__all__ = ["tree_text"]

_indent = "    "

# What is true of a row that goes below, and of one that goes above.
Branch = Callable[[int, float], tuple[str, str]]


def tree_text(trees: Trees, branch: Branch, leaf: Callable[[int, Tensor], str], titles: Sequence[str] = ()) -> str:
    """Each tree as lines: the conditions on the way to a leaf, one deeper than the other, and what the leaf predicts.

    Args:
        trees: to write.
        branch: gives, for a feature and a threshold, the conditions of rows that go below and of those that go above.
        leaf: gives, for the number of a tree and the values of a leaf, ``[classes]``, the prediction in words.
        titles: a line before each tree; none if empty.

    >>> import torch
    >>> print(tree_text(Trees(trees=1, nodes=1, depth=1, classes=1), lambda *at: ("", ""), lambda _, leaf: "0 EUR"))
    0 EUR
    <BLANKLINE>
    """
    lines: list[str] = []
    for number in range(trees.trees):
        if titles:
            lines += ["", titles[number]] if lines else [titles[number]]
        lines += _lines(trees, number * trees.nodes, branch, partial(leaf, number), 0)
    return "".join(f"{line}\n" for line in lines)


def _lines(trees: Trees, place: int, branch: Branch, leaf: Callable[[Tensor], str], depth: int) -> Iterator[str]:
    below, above = int(trees.below[place]), int(trees.above[place])
    if below == above:
        yield f"{_indent * depth}{leaf(trees.leaf[place])}"
        return
    sides = branch(int(trees.feature[place]), float(trees.threshold[place]))
    for told, child in zip(sides, (below, above), strict=True):
        yield f"{_indent * depth}{told}:"
        yield from _lines(trees, child, branch, leaf, depth + 1)
