"""Tiny random models of Hugging Face, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn

VOCABULARY, POSITIONS, TOKENS = 30, 24, 7
LENGTHS = torch.tensor([7, 2, 5])
ATTENTION_MASK = (torch.arange(TOKENS) < LENGTHS[:, None]).long()

_text = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS}
_image = {"image_size": 8, "patch_size": 4, "num_channels": 1}


def _sizes(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
    }


def _bert(head: str, layers: int, width: int, heads: int, **options: Any) -> nn.Module:
    config = transformers.BertConfig(**_text, **_sizes(layers, width, heads), **options)
    model: nn.Module = getattr(transformers, f"Bert{head}")(config)
    return model


def _roberta(head: str, layers: int, width: int, heads: int, **options: Any) -> nn.Module:
    config = transformers.RobertaConfig(**_text, **_sizes(layers, width, heads), **options)
    model: nn.Module = getattr(transformers, f"Roberta{head}")(config)
    return model


def _electra(head: str, layers: int, width: int, heads: int, **options: Any) -> nn.Module:
    config = transformers.ElectraConfig(**_text, **_sizes(layers, width, heads), embedding_size=5, **options)
    model: nn.Module = getattr(transformers, f"Electra{head}")(config)
    return model


def _distilbert(head: str, layers: int, width: int, heads: int, **options: Any) -> nn.Module:
    config = transformers.DistilBertConfig(
        **_text, dim=width, n_layers=layers, n_heads=heads, hidden_dim=2 * width, **options
    )
    model: nn.Module = getattr(transformers, f"DistilBert{head}")(config)
    return model


def _vit(head: str, layers: int, width: int, heads: int, **options: Any) -> nn.Module:
    head = head.replace("Sequence", "Image")
    config = transformers.ViTConfig(**_image, **_sizes(layers, width, heads), **options)
    model: nn.Module = getattr(transformers, f"ViT{head}")(config)
    return model


_kinds: dict[str, Callable[..., nn.Module]] = {
    "bert": _bert,
    "roberta": _roberta,
    "electra": _electra,
    "distilbert": _distilbert,
    "vit": _vit,
}
KINDS = tuple(_kinds)


def encoder(
    kind: str,
    head: str = "ForSequenceClassification",
    *,
    layers: int = 2,
    width: int = 12,
    heads: int = 3,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """A model in eval mode, with weights large enough that attention is far from uniform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _kinds[kind](head, layers, width, heads, initializer_range=0.6, **options)
    return model.eval()


def encoder_inputs(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """What the model is called with: three rows, of text with padding or of images without."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "vit":
        return {"pixel_values": torch.randn(3, 1, 8, 8, generator=generator)}
    tokens = torch.randint(4, VOCABULARY, (3, TOKENS), generator=generator)
    return {"input_ids": tokens.where(ATTENTION_MASK == 1, 1), "attention_mask": ATTENTION_MASK.clone()}
