"""A small BERT with random weights."""

from __future__ import annotations

from typing import Any

from limbeck.errors import ArgumentError
from limbeck.models.optional_deps import import_library
from limbeck.models.text.embeddings import check_text
from limbeck.models.text.word_logits import with_word_logits
from limbeck.registry import register

__all__ = ["small_bert"]


@register("model", "bert", inputs="texts", per=("row", "word"))
def small_bert(
    *,
    classes: int,
    vocabulary: int,
    layers: int = 2,
    width: int = 128,
    heads: int = 2,
    neurons: int = 512,
    length: int = 512,
    dropout: float = 0.1,
    per_word: bool = False,
) -> Any:
    """A BERT for classes, from its configuration, with random weights.

    The default sizes are those of the smallest of Turc and others.

    Args:
        classes: number of logits.
        vocabulary: number of entries; 0 is padding.
        layers: number of layers.
        width: of the hidden state, a multiple of the heads.
        heads: of each attention.
        neurons: the intermediate width of each layer.
        length: the longest row, in tokens.
        dropout: share of states and attention weights set to 0 in training, in [0, 1).
        per_word: whether it gives logits for each word.

    Returns:
        A ``BertForSequenceClassification``; for words a ``BertForTokenClassification``, as `with_word_logits` makes it.

    Raises:
        ArgumentError: if transformers is missing, a number is below 1, or the width is no multiple of the heads.

    >>> import torch
    >>> net = small_bert(classes=3, vocabulary=50, width=8, neurons=16)
    >>> net(input_ids=torch.tensor([[4, 7]])).logits.shape
    torch.Size([1, 3])
    >>> net = small_bert(classes=3, vocabulary=50, width=8, neurons=16, per_word=True)
    >>> net(input_ids=torch.tensor([[2, 4, 7, 3]]), words=torch.tensor([[1, 2]])).logits.shape
    torch.Size([1, 2, 3])

    Turc, Chang, Lee, Toutanova, 2019, "Well-Read Students Learn Better: On the Importance of Pre-training Compact
    Models", arXiv:1908.08962.
    """
    check_text(
        "bert", classes, vocabulary, dropout, layers=layers, width=width, heads=heads, neurons=neurons, length=length
    )
    if width % heads:
        raise ArgumentError(
            f"bert: width {width} is no multiple of {heads} heads; choose another number of either", path="heads"
        )
    transformers = import_library("transformers", "text")
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=neurons,
        max_position_embeddings=length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=classes,
        pad_token_id=0,
    )
    if per_word:
        return with_word_logits(transformers.BertForTokenClassification(config))
    return transformers.BertForSequenceClassification(config)
