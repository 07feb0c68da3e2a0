"""The command line in this process, in an empty folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from limbeck.cli import main


class Refusal(NamedTuple):
    code: str | None
    path: str | None
    message: str


class Shell:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        # A terminal of another width would break lines elsewhere.
        monkeypatch.setenv("COLUMNS", "200")

    def write(self, recipe: Mapping[str, Any], name: str = "recipe.yaml") -> str:
        (self.folder / name).write_text(yaml.safe_dump(dict(recipe), sort_keys=False), encoding="utf-8")
        return name

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """The exit code, what went to standard output, and what went to standard error."""
        self._monkeypatch.setattr(sys, "argv", ["limbeck", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = self._capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    def refused(self, *words: str) -> str:
        """The one line of a command that must fail before it trains or writes anything."""
        before = self.tree()
        code, out, err = self(*words)
        assert (code, out) == (2, ""), err
        assert err.startswith("limbeck: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        assert self.tree() == before
        return err

    def refusal(self, *words: str) -> Refusal:
        """The error of a command that takes ``--json`` and must fail before it trains or writes anything."""
        line = self.refused(*words)
        code, out, err = self(*words, "--json")
        assert (code, err) == (2, line)
        (kind,) = json.loads(out).items()
        assert kind[0] == "error"
        refusal = Refusal(**kind[1])
        assert f"limbeck: {refusal.message}\n" == line
        return refusal

    def tree(self) -> list[str]:
        """What stands in the folder, but for what Python compiles of a plugin there."""
        paths = (path for path in self.folder.rglob("*") if "__pycache__" not in path.parts)
        return sorted(str(path.relative_to(self.folder)) for path in paths)
