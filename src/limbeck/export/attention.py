"""Attention as onnxruntime computes it with fewest operators."""

from __future__ import annotations

from torch import nn

__all__ = ["with_plain_attention"]


def with_plain_attention(model: nn.Module) -> nn.Module:
    """The model itself, where Hugging Face's parts of it compute softmax(q kᵀ / √d + mask) v as written.

    What torch makes of ``scaled_dot_product_attention`` in a graph also looks in each row for a token without any other
    to attend to. Here such a token attends to all alike, and the numbers of all others are the same.
    """
    for part in model.modules():
        config, choose = getattr(part, "config", None), getattr(part, "set_attn_implementation", None)
        if callable(choose) and getattr(config, "_attn_implementation", None) not in (None, "eager"):
            choose("eager")
    return model
