"""Rows without labels, from the same place as the labelled ones or from another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.api import check
from limbeck.data import Digits
from limbeck.errors import RecipeError
from limbeck.runs.setup import load_task
from limbeck.training.loop import Job
from recipes.small import changed, parse
from runs.finished import Go

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]


@pytest.fixture
def inverted(tmp_path: Path) -> str:
    """The digits as light on dark turned dark on light: another domain."""
    data = Digits().load()["train"]
    pixels = 1 - data.images.take(torch.arange(len(data))).numpy()
    names = np.array(data.classes)
    np.savez(tmp_path / "inverted.npz", x=pixels, y=names[data.target.numpy()])
    return str(tmp_path / "inverted.npz")


def test_another_domain_without_labels(inverted: str, go: Go, jobs: Jobs) -> None:
    other = {"use": "npz", "file": inverted}
    run = go({"data": {"use": "digits", "labels": 100, "unlabelled": other, "test_from": other}})
    by_stage = {job.stage: job for job, _ in jobs}
    task_rows = 1437 - 270 + 1
    assert run.results["label_budget"] == {"training": 100, "validation": 0, "unlabelled": task_rows - 100 + 1438}
    for batch in by_stage["control"].batches.iterate(0, 3):
        assert (batch["inputs"].mean((1, 2, 3)) < 0.5).all()
    mixed = next(by_stage["student"].batches.iterate(0, 1))
    dark = mixed["inputs"].mean((1, 2, 3)) > 0.5
    assert 0 < int(dark.sum()) < int(mixed["unlabelled"].sum())
    assert mixed["unlabelled"][dark].all()
    # Measured on the other domain: a teacher that has only seen the first one is lost there.
    assert run.accuracy("teacher") < 0.5


def test_unlabelled_rows_and_test_rows_of_one_source_are_apart(inverted: str) -> None:

    other = {"use": "npz", "file": inverted}
    recipe = parse({"data": {"use": "digits", "labels": 100, "unlabelled": other, "test_from": other}})
    task = load_task(recipe, None)
    rows = task.student_rows.rows
    taught = rows.images.take(torch.arange(len(rows))).flatten(1)
    tested = task.test.images.take(torch.arange(len(task.test))).flatten(1)
    assert len(torch.unique(torch.cat([taught, tested]), dim=0)) == len(taught) + len(tested)


def test_distillation_on_unlabelled_rows_alone(go: Go, jobs: Jobs) -> None:
    soft = {"loss": {"use": "kl_divergence", "temperature": 2.0}}
    run = go({"data.labels": 0, "objective": {"soft": soft}, "control": False})
    assert run.results["label_budget"]["training"] == 0
    assert "control" not in run.results["models"]
    student = next(job for job, _ in jobs if job.stage == "student")
    assert all(batch["unlabelled"].all() for batch in student.batches.iterate(0, 3))
    with pytest.raises(RecipeError, match=r"none of the 1168 training rows has a label\b.*control: false"):
        check(changed({"data.labels": 0, "objective": {"soft": soft}}))


def test_classes_in_balance(go: Go, jobs: Jobs) -> None:
    go({"data.class_balance": True, "train.batch_size": 40})
    for job, _ in jobs:
        if job.stage == "teacher":
            continue
        for batch in job.batches.iterate(0, 5):
            drawn = torch.bincount(batch["target"][batch["labelled"]], minlength=10)
            assert drawn.tolist() == [4 if job.stage == "control" else 1] * 10


def test_where_on_unlabelled_rows(go: Go) -> None:
    run = go({"objective.soft.where": "batch.unlabelled"})
    assert run.taught("student")
