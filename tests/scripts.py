"""The `main` of a benchmark with words of a command line, in this process: a new one takes longer than a small run."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable

import pytest

__all__ = ["printed_by"]


def printed_by(main: Callable[[], None], *words: str) -> str:
    """What it writes on standard output; it must end without a fault."""
    output, code = io.StringIO(), None
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(sys, "argv", [main.__module__, *words])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert not code, output.getvalue()
    return output.getvalue()
