"""How often words stand in a text, as features."""

from __future__ import annotations

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from limbeck.models.text.embeddings import check_text

__all__ = ["TfIdf", "WordCounts", "word_counts"]


def word_counts(input_ids: Tensor, attention_mask: Tensor | None, vocabulary: int) -> Tensor:
    """How often each entry of a vocabulary stands in each row, without padding: float [B, vocabulary].

    >>> word_counts(torch.tensor([[2, 1, 2, 0]]), None, 4).tolist()
    [[0.0, 1.0, 2.0, 0.0]]
    """
    real = (input_ids != 0 if attention_mask is None else attention_mask != 0).float()
    return real.new_zeros(input_ids.shape[0], vocabulary).scatter_add(1, input_ids, real)


class WordCounts(nn.Module):
    """A model of word counts [B, vocabulary], called as models of text are.

    Args:
        model: from counts to logits.
        vocabulary: number of entries; 0 is padding.

    >>> net = WordCounts(nn.Linear(10, 2), 10)
    >>> net(input_ids=torch.tensor([[4, 7]]), attention_mask=torch.tensor([[1, 1]])).shape
    torch.Size([1, 2])
    """

    def __init__(self, model: nn.Module, vocabulary: int) -> None:
        check_text("WordCounts", 1, vocabulary)
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        logits: Tensor = self.model(word_counts(input_ids, attention_mask, self.vocabulary))
        return logits


class TfIdf(nn.Module):
    r"""Counts of words [B, F], each weighed by how rare the word is, at length 1.

    .. math:: x_w = \frac{c_w\, s_w}{\lVert c \odot s \rVert_2}, \quad s_w = \ln\frac{1 + n}{1 + n_w} + 1

    for n texts, n_w of them with the word w; these are the weights of scikit-learn's ``TfidfTransformer``. A row of
    zeros stays one.

    Args:
        words: F.

    >>> net = TfIdf(2)
    >>> net.fit_(csr_matrix([[1.0, 0.0], [2.0, 3.0], [1.0, 0.0]]))
    >>> net(torch.tensor([[1.0, 1.0]]))
    tensor([[0.5085, 0.8610]])

    Spärck Jones, 1972, "A Statistical Interpretation of Term Specificity and Its Application in Retrieval",
    10.1108/eb026526.
    """

    rarity: Tensor

    def __init__(self, words: int) -> None:
        super().__init__()
        self.register_buffer("rarity", torch.ones(words))

    def fit_(self, counts: csr_matrix) -> None:
        """Learn how rare words are from counts [N, F]."""
        with_word = torch.from_numpy(counts.getnnz(axis=0)).double()
        self.rarity.copy_(((1 + counts.shape[0]) / (1 + with_word)).log() + 1)

    def forward(self, counts: Tensor) -> Tensor:
        return nn.functional.normalize(counts * self.rarity, dim=1)
