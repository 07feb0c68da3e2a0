"""What is trained on which texts, and how much is measured."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from reviews import Review, encoder_folder, rotten_tomatoes
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from limbeck.data import Plan, TextSet
from limbeck.data.tokens import TokenizerView
from limbeck.models import shrink

__all__ = ["LENGTH", "Setting"]

LENGTH = 128


@dataclass(frozen=True)
class Setting:
    """The numbers of one run, the texts and the models.

    Args:
        folder: of the packages.
        rows, test_rows: of Rotten Tomatoes, the first and the last of one order.
        seeds, epochs, batch_size, learning_rate: of the students in training.
        reviews: of IMDB that the shipped models are made from; of as many others come the test rows.
        rounds, calls: how often each shipped model has its turn, and how many timed calls a turn has.
    """

    folder: Path
    rows: int = 2_048
    test_rows: int = 2_048
    seeds: int = 3
    epochs: int = 1
    batch_size: int = 16
    learning_rate: float = 2.0e-4
    reviews: int = 320
    rounds: int = 40
    calls: int = 5
    order: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        object.__setattr__(self, "order", torch.randperm(len(self._snippets), generator=generator))

    @cached_property
    def _snippets(self) -> list[Review]:
        return rotten_tomatoes(self.folder)

    @property
    def train(self) -> TextSet:
        return self._texts(self.order[: self.rows])

    @property
    def test(self) -> TextSet:
        return self._texts(self.order[self.rows :][-self.test_rows :])

    @cached_property
    def reading(self) -> TokenizerView:
        """Tokens as encoder and student read them."""
        tokenizer: Any = AutoTokenizer.from_pretrained(encoder_folder(self.folder))
        return TokenizerView(tokenizer, ["input_ids", "attention_mask", "token_type_ids"], LENGTH)

    @cached_property
    def teacher(self) -> nn.Module:
        """The encoder with a new head."""
        torch.manual_seed(0)
        logging.set_verbosity_error()  # it reports that the head is new
        model: nn.Module = AutoModelForSequenceClassification.from_pretrained(encoder_folder(self.folder), num_labels=2)
        return model.eval()

    def student(self) -> nn.Module:
        """Two of the encoder's layers, with the same head each time."""
        return shrink(copy.deepcopy(self.teacher), layers=2)

    def plan(self, seed: int) -> Plan:
        return Plan(torch.ones(self.rows, dtype=torch.bool), batch_size=self.batch_size, seed=seed)

    def _texts(self, order: Tensor) -> TextSet:
        rows: Sequence[Review] = [self._snippets[place] for place in order.tolist()]
        target = torch.tensor([row.label for row in rows])
        return TextSet.of([(row.text,) for row in rows], target, ("negative", "positive"))
