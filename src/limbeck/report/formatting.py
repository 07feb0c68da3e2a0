"""Numbers as text: one way to write each quantity, and a dash for what is unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

__all__ = [
    "DASH",
    "bracket",
    "brief",
    "count",
    "counted",
    "finite",
    "milliseconds",
    "percent",
    "plural",
    "scaled",
    "sentence_case",
    "significant",
    "size",
]

DASH = "–"


def finite(value: float | None) -> float | None:
    """The number, or None if it is unknown, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def significant(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, never in powers of ten unless it is tiny.

    >>> significant(0.01234), significant(1234567.0), significant(1.2e-6), significant(None)
    ('0.0123', '1,234,567', '1.2e-06', '–')
    """
    known = finite(value)
    if known is None:
        return DASH
    if known == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(known)))
    if magnitude < -3:
        return f"{known:.{digits}g}"
    return f"{known:,.{max(0, digits - 1 - magnitude)}f}"


def percent(value: float | None, *, unit: bool = True) -> str:
    """A share as a percentage with one decimal.

    >>> percent(0.9837), percent(0.9837, unit=False), percent(float("nan"))
    ('98.4%', '98.4', '–')
    """
    known = finite(value)
    return DASH if known is None else f"{100 * known:.1f}{'%' if unit else ''}"


def count(value: float | None) -> str:
    """A whole number with separators."""
    known = finite(value)
    return DASH if known is None else f"{known:,.0f}"


def counted(value: float | None, noun: str) -> str:
    """A number of things.

    >>> counted(1, "row"), counted(1157, "class")
    ('1 row', '1,157 classes')
    """
    return f"{count(value)} {noun if value == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of a regular English noun.

    >>> plural("class"), plural("query"), plural("image")
    ('classes', 'queries', 'images')
    """
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def size(value: float | None) -> str:
    """A number of bytes in decimal units.

    >>> size(85_000), size(999), size(None)
    ('85.0 kB', '999 B', '–')
    """
    return scaled(value, ("B", "kB", "MB", "GB", "TB"))


def scaled(value: float | None, units: tuple[str, ...] = ("", "k", "M", "G", "T")) -> str:
    """A number with a decimal prefix, to three digits.

    >>> scaled(1_200_000.0), scaled(12.0)
    ('1.20 M', '12')
    """
    known = finite(value)
    if known is None:
        return DASH
    step = 0
    # 999.5 would be rounded to 1000 of the smaller unit.
    while abs(known) >= 999.5 and step < len(units) - 1:
        known /= 1000
        step += 1
    text = f"{known:,.0f}" if step == 0 else significant(known)
    return f"{text} {units[step]}".strip()


def milliseconds(value: float | None, *, unit: bool = True) -> str:
    """A duration in milliseconds, to three digits and at most to the microsecond.

    >>> milliseconds(2.314), milliseconds(0.09402), milliseconds(None)
    ('2.31 ms', '0.094 ms', '–')
    """
    known = finite(value)
    if known is None:
        return DASH
    decimals = next((digits for digits, bound in ((3, 1), (2, 10), (1, 100)) if known < bound), 0)
    return f"{known:,.{decimals}f}{' ms' if unit else ''}"


def brief(written: str) -> str:
    """A number without the zeros that end its decimals, for the ticks of an axis.

    >>> brief("0.100 ms"), brief("20.0%"), brief("100 kB")
    ('0.1 ms', '20%', '100 kB')
    """
    return re.sub(r"\.(\d*?)0+(?!\d)", lambda found: f".{found[1]}" if found[1] else "", written)


def bracket(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    """An interval, or nothing when one of its ends is unknown.

    >>> bracket(0.1, 0.2, str), bracket(None, 0.2, str)
    ('[0.1, 0.2]', '')
    """
    start, end = finite(low), finite(high)
    return "" if start is None or end is None else f"[{write(start)}, {write(end)}]"


def sentence_case(words: str) -> str:
    """The words with a capital first letter; the other letters stay as they are.

    >>> sentence_case("macro-F1")
    'Macro-F1'
    """
    return words[:1].upper() + words[1:]
