"""Which of many near-equal cases are run how often."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["tenth_slow"]


def tenth_slow(cases: Iterable[Any], seed: int = 0) -> list[Any]:
    """A tenth of the cases, at least one, with the mark `slow`, and the others with the mark `soak`."""
    cases = list(cases)
    slow = set(random.Random(seed).sample(range(len(cases)), k=-(-len(cases) // 10)))
    marks = [pytest.mark.slow if number in slow else pytest.mark.soak for number in range(len(cases))]
    parts = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*part, marks=mark) for part, mark in zip(parts, marks, strict=True)]
