"""What works without importing torch: the package itself, every help text, and the commands that list things."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from limbeck.cli import app

# Each takes a second or more to import, and no help text needs it.
HEAVY = ("torch", "accelerate", "onnxruntime", "transformers", "sklearn", "scipy", "pandas")


def commands() -> Iterator[tuple[str, ...]]:
    """Every command and group, as words."""
    todo = [((), typer.main.get_command(app))]
    while todo:
        words, command = todo.pop()
        yield words
        todo += [((*words, name), inner) for name, inner in getattr(command, "commands", {}).items()]


def imported(code: str, folder: Path) -> tuple[set[str], str]:
    """The heavy packages that a program imports, and what it prints."""
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr))\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split()), done.stdout


def command(*words: str) -> str:
    return f"sys.argv = ['limbeck', *{words}]\nfrom limbeck.cli import main\nmain()"


def test_importing_limbeck(tmp_path: Path) -> None:
    assert imported("import limbeck\nprint(limbeck.__version__)", tmp_path) == (set(), "0.1.0\n")


def test_every_command_is_known() -> None:
    words = {" ".join(words) for words in commands()}
    assert {"", "run", "resume", "report", "recipes", "predict", "methods", "taps", "cache", "cache build"} <= words


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help(words: tuple[str, ...], tmp_path: Path) -> None:
    heavy, out = imported(command(*words, "--help"), tmp_path)
    assert heavy == set()
    assert out.startswith("Usage: ")
    assert "Example: limbeck" in out or words in ((), ("cache",))


@pytest.mark.parametrize(
    "words", ["", "recipes", "recipes digits", "recipes schema", "methods", "methods bert", "methods --json"]
)
def test_commands_that_list_things(words: str, tmp_path: Path) -> None:
    heavy, out = imported(command(*words.split()), tmp_path)
    assert heavy == set()
    assert out
