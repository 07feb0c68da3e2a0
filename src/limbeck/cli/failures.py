"""Errors become one line on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from limbeck.errors import LimbeckError

__all__ = ["run_guarded"]

_INTERRUPTED = 130
_MAKE_ROOM = "make room, then continue with `limbeck resume RUN`, or repeat the command"
# safetensors and torch write in native code and report a full disk in exceptions of their own.
_FULL_DISK_SIGNS = (
    "(os error 27)",
    "(os error 28)",
    "(os error 122)",
    "unexpected pos",
    "PytorchStreamWriter failed",
)


def run_guarded(command: Callable[..., Any], debug: bool) -> NoReturn:
    """Run a command of Typer and exit: with its own code, 2 after an error, 130 after an interrupt."""
    try:
        code = command(standalone_mode=False)
        if code == _INTERRUPTED:
            # The parser catches an interrupt and prints nothing.
            raise KeyboardInterrupt
        sys.stdout.flush()
    except LimbeckError as error:
        _fail(str(error), debug)
    except KeyboardInterrupt:
        _fail("stopped; `limbeck resume RUN` continues from the last checkpoint", debug, code=_INTERRUPTED)
    except BrokenPipeError:
        # `limbeck methods | head`: the reader is gone. The rest of the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(_os_message(error), debug)
    except Exception as error:
        # The parser's errors have a class that older versions of typer keep elsewhere.
        if hasattr(error, "format_message"):
            _fail(f"{error.format_message().rstrip('.')}; see limbeck --help", debug)
        if not any(sign in str(error) for sign in _FULL_DISK_SIGNS):
            raise
        _fail(f"cannot write: {error}; the disk may be full: {_MAKE_ROOM}", debug)
    sys.exit(code)


def _os_message(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write: {error.strerror}{place}; {_MAKE_ROOM}"
    return f"{error.strerror or error}{place}"


def _fail(message: str, debug: bool, code: int = 2) -> NoReturn:
    if debug:
        traceback.print_exc()
    print(f"limbeck: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
