"""The folder of a run: its names, its lock, what is swept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.errors import RunError
from limbeck.training.folder import RunFolder
from refusals import refused


def test_names(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "digits")
    parts = {
        "recipe.yaml": folder.recipe,
        "environment.json": folder.environment,
        "events.jsonl": folder.events,
        "events/student-seed0.jsonl": folder.stage_events("student", 0),
        "results.json": folder.results,
        "checkpoints/student-seed0": folder.checkpoints("student-seed0"),
        "models/student": folder.model("student"),
        "export/student.onnx": folder.export("student"),
        "../.stages": folder.stages,
    }
    assert {name: path.resolve() for name, path in parts.items()} == {
        name: (folder.path / name).resolve() for name in parts
    }


def test_only_what_was_being_written_is_swept(tmp_path):
    kept = ["a.tmp", ".lock", ".hidden", "models/student/model.safetensors", "tmp"]
    left = [".a.json.12.tmp", "models/student/.model.safetensors.7.tmp", "checkpoints/x/.step-00000001.pt.7.tmp"]
    for name in (*kept, *left):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    RunFolder(tmp_path).sweep()
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)


def test_a_run_in_use_is_refused_and_free_afterwards(tmp_path):
    folder = RunFolder(tmp_path)

    def again() -> None:
        with RunFolder(tmp_path).locked():
            pass

    with folder.locked(), refused(RunError, "in_use", tmp_path, match="is in use by another process"):
        again()
    again()


def test_the_lock_is_free_after_an_error(tmp_path):
    folder = RunFolder(tmp_path)

    def fail() -> None:
        with folder.locked():
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    with folder.locked():
        pass


def test_the_lock_goes_with_its_process(tmp_path):
    script = (
        "import sys; from pathlib import Path; from limbeck.training.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with refused(RunError, "in_use", tmp_path), RunFolder(tmp_path).locked():
            pass
        process.kill()
    with RunFolder(Path(tmp_path)).locked():
        pass
