"""What can be known to fail, tried before anything is written. Most of it is in test_schema."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator

from limbeck.errors import RecipeError
from limbeck.runs.dry_run import DryRun
from limbeck.runs.setup import prepare_pipeline
from limbeck.training.settings import Settings
from recipes.shell import Shell
from recipes.small import changed


@pytest.mark.parametrize(
    "changes", [{"train.precision": "bfloat16"}, {"models.teacher.train.precision": "bfloat16"}], ids=str
)
def test_a_precision_that_the_machine_lacks_is_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("limbeck.runs.dry_run.supports_bfloat16", lambda device: False)
    line = shell.refused("run", shell.write(changed(changes)))
    assert "precision is bfloat16, which this cpu does not compute; take auto or float32" in line
    assert line.startswith(f"limbeck: {next(iter(changes))} ")


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "refused"), [(6, 1, False), (7, 1, True), (6, 2, True), (8, 2, False)]
)
def test_processes_and_micro_batches_share_a_batch(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, accumulate: int, refused: bool
) -> None:
    train = SimpleNamespace(**{**asdict(Settings(batch_size=batch_size)), "accumulate": accumulate})
    train.watches_validation = False
    trial = DryRun(SimpleNamespace(train=train, path="train"), None)  # type: ignore[arg-type]
    accelerator = Accelerator()
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    if refused:
        with pytest.raises(RecipeError, match=f"batch_size is {batch_size}, which 2 processes"):
            trial.check_settings(None, accelerator)  # type: ignore[arg-type]
    else:
        trial.check_settings(None, accelerator)  # type: ignore[arg-type]


@pytest.mark.parametrize(("accumulate", "lines"), [(1, 0), (4, 1)])
def test_a_term_that_compares_rows_sees_one_micro_batch_and_the_run_says_so(accumulate: int, lines: int) -> None:
    distances = {"loss": "rkd_distance", "weight": 0.1}
    recipe = changed({"train.batch_size": 32, "train.accumulate": accumulate, "objective.distances": distances})
    _, notes = prepare_pipeline(Accelerator(cpu=True), recipe, {}, None, (), None)
    found = [line for line in notes if "compares rows" in line]
    assert len(found) == lines
    if lines:
        assert "the term 'distances' compares rows with each other, and sees 8 of the 32 rows of a step" in found[0]
