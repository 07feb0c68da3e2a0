"""The commands of caches: what they write, print and refuse."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from cache.killing import killed_at, lines_of
from cache.tables import content
from launches import completed, limbeck
from limbeck import api_cache
from limbeck.cache import CacheReader, build
from limbeck.errors import RecipeError
from recipes.shell import Shell
from recipes.small import changed

CHANGES: dict[str, Any] = {"train.epochs": 4, "cache.views": 2, "models.teacher.train.precision": "float32"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a teacher is trained, and its cache built."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        api_cache.build(changed(CHANGES), output="caches")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def shell(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    shutil.copytree(trained, tmp_path / "here")
    shell = Shell(tmp_path / "here", monkeypatch, capsys)
    shell.write(changed(CHANGES))
    return shell


def test_a_build_trains_the_teacher_and_a_run_takes_both(shell: Shell) -> None:
    shutil.rmtree("runs")
    code, out, err = shell("cache", "build", "recipe.yaml", "--json")
    assert code == 0, err
    built = json.loads(out)["caches"]
    assert [cache["teacher"] for cache in built] == ["teacher"]
    assert (built[0]["rows"], built[0]["views"], built[0]["missing"]) == (1168, 2, [])
    assert built[0]["written"] == list(range(19))
    assert [line.split(":")[0] for line in err.splitlines()] == ["teacher, seed 0", "cache"]
    assert {path.name for path in Path("runs").iterdir()} == {".caches", ".stages"}
    code, _, err = shell("run", "recipe.yaml")
    assert code == 0, err
    assert "teacher, seed 0: taken from an earlier run" in err
    assert f"in {built[0]['folder']}: built before" in err


def test_a_long_build_says_how_far_it_is(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(step=11)
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))
    code, _, err = shell("cache", "build", "recipe.yaml", "--output", "others")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("cache: teacher, entries: ")]
    assert [line.split(": ")[2].split(",")[0] for line in lines[:2]] == ["128 of 2", "256 of 2"]
    code, _, err = shell("run", "recipe.yaml", "--set", "cache.folder=more")
    assert code == 0
    assert "cache: teacher, entries: 128 of 2,336, " in err


def test_a_cache_is_removed_and_nothing_else(shell: Shell) -> None:
    (shell.folder / "caches" / "beside").mkdir()
    before = shell.tree()
    assert "caches is no cache; `limbeck cache info` shows" in shell.refused("cache", "remove", "caches")
    assert "caches/beside is no cache" in shell.refused("cache", "remove", "caches/beside")
    assert shell.tree() == before
    assert shell("cache", "remove", "caches/teacher") == (0, "removed caches/teacher, 96,480 bytes\n", "")
    assert [path for path in before if not path.startswith("caches/teacher")] == shell.tree()


def test_info_tells_what_a_cache_holds(shell: Shell) -> None:
    code, out, _ = shell("cache", "info", "caches")
    assert code == 0
    assert out.splitlines()[:3] == [
        "teacher  caches/teacher",
        "  2,336 entries (1,168 rows, views: 2), 96,480 bytes in 19 shards",
        "  logits [10]: float32; 40 bytes an entry, largest error 0",
    ]
    by_folder = json.loads(shell("cache", "info", "caches/teacher", "--json")[1])
    by_recipe = json.loads(shell("cache", "info", "recipe.yaml", "--output", "caches", "--json")[1])
    assert by_folder == by_recipe
    fingerprints = by_folder["caches"][0]["fingerprints"]
    assert fingerprints["data"]["augment"] == {"flip": False, "crop": 1, "erase": 0.0, "seed": 0}
    assert sorted(fingerprints) == ["data", "output", "plugin", "precision", "teacher"]


def test_verify_asks_the_teacher_again_and_names_what_is_damaged(shell: Shell) -> None:
    before = content(Path("caches"))
    code, out, _ = shell("cache", "verify", "recipe.yaml", "--output", "caches", "--sample", "300")
    assert (code, out) == (0, "teacher  caches/teacher\n  384 entries asked for again, 0 differ\n")
    path = Path("caches/teacher/shards/000003.bin")
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 4
    path.write_bytes(damaged)
    Path("caches/teacher/shards/000007.bin").write_bytes(b"short")
    code, out, err = shell("cache", "verify", "caches", "--json")
    assert code == 2
    assert sorted(json.loads(out)["caches"][0]["faults"]) == ["3", "7"]
    error = json.loads(out)["error"]
    assert (error["code"], error["path"], f"limbeck: {error['message']}\n") == ("damaged", "caches/teacher", err)
    assert "2 shards are missing or damaged (caches/teacher/shards/000003.bin is damaged: its checksum" in err
    code, out, _ = shell("cache", "build", "recipe.yaml", "--output", "caches", "--json")
    assert json.loads(out)["caches"][0]["written"] == [3, 7]
    assert sorted(json.loads(out)["caches"][0]["mended"]) == ["3", "7"]
    assert content(Path("caches")) == before


def test_an_entry_that_differs_from_what_the_teacher_says_is_found(shell: Shell) -> None:
    before = CacheReader(Path("caches/teacher").rename("before"))

    def changed_mind(rows: Tensor, views: Tensor) -> dict[str, Any]:
        found = before.read(rows, views)
        found["logits"][(rows == 77) & (views == 1)] += 1
        return found

    build(Path("caches/teacher"), before.manifest, changed_mind)
    code, out, err = shell("cache", "verify", "recipe.yaml", "--output", "caches", "--sample", "3000", "--json")
    assert code == 2
    assert json.loads(out)["caches"][0]["differing"] == {"logits": [[77, 1]]}
    assert json.loads(out)["error"]["code"] == "damaged"
    assert "1 of 2336 entries differ from what the teacher says" in err


def test_parts_make_one_cache_together(shell: Shell) -> None:
    before = content(Path("caches"))
    shutil.rmtree("caches")
    for part in ("1/3", "0/3"):
        assert shell("cache", "build", "recipe.yaml", "--output", "caches", "--shard", part)[0] == 0
    assert sorted(CacheReader(Path("caches/teacher")).faults()) == [2, 5, 8, 11, 14, 17]
    assert shell("cache", "build", "recipe.yaml", "--output", "caches", "--shard", "2/3")[0] == 0
    assert content(Path("caches")) == before


@pytest.mark.parametrize("command", ["build", "verify", "info"])
@pytest.mark.parametrize("recipe", ["mutual", "false.yaml"])
def test_where_nothing_can_be_cached_nothing_is_written(
    command: str, recipe: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "empty").mkdir()
    monkeypatch.chdir(shell.folder / "empty")
    shell.write({**changed(CHANGES), "cache": False}, "empty/false.yaml")
    assert "limbeck: cache: the recipe " in shell.refused("cache", command, recipe)


@pytest.mark.parametrize("command", ["verify", "info"])
def test_a_look_at_caches_of_teachers_that_are_not_trained_leaves_no_folder(command: str, shell: Shell) -> None:
    code, _, err = shell("cache", command, "recipe.yaml", "--set", "models.teacher.train.seed=5")
    assert (code, err.splitlines()[-1].partition(",")[0]) == (2, "limbeck: teacher is not trained yet")
    assert {path.name for path in Path("runs").iterdir()} == {".caches", ".stages"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "recipe.yaml", "--shard", "2/2"], "--shard is '2/2'; write i/n with i from 0 to n - 1"),
        (["build", "recipe.yaml", "--shard", "half"], "--shard is 'half'"),
        (["build", "recipe.yaml", "--set", "cache=false"], "cache: the recipe says false"),
        (["build", "recipe.yaml", "--set", "cache.views=null"], "give their number, as in cache: {views: 4}"),
        (["build", "mutual"], "has no teacher that can be cached"),
        (["build", "recipe.yaml", "--output", "caches", "--set", "cache.views=3"], "views is 2, expected 3"),
        (["verify", "recipe.yaml", "--set", "models.teacher.train.seed=5"], "teacher is not trained yet"),
        (["verify", "recipe.yaml", "--output", "elsewhere"], "elsewhere/teacher is no cache"),
        (["info", "runs"], "runs holds no cache"),
        (["info", "rcipe"], "no recipe 'rcipe'"),
    ],
)
def test_what_cannot_be_is_one_line(shell: Shell, words: list[str], message: str) -> None:
    before = content(Path("caches"))
    code, out, err = shell("cache", *words)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("limbeck: ")
    assert content(Path("caches")) == before


def test_a_cache_of_other_weights_is_refused_with_what_differs(shell: Shell) -> None:
    code, _, err = shell("cache", "build", "recipe.yaml", "--output", "caches", "--set", "models.teacher.train.seed=5")
    assert code == 2
    assert "caches/teacher holds another cache: fingerprints.teacher is" in err
    code, _, err = shell("cache", "verify", "recipe.yaml", "--output", "caches", "--set", "models.teacher.train.seed=5")
    assert code == 2
    assert "caches/teacher does not fit: teacher is" in err


def test_a_recipe_that_caches_by_itself_is_built_as_a_run_would(shell: Shell) -> None:
    recipe = changed({"data.augment": None, "train.epochs": 1, "models.teacher.train.precision": "float32"})
    found = api_cache.build(recipe)
    assert [(cache["teacher"], cache["views"]) for cache in found] == [("teacher", 1)]
    with pytest.raises(RecipeError, match="says false"):
        api_cache.build({**recipe, "cache": False})


@pytest.mark.slow
def test_two_processes_build_what_one_builds(shell: Shell) -> None:
    before = content(Path("caches"))
    shutil.rmtree("caches")
    done = limbeck("cache", "build", "recipe.yaml", "--output", "caches", "--json", processes=2, folder=shell.folder)
    completed(done)
    built = json.loads(done.stdout)["caches"][0]
    # Each process tells what it wrote itself.
    assert built["written"] == list(range(0, 19, 2))
    # The teacher of two processes is another stage, and has other weights.
    assert sorted(content(Path("caches"))) == sorted(before)
    assert not CacheReader(Path("caches/teacher")).faults()


@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)])
def test_a_build_that_is_killed_goes_on_and_ends_with_the_same_bytes(shell: Shell, times: int) -> None:
    before = content(Path("caches"))
    shutil.rmtree("caches")
    lines = lines_of(lambda: api_cache.build("recipe.yaml", output="caches"))
    assert content(Path("caches")) == before
    draw = random.Random(0)
    for _ in range(times):
        shutil.rmtree("caches")
        killed_at(draw.randrange(lines), lambda _: api_cache.build("recipe.yaml", output="caches"))
        left = {path: path.stat().st_mtime_ns for path in Path("caches").rglob("0*.bin")}
        api_cache.build("recipe.yaml", output="caches")
        assert content(Path("caches")) == before
        assert {path: path.stat().st_mtime_ns for path in left} == left
