"""The benchmark of the losses: every loss is in it, every student starts alike, and a small run goes through."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import catalogue
import numpy as np
import pytest
import torch
from loss_catalogue.bench import Bench, Place
from loss_catalogue.choices import Trials
from loss_catalogue.methods import CONTROL, LEFT_OUT, PLAIN
from loss_catalogue.runs import Ledger, Run
from loss_catalogue.settings import SETTINGS
from loss_catalogue.study import Study
from loss_catalogue.teacher import Stored
from pages import write_section

import limbeck.losses
from limbeck import Frozen
from limbeck.errors import ArgumentError
from scripts import printed_by

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "catalogue.md"
TINY = Study(rows=192, teacher_rows=192, validation=0.25, epochs=1, teacher_epochs=1, seeds=2, scales=(1.0, 10.0))


def by_name(setting: str) -> dict[str, Any]:
    return {method.name: method for method in SETTINGS[setting].methods}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IDX files of images that hold a bright row at a height which tells the class."""
    random = np.random.default_rng(0)
    found = tmp_path_factory.mktemp("idx")
    for name, count in (("train", 320), ("t10k", 100)):
        labels = np.arange(count) % 10
        images = random.integers(0, 100, (count, 28, 28))
        images[np.arange(count), 2 * labels + 4] = 255
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (found / f"{name}-{kind}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())
    return found


@pytest.fixture(scope="module", params=SETTINGS)
def context(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = Bench(request.param, TINY, Place(folder, tmp_path_factory.mktemp("work"), "cpu"))
    made.train_teacher()
    return made


def test_every_loss_has_a_row_or_a_reason() -> None:
    registered = {
        name
        for name in limbeck.registry.names("loss")
        if limbeck.registry.lookup("loss", name).__module__.startswith("limbeck.losses")
    }
    rows = {method.loss for setting in SETTINGS.values() for method in setting.methods} - {None}
    assert rows | LEFT_OUT.keys() == registered
    assert not rows & LEFT_OUT.keys()


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_table_has_each_name_once_and_both_baselines_first(setting: str) -> None:
    methods = SETTINGS[setting].methods
    assert len(by_name(setting)) == len(methods)
    assert methods[:2] == (CONTROL, PLAIN)


def test_the_page_has_a_place_for_every_table(tmp_path: Path) -> None:
    page = tmp_path / "catalogue.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for setting in SETTINGS:
        write_section(page, setting, f"table of {setting}")
        write_section(page, setting, f"table of {setting}, again")
    written = page.read_text(encoding="utf-8")
    assert all(written.count(f"table of {setting}") == 1 for setting in SETTINGS)
    assert written.count("<!--") == 2 * len(SETTINGS)
    page.write_text("<!-- end of resnet --> <!-- resnet -->")
    with pytest.raises(ArgumentError, match="no part between '<!-- resnet -->'"):
        write_section(page, "resnet", "")


def test_every_method_trains_the_same_student(context: Bench) -> None:
    control = context.distiller(CONTROL, 1.0, 3).students["student"].state_dict()
    batch = next(context.batches(context.rows.train, 1, 3))
    for method in context.setting.methods:
        distiller = context.distiller(method, 1.0, 3)
        student = distiller.students["student"]
        assert all(torch.equal(value, control[name]) for name, value in student.state_dict().items()), method.name
        distiller(batch).loss().backward()
        gradients = [p.grad for p in student.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients), method.name


def test_what_is_stored_is_what_the_teacher_gives(context: Bench) -> None:
    frozen = Frozen(context.teacher(), context.setting.teacher_taps)
    batch = next(context.batches(context.rows.train, 1, 0))
    expected = frozen({"batch": batch})
    found = Stored(context.stored, expected)({"batch": batch})
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def record(run: Run, accuracy: float | None) -> dict[str, Any]:
    return {"key": run.key(TINY), "accuracy": accuracy, "diverged": None if accuracy else "the loss is nan at step 3"}


@pytest.mark.parametrize(
    ("accuracies", "scale"), [((0.5, 0.6), 10.0), ((0.6, 0.6), 1.0), ((None, 0.1), 10.0), ((None, None), 1.0)]
)
def test_the_best_scale_on_validation_rows_is_chosen(
    tmp_path: Path, accuracies: tuple[float | None, ...], scale: float
) -> None:
    ledger = Ledger(tmp_path)
    rates = SETTINGS["resnet"].rates
    for at, rate in enumerate(rates):
        ledger.add(record(Run("resnet", "control", 1.0, rate, 0, "validation"), 0.5 + 0.1 * (at == 1)))
    for tried, accuracy in zip(TINY.scales, accuracies, strict=True):
        ledger.add(record(Run("resnet", PLAIN.name, tried, rates[1], 0, "validation"), accuracy))
    trials = Trials("resnet", (CONTROL, PLAIN), TINY, Place(tmp_path, tmp_path, "cpu"), 1, Ledger(tmp_path))
    assert trials.rate() == rates[1]
    assert [choice.scale for choice in trials.choices()] == [1.0, scale]


def test_seeds_of_choices_and_of_test_rows_differ(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for rate in SETTINGS["resnet"].rates:
        ledger.add(record(Run("resnet", "control", 1.0, rate, 0, "validation"), 0.5))
    for seed in (1, 2):
        ledger.add(record(Run("resnet", "control", 1.0, SETTINGS["resnet"].rates[0], seed, "test"), 0.1 * seed))
    trials = Trials("resnet", (CONTROL,), TINY, Place(tmp_path, tmp_path, "cpu"), 1, ledger)
    (choice,) = trials.choices()
    assert [found["accuracy"] for found in trials.judged(choice)] == [0.1, 0.2]


@pytest.mark.parametrize("kept", [0, 1])
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, kept: int) -> None:
    runs = [Run("resnet", "control", 1.0, 0.01, seed, "test") for seed in range(3)]
    ledger = Ledger(tmp_path)
    for run in runs[: kept + 1]:
        ledger.add(record(run, 0.5))
    ledger.file.write_bytes(ledger.file.read_bytes()[:-9])
    Ledger(tmp_path).add(record(runs[2], 0.5))
    assert Ledger(tmp_path).records.keys() == {run.key(TINY) for run in (*runs[:kept], runs[2])}


@pytest.fixture(scope="module")
def small_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    work = tmp_path_factory.mktemp("run")
    page = work / "page.md"
    page.write_text("before\n<!-- resnet -->\nold\n<!-- end of resnet -->\nafter\n")
    numbers = [f"{name}={getattr(TINY, name)}" for name in ("rows", "teacher_rows", "validation", "epochs", "seeds")]
    words = [f"--folder={folder}", f"--work={work}", f"--page={page}", "--processes=1", "--setting=resnet"]
    words += ["--device=cpu", "--methods", "hint_mse", "--set", *numbers, "teacher_epochs=1"]
    printed_by(catalogue.main, *words)
    return work, words


def test_a_small_run_writes_its_table(small_run: tuple[Path, list[str]]) -> None:
    work, _ = small_run
    records = [json.loads(line) for line in (work / "runs.jsonl").read_text().splitlines()]
    # The control at each rate, two methods at three scales, and three methods with two seeds.
    assert len(records) == len(SETTINGS["resnet"].rates) + 2 * 3 + 3 * 2
    page = (work / "page.md").read_text()
    assert page.startswith("before\n<!-- resnet -->\n### ResNet")
    assert page.endswith("<!-- end of resnet -->\nafter\n")
    rows = {line.split(" | ")[0].strip("| `"): line for line in page.splitlines() if line.startswith("| ")}
    assert {"control", "kl_divergence", "hint_mse"} <= rows.keys()
    accuracies = [r["accuracy"] for r in records if r["rows"] == "test" and r["method"] == "hint_mse"]
    assert f"| {100 * np.mean(accuracies):.2f} |" in rows["hint_mse"]


def test_what_is_done_is_not_done_again_and_what_diverged_is_told(small_run: tuple[Path, list[str]]) -> None:
    work, words = small_run
    lines = (work / "runs.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["method"], last["rows"]) == ("hint_mse", "test")
    lines[-1] = json.dumps({**last, "accuracy": None, "diverged": "the loss is nan at step 2"})
    (work / "runs.jsonl").write_text("\n".join(lines) + "\n")
    assert printed_by(catalogue.main, *words) == ""
    row = next(line for line in (work / "page.md").read_text().splitlines() if line.startswith("| `hint_mse`"))
    assert "| 1 of 2 diverged |" in row
    assert "| diverged |" in row
