"""A convolutional network that reads words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from limbeck.errors import ArgumentError
from limbeck.models.text.embeddings import Embedded, at_positions, check_text
from limbeck.registry import register

__all__ = ["TextCNN", "textcnn_tagger"]


@register("model", "textcnn", inputs="texts")
class TextCNN(nn.Module):
    """Windows of several widths over words, the responses of filters after a rectifier, and a linear head.

    There are zeros for what is outside the text, so padding changes nothing, and a text may be shorter than a window.

    - For texts the head reads the largest response of each filter over all windows that hold at least one word; an
      empty row has the response 0.
    - For words it reads the responses to the windows around each. These hold the word, and as many on both sides as
      their width has room for, one more on the right where it is even.

    Taps: ``words``, ``filters.0``, …, ``head``.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        windows: widths in words.
        filters: of each width.
        dropout: share of the responses set to 0 in training, in [0, 1).
        per_word: whether it gives logits for each word; it is then called with ``words``, their positions.

    Raises:
        ArgumentError: if a number is below 1, there is no window, or dropout is outside [0, 1).

    >>> net = TextCNN(classes=2, vocabulary=100, embedding=8, filters=6)
    >>> net(torch.tensor([[4, 7, 0], [0, 0, 0]]), torch.tensor([[1, 1, 0], [0, 0, 0]])).shape
    torch.Size([2, 2])

    Kim, 2014, "Convolutional Neural Networks for Sentence Classification", arXiv:1408.5882.
    """

    def __init__(
        self,
        *,
        classes: int,
        vocabulary: int,
        embedding: int = 128,
        windows: Sequence[int] = (3, 4, 5),
        filters: int = 100,
        dropout: float = 0.5,
        per_word: bool = False,
    ) -> None:
        check_text("textcnn", classes, vocabulary, dropout, embedding=embedding, filters=filters)
        if not windows or min(windows) < 1:
            raise ArgumentError(f"textcnn: windows is {list(windows)}; expected widths of at least 1", path="windows")
        super().__init__()
        self.windows = tuple(windows)
        self.per_word = per_word
        self.words = Embedded(vocabulary, embedding)
        # Windows around a word are padded when they are read: they may need more on one side than on the other.
        self.filters = nn.ModuleList(
            nn.Conv1d(embedding, filters, width, padding=0 if per_word else width - 1) for width in windows
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(windows), classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, words: Tensor | None = None) -> Tensor:
        if (words is not None) != self.per_word:
            raise ArgumentError(
                "textcnn: build it with per_word=True to give logits for words, False for texts",
                code="unsupported",
                path="per_word",
            )
        vectors, real = self.words(input_ids, attention_mask)
        columns, length = vectors.transpose(1, 2), real.sum(1, keepdim=True)
        pairs = zip(self.filters, self.windows, strict=True)
        if words is None:
            read = torch.cat([_largest(filters(columns), length, width) for filters, width in pairs], 1)
        else:
            around = (filters(pad(columns, ((width - 1) // 2, width // 2))).relu() for filters, width in pairs)
            read = at_positions(torch.cat(list(around), 1).transpose(1, 2), words)
        logits: Tensor = self.head(self.dropout(read))
        return logits


@register("model", "textcnn", inputs="texts", per="word")
def textcnn_tagger(
    *,
    classes: int,
    vocabulary: int,
    embedding: int = 128,
    windows: Sequence[int] = (3, 5, 7),
    filters: int = 100,
    dropout: float = 0.5,
) -> TextCNN:
    """Windows of several widths around each word, the responses of filters after a rectifier, and a linear head.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding, which stands on the right.
        embedding: numbers for a word.
        windows: widths in words.
        filters: of each width.
        dropout: share of the responses set to 0 in training, in [0, 1).

    Returns:
        A `TextCNN` with ``per_word``.

    Raises:
        ArgumentError: if a number is below 1, there is no window, or dropout is outside [0, 1).

    >>> net = textcnn_tagger(classes=3, vocabulary=100, embedding=8, filters=6)
    >>> net(torch.tensor([[4, 7, 9, 0]]), words=torch.tensor([[0, 2]])).shape
    torch.Size([1, 2, 3])

    Collobert, Weston, Bottou, Karlen, Kavukcuoglu, Kuksa, 2011, "Natural Language Processing (Almost) from Scratch",
    arXiv:1103.0398 (the window approach).
    """
    sizes = {"classes": classes, "vocabulary": vocabulary, "embedding": embedding, "filters": filters}
    return TextCNN(**sizes, windows=windows, dropout=dropout, per_word=True)


def _largest(response: Tensor, length: Tensor, width: int) -> Tensor:
    """The largest response of each filter, after the rectifier, over the windows that hold a word."""
    end = torch.arange(response.shape[2], device=response.device)
    holds_a_word = (end < length + width - 1) & (length > 0)
    return (response.relu() * holds_a_word.unsqueeze(1)).amax(2)
