"""Short made-up reviews and tiny BERTs: what the four loops over text share."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from limbeck import Distiller, Frozen, Tapped, Term
from limbeck.losses import CrossEntropy, HiddenStatesMSE, KLDivergence
from limbeck.models import shrink, small_bert, word_tokenizer

Batch = dict[str, Any]

EPOCHS, BATCH, MICRO_BATCHES, LEARNING_RATE = 3, 8, 2, 3e-3

GOOD, BAD = ("good", "great", "moving", "funny"), ("bad", "dull", "slow", "poor")
THINGS = ("film", "cast", "story", "music", "end")


def reviews(count: int) -> list[tuple[str, int]]:
    """Texts of one to four sentences, and whether most of what they say is good."""
    draw = random.Random(0)
    found = []
    for _ in range(count):
        label = draw.randrange(2)
        sentences = [(label, draw.choice(THINGS)) for _ in range(draw.randint(1, 4))]
        found.append(
            (". ".join(f"the {thing} is {draw.choice((BAD, GOOD)[says])}" for says, thing in sentences), label)
        )
    return found


def steps(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    """The micro-batches of each step."""
    remaining = iter(batches)
    while micro_batches := list(islice(remaining, MICRO_BATCHES)):
        yield micro_batches


class Text:
    """A tokenizer, rows as it gives them, a trained teacher, and a student of half its layers and width."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        data = reviews(64)
        self.tokenizer = word_tokenizer(text for text, _ in data)
        self.collate = DataCollatorWithPadding(self.tokenizer)
        encoded = [{**self.tokenizer(text), "labels": label} for text, label in data]
        sizes = {"classes": 2, "vocabulary": len(self.tokenizer), "length": 32, "dropout": 0.0}
        self.teacher = small_bert(layers=4, width=32, neurons=64, **sizes)
        plain = Distiller(self.teacher, {"hard": Term(CrossEntropy())})
        optimizer = torch.optim.AdamW(plain.parameters(), lr=LEARNING_RATE)
        plain.attach(optimizer)
        for _ in range(10):
            for batch in self.batches(encoded):
                plain(batch).loss().backward()
                optimizer.step()
                optimizer.zero_grad()
        self.student = shrink(self.teacher, layers=2, width=16)
        # Two rows of three have no label for the student.
        self.rows = [row if number % 3 == 0 else {**row, "labels": -100} for number, row in enumerate(encoded)]

    def loader(self, rows: list[Batch]) -> DataLoader[Batch]:
        return DataLoader(rows, batch_size=BATCH, collate_fn=self.collate)  # type: ignore[arg-type]

    def read(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """What a Distiller reads: the tokenizer's columns as inputs, labels as target."""
        for batch in loader:
            target = batch.pop("labels")
            yield {"inputs": dict(batch), "target": target}

    def batches(self, rows: list[Batch]) -> Iterator[Batch]:
        return self.read(self.loader(rows))

    def distiller(self) -> Distiller:
        """Labels where there are any; everywhere the teacher's outputs, and its hidden states at every token."""
        states = {"student": "student.hidden_states", "teacher": "teacher.hidden_states"}
        call = {"output_hidden_states": True}
        distiller = Distiller(
            Tapped(self.student, call=call),
            {
                "hard": Term(CrossEntropy(), weight=0.5),
                "soft": Term(KLDivergence(temperature=2.0), weight=0.5),
                "hidden": Term(HiddenStatesMSE(), states, weight=0.1, where="batch.inputs.attention_mask"),
            },
            {"teacher": Frozen(self.teacher, call=call)},
        )
        return distiller.prepare([next(self.batches(self.rows))])
