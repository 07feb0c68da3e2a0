"""Boxes of images as a batch, a teacher and a loss see them: rows of unequal lengths in one training step."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.toys import FEATURES, mlp
from limbeck.core import Distiller, Ragged, Term, map_rows
from limbeck.errors import ArgumentError
from limbeck.teachers import Frozen
from limbeck.training.micro_batches import micro_batches
from training.toys import Place, make_job, settings

ROWS, QUERIES = 12, 2
LENGTHS = [2, 0, 3, 1, 0, 4, 1, 1, 2, 0, 5, 3]
# Weights and counts of terms are float32.
CLOSE = {"rtol": 1e-6, "atol": 1e-8}
SPLITS = [[12], [6, 6], [1, 11], [3, 4, 5], [1] * 12]


def lists() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 2, generator=generator, dtype=torch.float64) for length in LENGTHS]


def batch() -> dict[str, Any]:
    """The last rows have no labels, and what stands in their place is no number."""
    generator = torch.Generator().manual_seed(0)
    labelled = torch.arange(ROWS) < 9
    boxes = Ragged.of(lists())
    return {
        "row": torch.arange(ROWS),
        "inputs": torch.randn(ROWS, FEATURES, generator=generator, dtype=torch.float64),
        "target": dataclasses.replace(boxes, values=boxes.where(labelled, torch.nan).values),
        "labelled": labelled,
    }


class Detector(nn.Module):
    """A point for each query, and as many proposals of a row as it has in the batch."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.net = mlp(seed)

    def forward(self, inputs: Tensor) -> dict[str, Any]:
        points = self.net(inputs).unflatten(1, (QUERIES, 2))
        offsets = torch.arange(len(inputs) + 1) * QUERIES
        return {"points": points, "proposals": Ragged(points.flatten(0, 1), offsets)}


class Nearest(nn.Module):
    """The mean distance of a row's boxes to their nearest point: normalised by row, so its count needs no forward."""

    def forward(self, student: Tensor, target: Ragged) -> Tensor:
        distances = (student[target.rows] - target.values[:, None]).abs().sum(-1).amin(1)
        sums = distances.new_zeros(len(target)).index_add(0, target.rows, distances)
        return sums / target.lengths.clamp(min=1)


class Imitate(nn.Module):
    def forward(self, student: Ragged, teacher: Ragged) -> Tensor:
        squares = (student.values - teacher.values).square().mean(1)
        return squares.new_zeros(len(student)).index_add(0, student.rows, squares) / student.lengths


def make() -> Distiller:
    terms = {
        "hard": Term(Nearest(), main="points"),
        "soft": Term(Imitate(), main="proposals", weight=0.5),
    }
    return Distiller(Detector(0), terms, {"teacher": Frozen(Detector(1))})


def by_hand() -> list[Tensor]:
    student, teacher, data = Detector(0), Detector(1), batch()
    points = student(data["inputs"])["points"]
    with torch.no_grad():
        other = teacher(data["inputs"])["points"]
    total = torch.zeros((), dtype=torch.float64)
    for row, boxes in enumerate(lists()[:9]):
        if len(boxes):
            total = total + torch.cdist(boxes, points[row], p=1).amin(1).mean() / 9
    total = total + 0.5 * (points - other).square().mean()
    return list(torch.autograd.grad(total, list(student.parameters())))


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_a_step_is_the_same_however_the_batch_is_split(split):
    distiller, whole = make().prepare([batch()]), batch()
    starts = [sum(split[:number]) for number in range(len(split))]
    parts = [
        map_rows(whole, lambda value, start=start, size=size: value[start : start + size])
        for start, size in zip(starts, split, strict=True)
    ]
    counts = distiller.counts(parts)
    assert {name: count.item() for name, count in counts.per_term.items()} == {"hard": 9, "soft": 12}
    for part in parts:
        distiller(part).loss(counts).backward()
    found = [parameter.grad for parameter in distiller.students["student"].parameters()]
    torch.testing.assert_close(found, by_hand(), **CLOSE)


@pytest.mark.parametrize("parts", [1, 3])
def test_micro_batches_of_the_loop_are_such_a_split(parts):
    distiller = make().prepare([batch()])
    split = micro_batches(batch(), parts, torch.device("cpu"))
    counts = distiller.counts(split)
    for part in split:
        distiller(part).loss(counts).backward()
    found = [parameter.grad for parameter in distiller.students["student"].parameters()]
    torch.testing.assert_close(found, by_hand(), **CLOSE)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_the_loop_trains_the_same_weights_by_micro_batches(tmp_path, accumulate):
    class Boxes:
        reads_student = False

        def iterate(self, start_step: int, stop_step: int) -> Any:
            return (batch() for _ in range(start_step, stop_step))

    def train(parts: int) -> dict[str, Tensor]:
        options = {"batch_size": ROWS, "accumulate": parts, "optimizer": "sgd", "learning_rate": 0.1}
        job = dataclasses.replace(make_job(settings(**options)), distiller=make(), batches=Boxes(), steps_per_epoch=5)
        return Place(tmp_path / str(parts)).fit(job)

    one, several = train(1), train(accumulate)
    torch.testing.assert_close(several, one, **CLOSE)
    assert not torch.equal(one["net.0.weight"], Detector(0).net[0].weight)


def test_a_relation_of_ragged_rows():
    class Pairs(nn.Module):
        relational = True

        def forward(self, student: Ragged, mask: Tensor) -> Tensor:
            means = student.values.new_zeros(len(student), 2).index_add(0, student.rows, student.values)
            return (means @ means.T)[mask][:, mask].mean()

    term = Term(Pairs(), main="proposals", where="batch.labelled")
    distiller = Distiller(Detector(0), {"pairs": term}).prepare([batch()])
    means = Detector(0)(batch()["inputs"])["points"].sum(1)[:9]
    torch.testing.assert_close(distiller(batch()).loss(), (means @ means.T).mean())
    gathered = Term(Pairs(), main="proposals", gather=True)
    with pytest.raises(ArgumentError, match=r"gather=True: \['student'\] hold rows of unequal lengths; pad them"):
        Distiller(Detector(0), {"pairs": gathered})(batch())
