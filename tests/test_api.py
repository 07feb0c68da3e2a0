"""One call from a recipe to a run: plugins, and the folder that a run is written into."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import SafetensorError

import limbeck
from limbeck import api, registry
from limbeck.api import check, load_plugin
from limbeck.errors import LimbeckError, RecipeError, RunError
from limbeck.training.folder import new_folder
from limbeck.training.progress import SilentProgress
from recipes.failing import FAILING, register_failing
from recipes.shell import Shell
from recipes.small import SMALL, changed

PLUGIN = '''
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from limbeck.registry import register


@register("loss", "plugin_l1")
class L1(nn.Module):
    """The distance between logits."""

    def __init__(self, gain=1.0, power: int = 1) -> None:
        super().__init__()
        self.gain = gain
        self.power = power

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.gain * (student - teacher).abs().pow(self.power).mean(-1)


@register("model", "plugin_linear")
class Linear(nn.Module):
    def __init__(self, channels: int, classes: int, size: tuple[int, int], scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Linear(channels * size[0] * size[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * self.head(images.flatten(1))


@register("schedule", "plugin_halves")
@dataclass(frozen=True)
class Halves:
    start: float
    options: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, step: int) -> float:
        return self.start * 0.5**step


@register("loss", "plugin_broken")
class Broken(nn.Module):
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return student @ teacher


@register("loss", "plugin_cut")
class Cut(nn.Module):
    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        return student.detach().sum(-1)


@register("model", "plugin_wide")
class Wide(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
'''


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    shell = Shell(tmp_path, monkeypatch, capsys)
    (tmp_path / "mine.py").write_text(PLUGIN, encoding="utf-8")
    with registry.temporary():
        yield shell


USES_PLUGIN = changed(
    {
        "models.student": {"use": "plugin_linear", "scale": 0.5},
        "objective.soft": {
            "loss": {"use": "plugin_l1", "gain": 2, "power": 2},
            "weight": {"use": "plugin_halves", "start": 1.0},
        },
    }
)


def test_a_plugin_registers_a_loss_a_model_and_a_schedule(shell: Shell) -> None:
    path = limbeck.run(USES_PLUGIN, plugin="mine.py", output="runs/one")
    written = yaml.safe_load((path / "recipe.yaml").read_text(encoding="utf-8"))
    assert written["objective"]["soft"]["loss"] == {"use": "plugin_l1", "gain": 2, "power": 2}
    assert written["objective"]["soft"]["weight"] == {"use": "plugin_halves", "start": 1.0, "options": {}}
    assert written["models"]["student"]["scale"] == 0.5
    # In one process, as in a notebook: the same file again, and the recipe that the run has written.
    again = limbeck.run(path / "recipe.yaml", plugin="mine.py", output="runs/two")
    assert (again / "models/student/model.safetensors").read_bytes() == (
        path / "models/student/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("x = 1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("import no_such_package", "ModuleNotFoundError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("'two\\nlines'.missing", "AttributeError"),
        ("raise ValueError('two\\nlines')", "two lines"),
        ("from limbeck.registry import register\nregister('loss', 'cross_entropy')(int)", "registered already"),
        (b"\xff\xfe", "SyntaxError"),
        # A ValueError in Python 3.11.3 and before, a SyntaxError since.
        (b"x = 1\x00", "null bytes"),
    ],
)
def test_a_plugin_that_fails_is_one_line(shell: Shell, content: str | bytes, told: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (shell.folder / "wrong.py").write_bytes(data)
    assert told in shell.refused("run", "digits", "--plugin", "wrong.py")


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing.py", "no plugin file nothing.py"), (".", "no plugin file ."), ("mine.txt", "end in .py")],
)
def test_a_plugin_that_is_none_is_one_line(shell: Shell, name: str, told: str) -> None:
    (shell.folder / "mine.txt").write_text(PLUGIN, encoding="utf-8")
    assert told in shell.refused("run", "digits", "--plugin", name)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objective.soft.loss": "plugin_broken"}, "the student cannot train: RuntimeError"),
        ({"objective.soft.loss": "plugin_broken"}, "in the term 'soft'"),
        ({"objective.hard.loss": "plugin_cut", "objective.soft.weight": 0}, "does not require grad"),
        ({"objective.soft.loss": {"use": "plugin_l1", "power": "x"}}, "objective.soft.loss.power"),
        ({"objective.soft.loss": {"use": "plugin_l1", "gian": 1}}, "'gain'"),
        ({"objective.soft.loss": "plugin_l2"}, "'plugin_l1'"),
        ({"models.student": "plugin_wide"}, "models.student cannot take images of 8×8"),
    ],
)
def test_an_entry_of_a_plugin_that_cannot_work_is_one_line(shell: Shell, changes: dict[str, Any], told: str) -> None:
    assert told in shell.refused("run", shell.write(changed(changes)), "--plugin", "mine.py")


def test_recipes_check_takes_a_plugin(shell: Shell) -> None:
    name = shell.write(USES_PLUGIN)
    assert "no model 'plugin_linear'" in shell.refused("recipes", "check", name)
    code, out, err = shell("recipes", "check", name, "--plugin", "mine.py")
    assert (code, err) == (0, "")
    assert yaml.safe_load(out) == check(USES_PLUGIN, plugin="mine.py") | {"name": "recipe"}


def test_loading_a_plugin_twice_replaces_its_entries_and_no_others(shell: Shell) -> None:
    load_plugin(Path("mine.py"))
    first = registry.lookup("loss", "plugin_l1")
    load_plugin(Path("mine.py"))
    assert registry.lookup("loss", "plugin_l1") is not first
    (shell.folder / "other.py").write_text(PLUGIN, encoding="utf-8")
    with pytest.raises(RecipeError, match="registered already"):
        load_plugin(Path("other.py"))


# The folder of the run.


def test_an_output_that_is_there_is_refused(shell: Shell) -> None:
    (shell.folder / "there").mkdir()
    (shell.folder / "there/file").touch()
    assert "there is there already; choose another --output" in shell.refused("run", "digits", "--output", "there")


def test_an_output_that_is_a_file_is_refused(shell: Shell) -> None:
    (shell.folder / "there").touch()
    assert "there is there already" in shell.refused("run", "digits", "--output", "there")


@pytest.mark.parametrize("output", ["file/below", "file/much/further/below", "link", "x" * 300, "new/" + "x" * 300])
def test_an_output_that_cannot_be_made_is_refused(shell: Shell, output: str) -> None:
    (shell.folder / "file").touch()
    (shell.folder / "link").symlink_to("nowhere/at/all")
    assert output[:4] in shell.refused("run", shell.write(SMALL), "--output", output)


def test_runs_that_is_a_file_is_refused(shell: Shell) -> None:
    (shell.folder / "runs").touch()
    assert "choose another --output" in shell.refused("run", shell.write(SMALL))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(shell: Shell) -> None:
    (shell.folder / "closed").mkdir(mode=0o500)
    assert "Permission denied" in shell.refused("run", shell.write(SMALL), "--output", "closed/run")


@pytest.mark.parametrize("output", [None, "new/folder/run", "empty"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_disk_that_cannot_be_written_leaves_no_half_of_a_run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, code: int, at: int, output: str | None
) -> None:
    """Each of the two files is made known by a sync of itself and one of its folder."""
    (shell.folder / "empty").mkdir()
    calls = 0
    sync = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(code, os.strerror(code))
        sync(descriptor)

    monkeypatch.setattr("limbeck.files.os.fsync", failing)
    told = shell.refused("run", shell.write(SMALL), *(() if output is None else ("--output", output)))
    assert calls == at
    assert "cannot make the run" in told
    assert os.strerror(code) in told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "some/file"), "No space left on device (some/file)"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "No space left"),
        (RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 46464 vs 46360"), "may be full"),
    ],
    ids=repr,
)
def test_a_disk_that_is_full_later_is_one_line_that_names_resume(shell: Shell, error: Exception, told: str) -> None:
    """What Python, safetensors and torch raise on a file system without room, tried on one of 8 to 400 kB."""
    register_failing(error)
    code, out, err = shell("run", shell.write(FAILING))
    assert (code, out) == (2, "")
    assert err.count("limbeck: ") == 1
    last = err.splitlines()[-1]
    assert last.startswith("limbeck: cannot write: ")
    assert told in last
    assert last.endswith("continue with `limbeck resume RUN`, or repeat the command")


class BegunError(Exception):
    """Raised instead of a training."""


class Beginning(SilentProgress):
    """Ends a run when it tells its folder, before the first stage."""

    def note(self, text: str) -> None:
        raise BegunError(text.removeprefix("run "))


def begun(recipe: dict[str, Any], **options: Any) -> Path:
    """The folder of a run that has only begun."""
    with pytest.raises(BegunError) as ended:
        limbeck.run(recipe, progress=Beginning(), **options)
    return Path(str(ended.value))


def test_two_runs_of_one_second_have_two_folders(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    recipe = {**SMALL, "name": "a name / with ../signs"}
    assert begun(recipe) == Path("runs/a-name-with-..-signs-20260101-000000")
    assert begun(recipe) == Path("runs/a-name-with-..-signs-20260101-000000-2")


def test_runs_that_begin_together_have_a_folder_each(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them look before the first one makes its folder."""
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    looked = [api._paths("together", None) for _ in range(6)]

    def make(paths: Iterator[Path]) -> str:
        with new_folder(paths, exclusive=True) as folder:
            return folder.path.name

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(make, looked))
    assert sorted(made) == [f"together-20260101-000000{f'-{number}' if number > 1 else ''}" for number in range(1, 7)]


def test_a_link_to_nowhere_in_place_of_runs_is_refused(shell: Shell) -> None:
    (shell.folder / "runs").symlink_to("nowhere")
    assert "cannot make the run" in shell.refused("run", shell.write(SMALL))


def test_an_empty_folder_may_be_the_output(shell: Shell) -> None:
    (shell.folder / "empty").mkdir()
    assert begun(SMALL, output="empty") == Path("empty")
    assert {"environment.json", "recipe.yaml"} <= {path.name for path in Path("empty").iterdir()}


def test_python_raises_the_class_of_the_fault(shell: Shell) -> None:
    with pytest.raises(RecipeError, match="epochs is 0"):
        limbeck.run(SMALL, overrides=["train.epochs=0"])
    (shell.folder / "there").touch()
    with pytest.raises(RunError, match="already"):
        limbeck.run(SMALL, output="there")
    with pytest.raises(LimbeckError, match="digits"):
        limbeck.run("digts")
    assert shell.tree() == ["mine.py", "there"]
