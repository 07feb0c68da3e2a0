"""A teacher of texts by itself: one stage and one cache, whatever the student reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import limbeck
from limbeck import api_cache
from limbeck.runs.cache.query import TeacherQuery
from limbeck.training.progress import SilentProgress
from recipes.shell import Shell
from tasks import small_tags, small_texts

Jobs = list[tuple[Any, dict[str, Tensor]]]

BILSTM = {"use": "bilstm", "embedding": 8, "width": 8, "hidden": 8}
SMALLER = {"shrink": "teacher", "layers": 1}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries of a cache a teacher was asked for, call by call."""
    counts: list[int] = []
    call = TeacherQuery.__call__

    def counted(self: TeacherQuery, entries: Tensor, views: Tensor) -> dict[str, Any]:
        counts.append(len(entries))
        return call(self, entries, views)

    monkeypatch.setattr(TeacherQuery, "__call__", counted)
    return counts


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def made_of(recipe: Callable[..., dict[str, Any]], folder: Path, student: dict[str, Any]) -> dict[str, Any]:
    spec = recipe(folder, **student)
    # Rows are cut, more of them by a BERT, which reads two marks beside them; and validation decides something.
    spec["data"]["max_length"] = 9
    spec["models"]["teacher"]["train"] |= {"select": "best", "epochs": 3}
    return {**spec, "control": False, "export": {"formats": []}}


def reviews(folder: Path, student: dict[str, Any] = BILSTM) -> dict[str, Any]:
    return made_of(small_texts.recipe, folder, student)


def sentences(folder: Path, student: dict[str, Any] = BILSTM) -> dict[str, Any]:
    return made_of(small_tags.recipe, folder, student)


def trained(jobs: Jobs) -> list[str]:
    found = [job.stage for job, _ in jobs]
    jobs.clear()
    return found


def teacher(run: Path) -> dict[str, Tensor]:
    return load_file(run / "models/teacher/model.safetensors")


def events(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["stage"] == "teacher"]


def shards(runs: Path) -> dict[Path, tuple[bytes, int]]:
    """What the caches beside these runs hold, and when it was written."""
    files = sorted((runs / ".caches").rglob("*.bin"))
    return {file.relative_to(runs): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_students_of_other_tokens_share_a_trained_teacher_and_its_cache(
    tmp_path: Path, jobs: Jobs, asked: list[int]
) -> None:
    first = limbeck.run(reviews(tmp_path, SMALLER), output=tmp_path / "runs/smaller")
    written = shards(tmp_path / "runs")
    assert (trained(jobs), len({file.parent for file in written})) == (["teacher", "student"], 1)
    assert sum(asked) > 200
    asked.clear()
    notes = Notes()
    second = limbeck.run(reviews(tmp_path), output=tmp_path / "runs/bilstm", progress=notes)
    assert trained(jobs) == ["student"]
    assert "teacher, seed 0: taken from an earlier run" in notes.lines
    assert any(line.startswith("cache: teacher's") and line.endswith("built before") for line in notes.lines)
    # Once, to see what it says.
    assert asked == [1]
    assert shards(tmp_path / "runs") == written
    assert events(second) == events(first) != []
    torch.testing.assert_close(teacher(second), teacher(first), rtol=0, atol=0)


@pytest.mark.parametrize("recipe", [reviews, sentences])
def test_a_teacher_and_its_cache_are_the_same_where_nothing_is_shared(
    recipe: Callable[..., dict[str, Any]], tmp_path: Path, jobs: Jobs
) -> None:
    runs = {}
    for name, student in (("smaller", SMALLER), ("bilstm", BILSTM)):
        runs[name] = limbeck.run(recipe(tmp_path, student), output=tmp_path / name / "run")
        assert trained(jobs) == ["teacher", "student"]
    torch.testing.assert_close(teacher(runs["bilstm"]), teacher(runs["smaller"]), rtol=0, atol=0)
    ours, theirs = ({file: held for file, (held, _) in shards(tmp_path / name).items()} for name in runs)
    assert ours == theirs != {}


def test_a_teacher_learns_the_same_whether_others_read_its_layers_or_not(tmp_path: Path, jobs: Jobs) -> None:
    plain, tapped = reviews(tmp_path, SMALLER), reviews(tmp_path, SMALLER)
    for name in ("teacher", "student"):
        tapped["models"][name] = {**tapped["models"][name], "taps": "attention"}
    read = {f"{name}_{part}": f"{name}.{part}" for name in ("student", "teacher") for part in ("query", "key")}
    read["attention_mask"] = "batch.inputs.attention_mask"
    # The teacher has two layers, the student one.
    maps = {"use": "attention_scores", "on": "maps", "layers": [[-1, -1]]}
    tapped["objective"] = {**plain["objective"], "attention": {"loss": maps, "inputs": read}}
    first = limbeck.run(plain, output=tmp_path / "runs/plain")
    assert trained(jobs) == ["teacher", "student"]
    second = limbeck.run(tapped, output=tmp_path / "runs/tapped")
    assert trained(jobs) == ["student"]
    torch.testing.assert_close(teacher(second), teacher(first), rtol=0, atol=0)


def another_length(spec: dict[str, Any], folder: Path) -> None:
    spec["data"]["max_length"] += 1


def other_numbers(spec: dict[str, Any], folder: Path) -> None:
    words = small_texts.VOCABULARY
    small_texts.tokenizer(folder / "other", [*words[:5], *reversed(words[5:])])
    for file in ("vocab.txt", "tokenizer.json"):
        (folder / "teacher" / file).unlink(missing_ok=True)
    (folder / "teacher" / "vocab.txt").write_bytes((folder / "other" / "vocab.txt").read_bytes())


@pytest.mark.parametrize("change", [another_length, other_numbers])
def test_a_teacher_that_reads_otherwise_is_trained_and_asked_again(
    change: Callable[[dict[str, Any], Path], None], tmp_path: Path, jobs: Jobs
) -> None:
    spec = reviews(tmp_path)
    limbeck.run(spec, output=tmp_path / "runs/one")
    before, _ = set(shards(tmp_path / "runs")), trained(jobs)
    changed = copy.deepcopy(spec)
    change(changed, tmp_path)
    limbeck.run(changed, output=tmp_path / "runs/other")
    assert trained(jobs) == ["teacher", "student"]
    assert len({file.parent for file in set(shards(tmp_path / "runs")) - before}) == 1


def test_caches_are_found_and_verified_for_a_student_of_other_tokens(shell: Shell) -> None:
    (built,) = api_cache.build(reviews(shell.folder, SMALLER))
    (found,) = api_cache.info(reviews(shell.folder))
    assert (found["folder"], found["missing"]) == (built["folder"], [])
    (verified,) = api_cache.verify(reviews(shell.folder), sample=40)
    assert verified["recomputed"] >= 40
    assert (verified["faults"], verified["differing"]["logits"]) == ({}, [])
