"""Commands on a disk that takes no more: a limit on the size of files, which every library meets when it writes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from recipes.shell import Shell
from recipes.small import changed

CHANGES: dict[str, Any] = {
    "train.epochs": 4,
    "train.checkpoint_every": 0,
    "models.teacher.train.precision": "float32",
    "cache": {"views": 2},
}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.write(changed(CHANGES))
    return shell


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def weights(run: Path) -> dict[str, dict[str, Tensor]]:
    return {file.parent.name: load_file(file) for file in (run / "models").glob("*/model.safetensors")}


def told(err: str) -> str:
    """The one line of what went wrong, after those that say what goes on."""
    *_, last = err.splitlines()
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("limbeck: ")] == [last]
    return last


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    import limbeck

    return weights(limbeck.run(changed(CHANGES), output=tmp_path_factory.mktemp("whole") / "run"))


@pytest.mark.parametrize("kib", [4, 12, 20])
def test_a_run_ends_with_one_line_and_goes_on(kib: int, shell: Shell, whole: dict[str, dict[str, Tensor]]) -> None:
    with files_end_at(1024 * kib):
        code, out, err = shell("run", "recipe.yaml", "--output", "runs/a")
    assert (code, out) == (2, "")
    line = told(err)
    assert line.startswith("limbeck: cannot write")
    assert "make room, then continue with `limbeck resume RUN`" in line
    assert not list(shell.folder.rglob("*.tmp"))
    code, _, err = shell("resume", "runs/a")
    assert code == 0, err
    found = weights(shell.folder / "runs" / "a")
    assert found.keys() == whole.keys()
    for model, tensors in whole.items():
        assert all(tensors[name].equal(found[model][name]) for name in tensors)


def test_a_run_that_cannot_begin_leaves_nothing(shell: Shell) -> None:
    before = shell.tree()
    with files_end_at(1024):
        code, out, err = shell("run", "recipe.yaml", "--output", "runs/a")
    assert (code, out) == (2, "")
    assert told(err) == "limbeck: cannot make the run runs/a: File too large; choose another --output"
    assert shell.tree() == before


def test_a_cache_is_built_as_far_as_there_is_room_and_goes_on(shell: Shell) -> None:
    assert shell("cache", "build", "recipe.yaml", "--output", "whole")[0] == 0
    with files_end_at(2048):
        code, out, err = shell("cache", "build", "recipe.yaml", "--output", "caches")
    assert (code, out) == (2, "")
    assert "shards/000000.bin cannot be written (File too large); " in told(err)
    assert not list(shell.folder.rglob("*.tmp"))
    assert shell("cache", "build", "recipe.yaml", "--output", "caches")[0] == 0
    made = {path.name: path.read_bytes() for path in (shell.folder / "caches" / "teacher" / "shards").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (shell.folder / "whole" / "teacher" / "shards").iterdir()}


def test_a_teacher_that_cannot_be_kept_ends_a_build_of_its_cache(shell: Shell) -> None:
    with files_end_at(4096):
        code, out, err = shell("cache", "build", "recipe.yaml")
    assert (code, out) == (2, "")
    assert told(err).startswith("limbeck: cannot write")
    assert not list(shell.folder.rglob("*.tmp"))
    assert shell("cache", "build", "recipe.yaml")[0] == 0
