"""An error of a code and a place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from limbeck.errors import LimbeckError


@contextmanager
def refused(
    kind: type[LimbeckError], code: str, path: object = None, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[LimbeckError]]:
    """What runs in it must raise an error of this class, code and place, in one line.

    Args:
        kind: the class.
        code: expected.
        path: expected.
        match: a pattern in the text, where that is tested too.
    """
    with pytest.raises(kind, match=match) as caught:
        yield caught
    assert (caught.value.code, caught.value.path) == (code, None if path is None else str(path)), caught.value
    assert "\n" not in str(caught.value)
