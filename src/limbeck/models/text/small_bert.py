"""A small BERT with random weights."""

from __future__ import annotations

from typing import Any

from limbeck.errors import ArgumentError
from limbeck.models.optional_deps import import_library
from limbeck.models.text.embeddings import check_text
from limbeck.models.text.word_logits import with_word_logits
from limbeck.registry import register

__all__ = ["small_bert", "small_bert_tagger"]


@register("text_model", "bert")
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

    Returns:
        A ``BertForSequenceClassification``.

    Raises:
        ArgumentError: if transformers is missing, a number is below 1, or the width is no multiple of the heads.

    >>> import torch
    >>> net = small_bert(classes=3, vocabulary=50, width=8, neurons=16)
    >>> net(input_ids=torch.tensor([[4, 7]])).logits.shape
    torch.Size([1, 3])

    Turc, Chang, Lee, Toutanova, 2019, "Well-Read Students Learn Better: On the Importance of Pre-training Compact
    Models", arXiv:1908.08962.
    """
    sizes = {"layers": layers, "width": width, "heads": heads, "neurons": neurons, "length": length}
    config = _config(classes, vocabulary, dropout, **sizes)
    return import_library("transformers", "text").BertForSequenceClassification(config)


@register("tagging_model", "bert")
def small_bert_tagger(
    *,
    classes: int,
    vocabulary: int,
    layers: int = 2,
    width: int = 128,
    heads: int = 2,
    neurons: int = 512,
    length: int = 512,
    dropout: float = 0.1,
) -> Any:
    """A BERT for the tags of words, from its configuration, with random weights; otherwise as `small_bert`.

    Returns:
        A ``BertForTokenClassification``, as `with_word_logits` makes it.

    Raises:
        ArgumentError: as `small_bert`.

    >>> import torch
    >>> net = small_bert_tagger(classes=3, vocabulary=50, width=8, neurons=16)
    >>> net(input_ids=torch.tensor([[2, 4, 7, 3]]), words=torch.tensor([[1, 2]])).logits.shape
    torch.Size([1, 2, 3])
    """
    sizes = {"layers": layers, "width": width, "heads": heads, "neurons": neurons, "length": length}
    config = _config(classes, vocabulary, dropout, **sizes)
    return with_word_logits(import_library("transformers", "text").BertForTokenClassification(config))


def _config(classes: int, vocabulary: int, dropout: float, **sizes: int) -> Any:
    check_text("bert", classes, vocabulary, dropout, **sizes)
    width, heads = sizes["width"], sizes["heads"]
    if width % heads:
        raise ArgumentError(
            f"bert: width {width} is no multiple of {heads} heads; choose another number of either", path="heads"
        )
    return import_library("transformers", "text").BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=sizes["layers"],
        num_attention_heads=heads,
        intermediate_size=sizes["neurons"],
        max_position_embeddings=sizes["length"],
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        num_labels=classes,
        pad_token_id=0,
    )
