"""Docstrings taken apart."""

from __future__ import annotations

from limbeck.recipes.docstrings import read_docstring


def documented() -> None:
    r"""What it is, of ``x``.

    The equation, with :math:`a` and `b`
    on two lines:

    .. math:: y = \sum_i x_i
        + 1

    - on one: an item
      that goes on;
    - on two: another.

    Args:
        x: maps `[B, C]`; and
            more.
        y: of the same kind.

            In two paragraphs.

    Returns:
        One value, `[B]`.
    Raises:
        ValueError: never.

    Knowledge: outputs.
    Cost: O(B C) operations, O(B)
        memory.

    Example:
        >>> 1
        1

        >>> 2
        2

    >>> 3
    3

    One and Two, 2020, "A Title that Goes
    On", arXiv:2001.00001 (some part). Three, Four and Five (2021), "Another. One", doi:10.1/2.
    """


def test_every_part_is_found() -> None:
    found = read_docstring(documented)
    assert found.summary == "What it is, of x."
    assert found.body == (
        "The equation, with a and b on two lines:",
        r"y = \sum_i x_i + 1",
        "- on one: an item that goes on;\n- on two: another.",
    )
    assert found.arguments == {"Args": {"x": "maps [B, C]; and more.", "y": "of the same kind. In two paragraphs."}}
    assert found.sections == {
        "Returns": "One value, [B].",
        "Knowledge": "outputs.",
        "Cost": "O(B C) operations, O(B) memory.",
    }
    assert (found.section("Knowledge"), found.section("Nothing")) == ("outputs", None)
    assert found.references == (
        'One and Two, 2020, "A Title that Goes On", arXiv:2001.00001 (some part).',
        'Three, Four and Five (2021), "Another. One", doi:10.1/2.',
    )


def test_no_docstring_says_nothing() -> None:
    found = read_docstring(lambda: None)
    assert (found.summary, found.body, found.sections, found.arguments, found.references) == ("", (), {}, {}, ())
