"""Rows of words, and the students that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.models import BagOfWords, BiLSTM, TextCNN, Trees, WordCounts, small_bert

VOCABULARY = 20


def trees() -> nn.Module:
    """Two trees of depth 1 that ask for words 3 and 4."""
    made = Trees(trees=2, nodes=3, depth=1, classes=3)
    made.feature[:] = torch.tensor([3, 0, 0, 4, 0, 0])
    made.threshold[:] = 0.5
    made.below[:] = torch.tensor([1, 1, 2, 4, 4, 5])
    made.above[:] = torch.tensor([2, 1, 2, 5, 4, 5])
    made.leaf[:] = torch.randn(6, 3)
    return WordCounts(made, VOCABULARY)


STUDENTS: dict[str, Callable[[], Any]] = {
    "bilstm": lambda: BiLSTM(classes=3, vocabulary=VOCABULARY, embedding=6, width=5, hidden=4),
    "textcnn": lambda: TextCNN(classes=3, vocabulary=VOCABULARY, embedding=6, filters=4, windows=(1, 3, 4)),
    "bag_of_words": lambda: BagOfWords(classes=3, vocabulary=VOCABULARY),
    "linear": lambda: WordCounts(nn.Linear(VOCABULARY, 3), VOCABULARY),
    "trees": trees,
    "bert": lambda: small_bert(classes=3, vocabulary=VOCABULARY, width=8, neurons=6, length=12),
}


def student(name: str) -> Any:
    torch.manual_seed(0)
    made = STUDENTS[name]().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.5)
    return made


def rows(*lengths: int, width: int, seed: int = 1) -> dict[str, Tensor]:
    """Rows of random words of these lengths, padded to a width."""
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.randint(1, VOCABULARY, mask.shape, generator=generator) * mask, "attention_mask": mask}


def logits(made: Any, given: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        found = made(**given)
    result: Tensor = found if isinstance(found, Tensor) else found.logits
    return result
