"""A run that is killed, anywhere, ends with the same weights as one that is not (DESIGN §7)."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import limbeck.api
from limbeck.errors import RunError
from limbeck.runs.keys import STAGE_FORMAT
from limbeck.training.folder import RunFolder
from resume import recipes
from resume.fork_server import ForkServer, Run, check_readable, check_same, fork_server
from sampling import tenth_slow

RECIPES = {
    "dropout": (recipes.dropout(), None),
    "batch_norm": (recipes.batch_norm(), None),
    "noisy": (recipes.noisy(), recipes.PLUGIN),
    "together": (recipes.together(), None),
    "cached": (recipes.cached(), None),
}


@pytest.fixture(scope="module")
def server():
    return fork_server()


@pytest.fixture(scope="module")
def unbroken(server, tmp_path_factory):
    """Runs that nothing happens to, each made when it is first asked for."""
    made: dict[str, Run] = {}

    def run(name: str) -> Run:
        if name not in made:
            recipe, plugin = RECIPES[name]
            made[name] = Run(tmp_path_factory.mktemp("unbroken") / name, recipe, plugin)
            server(made[name])
        return made[name]

    return run


@pytest.fixture
def killed(server, unbroken, tmp_path):
    """Kill a run once for each death, resume it, and hold it to the unbroken one."""
    numbers = itertools.count()

    def kill(name: str, *deaths: dict[str, Any]) -> None:
        whole = unbroken(name)
        run = Run(tmp_path / f"{next(numbers)}", whole.recipe, whole.plugin)
        for number, death in enumerate(deaths):
            server(run, dict(death), resume=number > 0)
            check_readable(run.parent)
        server(run, resume=True)
        check_same(run, whole)

    return kill


def random_steps(run: Run, count: int, seed: int) -> list[dict[str, Any]]:
    """Deaths at random optimizer steps, before or after the weights change, spread over all stages in turn."""
    draw = random.Random(seed)
    order = list(run.steps())
    stages = {}
    for number, (stage, run_seed, _) in enumerate(order):
        stages.setdefault((stage, run_seed), []).append(number)
    groups = list(stages.values())
    return [
        {"at": "step", "number": draw.choice(groups[i % len(groups)]), "when": draw.choice(["before", "after"])}
        for i in range(count)
    ]


def test_three_random_steps_in_teacher_control_and_student(killed, unbroken):
    for death in random_steps(unbroken("dropout"), 3, seed=1):
        killed("dropout", death)


def test_a_write_is_cut_short(killed):
    killed("dropout", {"at": "half", "what": "checkpoint", "match": "step-", "number": 14})
    killed("dropout", {"at": "half", "what": "event", "match": "", "number": 9})


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), pytest.param(16, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", RECIPES)
def test_random_steps(killed, unbroken, name, count):
    for death in random_steps(unbroken(name), count, seed=2):
        killed(name, death)


@pytest.mark.parametrize("name", tenth_slow(RECIPES))
def test_before_the_first_checkpoint_of_a_stage(killed, unbroken, name):
    for number, (_, _, step) in enumerate(unbroken(name).steps()):
        if step == 0:
            killed(name, {"at": "step", "number": number, "when": "after"})


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_killed_again_and_again(killed, unbroken, name):
    first, second, third = random_steps(unbroken(name), 3, seed=3)
    # A resumed run takes fewer steps than remain of the first: it dies soon.
    killed(name, first, {**second, "number": 3}, {**third, "number": 2}, {**first, "number": 0})


CALLS = [
    ("replace", "step-", 0),
    ("replace", "step-", 17),
    ("replace", "best.pt", 2),
    ("unlink", "step-", 6),
    ("rename", ".stages", 0),
    ("rename", ".stages", 2),
    ("replace", "stage.json", 1),
    ("replace", "environment.json", 2),
    ("replace", "models/control", 0),
    ("replace", "models/student", 1),
    ("replace", "results.json", 0),
    ("replace", "run/results.json", 0),
]


@pytest.mark.parametrize(
    ("call", "match", "number", "when"), tenth_slow((*call, when) for call in CALLS for when in ("before", "after"))
)
def test_around_a_change_of_names(killed, call, match, number, when):
    killed("dropout", {"at": "call", "name": call, "match": match, "number": number, "when": when})


HALVES = [
    ("checkpoint", "step-", 0),
    ("checkpoint", "step-", 30),
    ("checkpoint", "best.pt", 1),
    ("weights", ".stages", 0),
    ("weights", ".stages", 3),
    ("weights", "models/teacher", 0),
    ("text", "stage.json", 2),
    ("text", "config.json", 1),
    ("text", "environment.json", 1),
    ("text", "results.json", 0),
    ("text", "run/.results.json", 0),
    ("event", "", 0),
    ("event", "", 22),
]


@pytest.mark.parametrize(("what", "match", "number"), tenth_slow(HALVES))
def test_in_the_middle_of_a_write(killed, what, match, number):
    killed("dropout", {"at": "half", "what": what, "match": match, "number": number})


def test_killed_before_it_has_begun_is_no_run(server, tmp_path):
    run = Run(tmp_path / "begun", RECIPES["dropout"][0])
    server(run, {"at": "half", "what": "text", "match": "recipe.yaml", "number": 0})
    check_readable(run.parent)
    assert "no run that can be resumed" in server(run, resume=True, fails=True)


def test_resume_of_a_finished_run_changes_nothing(server, unbroken):
    run = unbroken("dropout")
    steps = run.steps()
    files = {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()}
    server(run, resume=True)
    assert run.steps() == steps
    assert {path: path.read_bytes() for path in run.parent.rglob("*") if path.is_file()} == files


@pytest.fixture(scope="module")
def half(server, tmp_path_factory):
    """A run that was killed in its control, to be refused and not to be resumed."""
    run = Run(tmp_path_factory.mktemp("half") / "run", RECIPES["dropout"][0])
    server(run, {"at": "step", "number": 12, "when": "after"})
    return run


@contextmanager
def with_file(run: Run, file: str, content: str) -> Iterator[None]:
    """The run with another content in one of its files."""
    path = run.folder / file
    kept = path.read_text(encoding="utf-8")
    path.write_text(content, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(kept, encoding="utf-8")


def tree(run: Run) -> dict[Path, bytes]:
    files = [*run.folder.rglob("*"), *run.parent.glob(".stages/**/*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


def refused(server: ForkServer, run: Run, **given: Any) -> str:
    """The last line of the error of a resume that changes nothing."""
    before = tree(run)
    error = server(run, resume=True, fails=True, **given)
    assert tree(run) == before
    return error.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("threads", 7, "threads 7, here it is 1"),
        ("processes", 2, "processes 2, here it is 1"),
        ("device", "NVIDIA H200", "device NVIDIA H200, here it is cpu"),
        ("processor", "another", "processor another, here it is"),
        ("packages", {"torch": "1.0"}, "torch 1.0, here it is 2."),
    ],
)
def test_another_environment_is_refused(server, half, name, value, message):
    environment = json.loads((half.folder / "environment.json").read_text(encoding="utf-8"))
    with with_file(half, "environment.json", json.dumps({**environment, name: value})):
        error = refused(server, half)
    assert "RunError: this run began with " + message in error
    assert error.endswith("restore it, or resume with --inexact")


def test_a_run_in_use_is_refused(server, half):
    with RunFolder(half.folder).locked():
        assert f"RunError: the run {half.folder} is in use by another process" in refused(server, half)


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_what_is_no_run_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=re.escape(f"{tmp_path / name} is no run that can be resumed")):
        limbeck.api.resume(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file"]


def test_another_number_of_threads_of_this_process_is_refused(server, half):
    assert "threads 1, here it is 2" in refused(server, half, environment={"set_num_threads": 2})


@pytest.mark.parametrize(("name", "value"), [("threads", 7), ("processes", 2), ("packages", {"torch": "1.0"})])
def test_inexact_goes_on_from_the_checkpoint(server, tmp_path, name, value):
    run = Run(tmp_path / "inexact", RECIPES["dropout"][0])
    # Before anything is trained, as if the whole run had begun there.
    server(run, {"at": "call", "name": "replace", "match": "step-", "number": 0, "when": "before"})
    file = run.folder / "environment.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), name: value}), encoding="utf-8")
    server(run, {"at": "step", "number": 13, "when": "before"}, resume=True, inexact=True)
    seen = len(run.rows.read_text(encoding="utf-8").splitlines())
    server(run, resume=True, inexact=True)
    taken = [json.loads(line) for line in run.rows.read_text(encoding="utf-8").splitlines()[seen:]]
    # The step that it died in is the first that it takes: what was finished stays.
    assert (taken[0]["stage"], taken[0]["step"]) == ("control", 5)
    assert run.results()["verdict"]


@pytest.mark.parametrize("content", ["", "[]", "{}", "{", "\0"])
@pytest.mark.parametrize("file", ["recipe.yaml", "environment.json"])
def test_damaged_files_of_a_run(server, half, file, content):
    with with_file(half, file, content):
        assert "RunError: " + str(half.folder) + " is no run that can be resumed: " in refused(server, half)


@pytest.mark.parametrize("written", [None, 3, 99])
def test_stages_of_another_format_are_refused_by_name(server, half, written):
    environment = json.loads((half.folder / "environment.json").read_text(encoding="utf-8"))
    if written is None:
        del environment["stage_format"]
    else:
        environment["stage_format"] = written
    with with_file(half, "environment.json", json.dumps(environment)):
        line = refused(server, half)
    assert f"its stages have the format {written or 3}, and this version reads {STAGE_FORMAT}" in line
    assert f"limbeck run {half.folder / 'recipe.yaml'}" in line


def test_a_corrupt_checkpoint_is_named_and_the_one_before_serves(server, unbroken, tmp_path):
    run = Run(tmp_path / "corrupt", RECIPES["dropout"][0])
    server(run, {"at": "step", "number": 12, "when": "after"})
    *_, before, newest = sorted(run.folder.glob("checkpoints/control-seed0/step-*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    error = server(run, resume=True, fails=True)
    assert f"RunError: the checkpoint {newest} cannot be read" in error
    assert "remove it to go on from the one before" in error
    assert before.exists()
    newest.unlink()
    server(run, resume=True)
    check_same(run, unbroken("dropout"))
