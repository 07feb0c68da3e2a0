"""Batches that the student writes: made when their step begins, without a trace, and equal after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from limbeck.core import Distiller, Term
from limbeck.losses import CrossEntropy
from limbeck.training.batch_stream import StudentHandle, batch_stream
from limbeck.training.loop import Job
from training.toys import Place, StoppedError, settings

WORDS, LENGTH, ROWS, STEPS = 7, 5, 4, 6


class Writer(nn.Module):
    """A language model of one step: the next word from the last one, with dropout and batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.table = nn.Embedding(WORDS, 8)
            self.norm = nn.BatchNorm1d(8)
            self.drop = nn.Dropout(0.3)
            self.head = nn.Linear(8, WORDS)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.norm(self.table(words).flatten(0, -2)).unflatten(0, words.shape)
        logits: Tensor = self.head(self.drop(hidden))
        return logits

    def generate(self, inputs: Tensor) -> Tensor:
        words = inputs
        for _ in range(LENGTH):
            chosen = torch.multinomial(self(words[:, -1:])[:, -1].softmax(-1), 1)
            words = torch.cat([words, chosen], dim=1)
        return words


class OnPolicy:
    """The student continues a first word; it then learns to predict the words that it wrote."""

    reads_student: ClassVar[bool] = True

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.written: list[Tensor] = []

    def batch(self, step: int, student: Any) -> dict[str, Any]:
        if step == self.stop_at:
            raise StoppedError
        words = student.generate(torch.arange(ROWS)[:, None] % WORDS, seed=1000 + step)
        self.written.append(words)
        return {"inputs": words[:, :-1], "target": words[:, 1:], "row": torch.arange(ROWS)}


def job(source: OnPolicy) -> Job:
    return Job(
        stage="student",
        seed=0,
        distiller=Distiller(Writer(), {"hard": Term(CrossEntropy())}),
        batches=source,
        steps_per_epoch=STEPS // 2,
        settings=settings(epochs=2, learning_rate=0.05),
        validate=None,
    )


def test_each_batch_is_written_by_the_student_of_its_step(tmp_path: Path) -> None:
    """A loop by hand that generates from the current weights sees the same words and ends with the same weights."""
    source = OnPolicy()
    weights = Place(tmp_path).fit(job(source))
    assert len(source.written) > STEPS
    # The first batch is written for `prepare` too, by the same weights and the same seed.
    assert torch.equal(source.written[0], source.written[1])
    assert len({tuple(words.flatten().tolist()) for words in source.written[1:]}) == STEPS
    assert not torch.equal(weights["head.weight"], Writer().head.weight)


@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_training_is_the_same_to_the_bit(tmp_path: Path, step: int) -> None:
    whole = Place(tmp_path / "whole").fit(job(OnPolicy()))
    with pytest.raises(StoppedError):
        Place(tmp_path / "parts").fit(job(OnPolicy(stop_at=step)))
    resumed = Place(tmp_path / "parts").fit(job(OnPolicy()))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_reading_the_student_leaves_no_trace() -> None:
    distiller = Distiller(Writer(), {"hard": Term(CrossEntropy())}).train()
    before = {name: value.clone() for name, value in distiller.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    student = StudentHandle(distiller, 0)
    first = student.generate(torch.zeros(2, 1, dtype=torch.int64), seed=5)
    outputs = student(torch.zeros(2, 3, dtype=torch.int64))["logits"]
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(first, student.generate(torch.zeros(2, 1, dtype=torch.int64), seed=5))
    assert not outputs.requires_grad
    assert distiller.students["student"].model.training
    assert all(torch.equal(distiller.state_dict()[name], value) for name, value in before.items())


def test_a_source_that_does_not_read_the_student_is_iterated() -> None:
    class Plain:
        reads_student: ClassVar[bool] = False

        def iterate(self, start_step: int, stop_step: int) -> Any:
            return iter(range(start_step, stop_step))

    distiller = Distiller(Writer(), {"hard": Term(CrossEntropy())})
    assert list(batch_stream(Plain(), 3, 6, distiller)) == [3, 4, 5]
