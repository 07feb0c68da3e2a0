"""Models of Hugging Face that give every token logits, asked for those of words."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, TypeVar

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.models.text.embeddings import at_positions

__all__ = ["with_word_logits"]

Model = TypeVar("Model", bound=nn.Module)


def with_word_logits(model: Model) -> Model:
    """A model for tokens that takes one input more, ``words``, and gives the logits of each word's first token.

    The model is changed in place: its class becomes one of the same name with another ``forward``. Weights, names of
    modules, configuration and ``save_pretrained`` stay as they are; hidden states stay those of tokens.

    Args:
        model: an ``AutoModelForTokenClassification``.

    Returns:
        The model.

    Raises:
        ArgumentError: if it is no module that is called by keyword.

    >>> import torch
    >>> from transformers import BertConfig, BertForTokenClassification
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=3)
    >>> model = with_word_logits(BertForTokenClassification(config))
    >>> model(input_ids=torch.tensor([[2, 5, 6, 7, 3]]), words=torch.tensor([[1, 3]])).logits.shape
    torch.Size([1, 2, 3])
    """
    parameters = inspect.signature(model.forward).parameters
    if "input_ids" not in parameters:
        raise ArgumentError(
            f"with_word_logits: {type(model).__name__} takes no input_ids; give a model for tokens",
            code="unsupported",
            path="model",
        )
    if "words" not in parameters:
        kind: Any = type(model)
        model.__class__ = _asked_for_words(kind)
    return model


@cache
def _asked_for_words(kind: Any) -> Any:
    def forward(self: Any, *, words: Tensor, **inputs: Any) -> Any:
        given = kind.forward(self, **inputs)
        given["logits"] = at_positions(given["logits"], words)
        return given

    # What a task looks at to know which inputs there are.
    known = inspect.signature(kind.forward).parameters.values()
    rest = [parameter for parameter in known if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    named = [parameter for parameter in known if parameter not in rest]
    added = inspect.Parameter("words", inspect.Parameter.KEYWORD_ONLY)
    forward.__signature__ = inspect.Signature([*named, added, *rest])  # type: ignore[attr-defined]
    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__})
