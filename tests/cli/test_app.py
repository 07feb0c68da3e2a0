"""The command line: what it prints where, and what wrong words get."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import limbeck
from forks import TORCH, forked, limbeck_command
from limbeck import registry
from limbeck.data import Digits
from limbeck.recipes.read import builtin_names, builtin_text
from recipes.builtin import WHOLE
from recipes.failing import FAILING, register_failing
from recipes.shell import Shell
from recipes.small import SMALL, changed


@pytest.fixture(autouse=True)
def _entries_of_tests() -> Iterator[None]:
    with registry.temporary():
        yield


def process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "limbeck", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


# What goes where.


def test_results_go_to_standard_output_and_progress_to_standard_error(shell: Shell) -> None:
    name = shell.write(changed({"export": {"formats": ["onnx"]}}))
    code, out, err = shell("run", name, "--output", "runs/one")
    assert code == 0
    rows = [line.split()[0] for line in out.splitlines()[1:5]]
    assert rows == ["teacher", "control", "student", "exported"]
    assert "These two models" in out
    assert "report  runs/one/report.html" in out
    assert "model   runs/one/export/student.onnx" in out
    assert "steps" not in out
    assert "teacher, seed 0" in err
    assert "accuracy    " not in err

    code, out, err = shell("run", name, "--output", "runs/two", "--json")
    assert code == 0
    results = json.loads(out)
    assert results == json.loads((shell.folder / "runs/two/results.json").read_text(encoding="utf-8"))
    assert err.count("taken from an earlier run") == 3

    code, out, err = shell("report", "runs/one")
    assert (code, err) == (0, "")
    assert out.split() == ["runs/one/report.html", "runs/one/README.md"]


def test_set_is_written_into_the_recipe_of_the_run(shell: Shell) -> None:
    words = ["--set", "student.width=4", "--set", "train.learning_rate=1e-3", "--output", "runs/one"]
    assert shell("run", shell.write(SMALL), *words)[0] == 0
    written = yaml.safe_load((shell.folder / "runs/one/recipe.yaml").read_text(encoding="utf-8"))
    assert written["models"]["student"]["width"] == 4
    assert written["train"]["learning_rate"] == 1e-3


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    """One program run from its first to its last word, with the warnings of every library it loads."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(changed({"export": {"formats": ["onnx"]}})), encoding="utf-8")
    done = process(tmp_path, "run", "recipe.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["recipe"] == "recipe"
    assert len(done.stderr.splitlines()) == 7, done.stderr
    words = limbeck_command("run", "recipe.yaml", "--set", "train.epochs=0", "--output", "new")
    (wrong,) = forked(words, folder=tmp_path, modules=TORCH)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "limbeck: train: epochs is 0; it must be at least 1\n"
    assert not (tmp_path / "new").exists()


# The other commands.


def test_help_names_every_command(shell: Shell) -> None:
    code, out, err = shell("--help")
    assert (code, err) == (0, "")
    for command in ("run", "resume", "report", "recipes", "methods", "taps", "--debug"):
        assert f" {command}" in out
    assert shell()[:2] == (0, out)


def test_recipes_lists_and_prints(shell: Shell) -> None:
    assert shell("recipes") == (0, "".join(f"{name}\n" for name in builtin_names()), "")
    assert shell("recipes", "digits") == (0, builtin_text("digits"), "")


@pytest.mark.parametrize("name", WHOLE)
def test_recipes_check_prints_the_whole_recipe(shell: Shell, name: str) -> None:
    code, out, err = shell("recipes", "check", name)
    assert (code, err) == (0, "")
    (shell.folder / "whole.yaml").write_text(out, encoding="utf-8")
    assert shell("recipes", "check", "whole.yaml") == (0, out, "")
    assert shell.tree() == ["whole.yaml"]


def test_recipes_check_finds_what_a_run_would(shell: Shell) -> None:
    name = shell.write(changed({"objective.soft.loss.temperature": 0}))
    assert "temperature" in shell.refused("recipes", "check", name)
    name = shell.write(changed({"train.batch_size": 5000}))
    assert "batch_size" in shell.refused("recipes", "check", name)


def test_recipes_schema_holds_every_entry_with_its_options(shell: Shell) -> None:
    code, out, err = shell("recipes", "schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert schema["schema"] == 1
    assert set(schema["sections"]) == {"cache", "train", "measure", "export"}
    assert schema["sections"]["train"]["epochs"] == {"type": "int", "default": 30}
    for kind in registry.kinds():
        assert set(schema[kind]) == set(registry.names(kind))
    assert schema["loss"]["kl_divergence"] == {
        "temperature": {"type": "float | {use: schedule or temperature}", "default": 1.0},
        "standardize": {"type": "bool", "default": False},
    }
    assert schema["task"]["text_classification"]["max_length"] == {"type": "int", "default": 128}
    (mlp,) = schema["model"]["mlp"]
    assert set(mlp.pop("options")) == {"width", "depth", "dropout"}
    assert mlp == {"inputs": ["images", "tables"], "per": ["row"], "pretrained": False}
    assert [one["inputs"] for one in schema["model"]["logistic_regression"]] == [["images", "tables"], ["texts"]]
    assert "default" not in schema["source"]["npz"]["file"]


def test_methods(shell: Shell) -> None:
    code, out, err = shell("methods")
    assert (code, err) == (0, "")
    for kind in registry.kinds():
        for name in registry.names(kind):
            assert f"  {name} " in out
    code, out, err = shell("methods", "kl_divergence")
    assert (code, err) == (0, "")
    assert out.startswith("loss kl_divergence (on outputs)\n\nKullback-Leibler divergence")
    assert "\n  standardize  bool, default false\n" in out
    for words in (["methods", "--json"], ["methods", "kl_divergence", "--json"]):
        code, out, err = shell(*words)
        assert (code, err) == (0, "")
        found = {method["name"]: method for method in json.loads(out)["methods"]}
        assert found["kl_divergence"]["options"]["temperature"]["default"] == 1.0
        assert (len(found) == 1) == (len(words) == 3)


def test_methods_fit_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("60", 60), ("300", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        _, out, _ = shell("methods", "kl_divergence")
        assert width - 20 < max(map(len, out.splitlines())) <= width


# Wrong words.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["methods", "kl_divergance"], "'kl_divergence'"),
        (["recipes", "digts"], "'digits'"),
        (["recipes", "digits", "more"], "takes no more"),
        (["recipes", "digits", "--set", "train.epochs=1"], "takes no more"),
        (["recipes", "check"], "needs a recipe file"),
        (["recipes", "check", "nothing.yaml"], "no recipe file nothing.yaml"),
        (["report", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "nowhere"),
        (["run"], "Missing argument"),
        (["run", "digits", "--bogus"], "--bogus"),
        (["run", "digits", "--output"], "--output"),
        (["run", "digits", "more"], "more"),
        (["rnu"], "rnu"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else None,
)
def test_wrong_words_are_one_line(shell: Shell, words: list[str], told: str) -> None:
    assert told in shell.refused(*words)


@pytest.mark.parametrize(
    ("words", "code", "path"),
    [
        (["methods", "kl_divergance"], "unknown_name", "name"),
        (["run", "digts"], "unknown_name", None),
        (["run", "nothing.yaml"], "not_found", "nothing.yaml"),
        (["run", "digits", "--set", "train.epochs"], "wrong_type", "--set"),
        (["run", "digits", "--set", "train.epochs=[1"], "unreadable", "train.epochs"),
        (["run", "digits", "--set", "data.use.more=1"], "wrong_type", "data"),
        (["taps", "digits", "--plugin", "nothing.py"], "not_found", "nothing.py"),
        (["resume", "nowhere"], "not_found", "nowhere"),
        (["predict", "nowhere", "x"], "not_found", "nowhere"),
        (["cache", "info", "nowhere.yaml"], "not_found", "nowhere.yaml"),
        # The parser's errors are not of the package.
        (["run", "digits", "--bogus"], None, None),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else str(part),
)
def test_an_error_is_an_object_where_results_would_be(
    shell: Shell, words: list[str], code: str | None, path: str | None
) -> None:
    refusal = shell.refusal(*words)
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize("words", [["--debug", "run", "digts"], ["run", "digts", "--debug"]])
def test_debug_shows_the_traceback(shell: Shell, words: list[str]) -> None:
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1] == "limbeck: no recipe 'digts', neither built in nor a file. Did you mean 'digits'?"


def test_a_stop_by_the_keyboard_is_one_line(shell: Shell) -> None:
    register_failing(KeyboardInterrupt())
    code, out, err = shell("run", shell.write(FAILING))
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].startswith("limbeck: stopped; `limbeck resume RUN`")


def test_a_file_without_permission_is_one_line(shell: Shell) -> None:
    @registry.register("source", "closed")
    class Closed(Digits):
        def load(self) -> Any:
            raise PermissionError(errno.EACCES, "Permission denied", "data.npz")

    recipe = changed({"data": {"use": "closed"}})
    assert shell.refused("run", shell.write(recipe)) == "limbeck: Permission denied (data.npz)\n"


def test_a_stop_by_the_keyboard_has_no_code(shell: Shell) -> None:
    register_failing(KeyboardInterrupt())
    code, out, _ = shell("run", shell.write(FAILING), "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["path"]) == (130, None, None)
    assert error["message"].startswith("stopped; `limbeck resume RUN`")


def test_one_process_of_several_prints_the_object(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert shell("run", "digts", "--json")[:2] == (2, "")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    code = f"{sys.executable} -m limbeck methods | head -n 1"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("balance\n", "")


def test_a_fault_of_our_own_keeps_its_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("limbeck.recipes.catalogue.listing", broken)
    monkeypatch.setattr(sys, "argv", ["limbeck", "methods"])
    with pytest.raises(ZeroDivisionError):
        limbeck.cli.main()
