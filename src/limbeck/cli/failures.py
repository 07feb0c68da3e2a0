"""Errors become one line on standard error and an exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from limbeck.errors import LimbeckError

__all__ = ["error_object", "print_error", "run_guarded"]

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


def run_guarded(command: Callable[..., Any], debug: bool, as_json: bool = False) -> NoReturn:
    """Run a command of Typer and exit: with its own code, 2 after an error, 130 after an interrupt.

    Args:
        command: the application.
        debug: print the traceback of an error.
        as_json: print an error as a JSON object on standard output, in addition to the line.
    """

    def fail(error: BaseException, message: str, code: int = 2) -> NoReturn:
        if debug:
            traceback.print_exc()
        # Every process of a training fails, and one prints results.
        if as_json and os.environ.get("RANK", "0") == "0":
            print(json.dumps({"error": error_object(error, message)}, ensure_ascii=False), flush=True)
        print_error(message)
        sys.exit(code)

    try:
        code = command(standalone_mode=False)
        if code == _INTERRUPTED:
            # The parser catches an interrupt and prints nothing.
            raise KeyboardInterrupt
        sys.stdout.flush()
    except LimbeckError as error:
        fail(error, str(error))
    except KeyboardInterrupt as error:
        fail(error, "stopped; `limbeck resume RUN` continues from the last checkpoint", code=_INTERRUPTED)
    except BrokenPipeError:
        # `limbeck methods | head`: the reader is gone. The rest of the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fail(error, _os_message(error))
    except Exception as error:
        # The parser's errors have a class that older versions of typer keep elsewhere.
        if hasattr(error, "format_message"):
            fail(error, f"{error.format_message().rstrip('.')}; see limbeck --help{_dash_hint(error)}")
        if not any(sign in str(error) for sign in _FULL_DISK_SIGNS):
            raise
        fail(error, f"cannot write: {error}; the disk may be full: {_MAKE_ROOM}")
    sys.exit(code)


def _dash_hint(error: Exception) -> str:
    """How to give `predict` an input that looks like an option."""
    unknown = getattr(error, "option_name", None)
    command = getattr(getattr(error, "ctx", None), "info_name", None)
    return f", or put -- before the inputs if {unknown!r} is one of them" if unknown and command == "predict" else ""


def _os_message(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write: {error.strerror}{place}; {_MAKE_ROOM}"
    return f"{error.strerror or error}{place}"


def error_object(error: BaseException, message: str) -> dict[str, str | None]:
    """What programs read of an error; the code is None if the error is not one of limbeck's own.

    >>> error_object(LimbeckError("no file a.csv", code="not_found", path="a.csv"), "no file a.csv")
    {'code': 'not_found', 'path': 'a.csv', 'message': 'no file a.csv'}
    """
    code, path = (error.code, error.path) if isinstance(error, LimbeckError) else (None, None)
    return {"code": code, "path": path, "message": _one_line(message)}


def print_error(message: str) -> None:
    """Print the line of an error."""
    print(f"limbeck: {_one_line(message)}", file=sys.stderr)


def _one_line(message: str) -> str:
    return " ".join(message.split())
