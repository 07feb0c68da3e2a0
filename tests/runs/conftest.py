from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

import limbeck
from limbeck.runs import stages
from limbeck.training.loop import Job
from recipes.small import GONE, changed
from runs.finished import Go, Run


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Go:
    """Run `SMALL` with changes; all runs share their finished stages."""
    folder = tmp_path_factory.mktemp("runs")
    number = 0

    def start(changes: Mapping[str, Any] | None = None, **options: Any) -> Run:
        nonlocal number
        number += 1
        recipe = changed({"train.log_every": 1, **(changes or {})})
        return Run(limbeck.run(recipe, output=folder / str(number), **options))

    return start


@pytest.fixture(scope="session")
def whole(go: Go) -> Run:
    """A run with everything that a recipe has by default."""
    return go({"export": GONE})


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Job, dict[str, torch.Tensor]]]:
    """Every job that is trained, with its student's weights before."""
    seen: list[tuple[Job, dict[str, torch.Tensor]]] = []
    fit = stages.fit

    def watched(job: Job, **options: Any) -> dict[str, torch.Tensor]:
        seen.append((job, copy.deepcopy(job.student.state_dict())))
        return fit(job, **options)

    monkeypatch.setattr(stages, "fit", watched)
    return seen


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("training has begun")

    monkeypatch.setattr(stages, "fit", never)
