"""A language model of seven letters that learns from what it writes itself, judged by its perplexity on given lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.export import Prediction, Session
from limbeck.hashing import hash_tensors
from limbeck.measure import Floats, OfMeans, Scoring
from limbeck.registry import register
from limbeck.tasks import Batch, Delivery, OutputSpec, SplitSettings, Student, Task, TrainingRows

LETTERS, LENGTH = 7, 10


@dataclass(frozen=True)
class Lines:
    """Lines ``[N, 10]`` of letters, and their numbers."""

    letters: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.letters)

    @property
    def labelled(self) -> Tensor:
        return torch.ones(len(self), dtype=torch.bool)

    def subset(self, rows: Tensor) -> Self:
        return replace(self, letters=self.letters[rows], index=self.index[rows])

    def fingerprint(self) -> str:
        return hash_tensors({"letters": self.letters})


@register("source", "lines")
class LineSource:
    """Lines in which a letter mostly decides the next one, computed.

    Args:
        rows: the number of lines.
    """

    row_type = Lines

    def __init__(self, *, rows: int = 120) -> None:
        self.rows = rows

    def load(self) -> Mapping[str, Lines]:
        random = np.random.default_rng(0)
        columns = [random.integers(0, LETTERS, self.rows)]
        for _ in range(LENGTH - 1):
            other = random.integers(0, LETTERS, self.rows)
            columns.append(np.where(random.random(self.rows) < 0.8, (3 * columns[-1] + 1) % LETTERS, other))
        return {"train": Lines(torch.from_numpy(np.stack(columns, 1)), torch.arange(self.rows))}


@register("model", "next_letter")
class NextLetter(nn.Module):
    """The next letter from the last one.

    Args:
        width: of the table.
        dropout: of its entries in training.
    """

    def __init__(self, *, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.table, self.drop = nn.Embedding(LETTERS, width), nn.Dropout(dropout)
        self.head = nn.Linear(width, LETTERS)

    def forward(self, letters: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.drop(self.table(letters)))}

    def generate(self, inputs: Tensor) -> Tensor:
        letters = inputs
        while letters.shape[1] < LENGTH:
            logits = self(letters[:, -1:])["logits"][:, -1]
            letters = torch.cat([letters, torch.multinomial(logits.softmax(-1), 1)], 1)
        return letters


@register("metric", "letter_perplexity")
class LetterPerplexity(OfMeans):
    """exp of the mean negative log-probability of a letter."""

    title = "perplexity"
    higher_is_better = False
    bounds = (1.0, np.inf)

    def statistics(self, outputs: Mapping[str, Any], labels: Mapping[str, Any], reference: Any) -> Floats:
        logits = np.asarray(outputs["logits"], np.float64)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return -np.take_along_axis(log_p, labels["target"][..., None], -1)[..., 0].mean(1, keepdims=True)

    def of_means(self, means: Floats) -> Floats:
        return np.exp(means[..., 0])


class Written:
    """The student continues the first letters of lines, and is taught on what it writes.

    Args:
        lines: the training rows.
        batch_size: the number of lines in a batch.
        seed: decides which lines, and what is drawn.
    """

    reads_student: ClassVar = True

    def __init__(self, lines: Lines, batch_size: int, seed: int) -> None:
        self.lines, self.batch_size, self.seed = lines, batch_size, seed

    def batch(self, step: int, student: Student) -> Batch:
        if os.environ.get("STOP_AT_STEP") == str(step):
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        rows = torch.randperm(len(self.lines), generator=generator)[: self.batch_size]
        letters = student.generate(self.lines.letters[rows, :1], seed=1000 * self.seed + step)
        return {"row": rows, "index": self.lines.index[rows], "inputs": letters[:, :-1]}


@register("task", "letters")
class Letters(Task):
    """The next letter of a line."""

    Settings: ClassVar = SplitSettings
    row_type: ClassVar = Lines
    outputs: ClassVar = {"logits": OutputSpec(("row", "position", "letter"), fixed=("position", "letter"))}
    scoring: ClassVar = Scoring(hard={"hard": {"loss": "cross_entropy"}}, metrics=(LetterPerplexity(),))
    delivery: ClassVar = Delivery(formats=("onnx",), predictor=f"{__name__}:predict")

    def collate(self, rows: Lines, numbers: Tensor, views: Tensor) -> Batch:
        letters = rows.letters[numbers]
        return {"inputs": letters[:, :-1], "target": letters[:, 1:]}

    def build(self, make: Callable[..., nn.Module], role: str = "student", parts: Any = None) -> nn.Module:
        return make()

    def batches(self, training: TrainingRows, *, batch_size: int, seed: int, **options: Any) -> Any:
        given, steps = super().batches(training, batch_size=batch_size, seed=seed, **options)
        # The teacher and the control learn from the lines as they are.
        is_student = training is self.student_rows
        return (Written(training.rows, batch_size, seed) if is_student else given), steps


def predict(inputs: Sequence[str], pairs: Sequence[str], folder: Path, session: Session) -> Iterator[Prediction]:
    """The most likely letter after each line of digits."""
    for line in inputs:
        logits = session(np.array([[int(letter) for letter in line]]))["logits"]
        letter = int(logits[0, -1].argmax())
        yield Prediction({"next": letter}, f"{letter}")
