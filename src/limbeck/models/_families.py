"""How the transformers that can be shrunk name their weights, and what each axis of a weight runs over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

__all__ = ["FAMILIES", "Axis", "Family", "Projections"]

Axis: TypeAlias = Literal[
    "keep",  # nothing that a width changes
    "write",  # what is added to the hidden state
    "read",  # what is multiplied with the hidden state
    "gain",  # the gain of a layer norm of the hidden state
    "neurons",  # between the two linear maps of a layer
    "features",  # between the two linear maps of a head; of a head with one map, the hidden state
    "decode",  # as read, where the words' scores have weights of their own; else the embeddings' are used
    "decode_gain",  # as gain and write, of the layer norm before the words' scores
    "decode_write",
]
Axes: TypeAlias = Mapping[str, tuple[Axis, ...]]


@dataclass(frozen=True)
class Projections:
    """Where the linear maps of an attention stand in a layer: query, key, value, output, each [outputs, inputs]."""

    query: str
    key: str
    value: str
    output: str

    @property
    def axes(self) -> Axes:
        reading = (self.query, self.key, self.value)
        return {
            **{f"{name}.weight": ("keep", "read") for name in reading},
            **{f"{name}.bias": ("keep",) for name in reading},
            f"{self.output}.weight": ("write", "keep"),
            f"{self.output}.bias": ("write",),
        }

    def take(self, state: Mapping[str, Tensor], layer: str) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Weights and biases of query, key and value in a layer, and the weight of its output."""
        names = [f"{layer}{name}" for name in (self.query, self.key, self.value)]
        weights, biases = ([state[f"{name}.{kind}"] for name in names] for kind in ("weight", "bias"))
        return weights, biases, state[f"{layer}{self.output}.weight"]

    def put(self, layer: str, weights: Sequence[Tensor], biases: Sequence[Tensor], output: Tensor) -> dict[str, Tensor]:
        """The other way round: by names."""
        found = {f"{layer}{self.output}.weight": output}
        for name, weight, bias in zip((self.query, self.key, self.value), weights, biases, strict=True):
            found |= {f"{layer}{name}.weight": weight, f"{layer}{name}.bias": bias}
        return found


@dataclass(frozen=True)
class _Fused:
    """As `Projections`, for query, key and value in one weight [inputs, 3 · outputs]."""

    together: str
    output: str

    @property
    def axes(self) -> Axes:
        return {
            f"{self.together}.weight": ("read", "keep"),
            f"{self.together}.bias": ("keep",),
            f"{self.output}.weight": ("keep", "write"),
            f"{self.output}.bias": ("write",),
        }

    def take(self, state: Mapping[str, Tensor], layer: str) -> tuple[list[Tensor], list[Tensor], Tensor]:
        weight, bias = (state[f"{layer}{self.together}.{kind}"] for kind in ("weight", "bias"))
        return list(weight.T.chunk(3)), list(bias.chunk(3)), state[f"{layer}{self.output}.weight"].T

    def put(self, layer: str, weights: Sequence[Tensor], biases: Sequence[Tensor], output: Tensor) -> dict[str, Tensor]:
        return {
            f"{layer}{self.together}.weight": torch.cat(list(weights)).T,
            f"{layer}{self.together}.bias": torch.cat(list(biases)),
            f"{layer}{self.output}.weight": output.T,
        }


@dataclass(frozen=True)
class Family:
    """The names of one family.

    Args:
        layers: path of the list of layers, behind the name of the base model.
        neurons: the option of the configuration for their number.
        projections: of an attention.
        axes: the end of a weight's name -> what its axes run over.
        relative: the bias [buckets, heads] that all layers share, where there is one.
    """

    layers: str
    neurons: str
    projections: Projections | _Fused
    axes: Axes
    relative: str | None = None

    def split(self, name: str) -> tuple[str, int, str] | None:
        """The path of the list of layers, the layer's number, and the rest of a name; None outside of layers."""
        found = re.match(rf"((?:\w+\.)?{re.escape(self.layers)}\.)(\d+)(\..+)", name)
        return None if found is None else (found[1], int(found[2]), found[3])

    def axes_of(self, name: str) -> tuple[Axis, ...] | None:
        """What the axes of a weight run over, by the longest known end of its name."""
        known = [end for end in self.axes if f".{name}".endswith(f".{end}")]
        return self.axes[max(known, key=len)] if known else None


def _norm(*names: str) -> Axes:
    gains: Axes = {f"{name}.weight": ("gain",) for name in names}
    return {**gains, **{f"{name}.bias": ("write",) for name in names}}


def _two_maps(first: str, second: str, between: Axis, ends: Axis) -> Axes:
    return {
        f"{first}.weight": (between, "read"),
        f"{first}.bias": (between,),
        f"{second}.weight": (ends, between),
        f"{second}.bias": (ends,),
    }


def _words(transform: str, norm: str, decoder: str, bias: str) -> Axes:
    """A head that gives each word a score."""
    return {
        f"{transform}.weight": ("write", "read"),
        f"{transform}.bias": ("write",),
        f"{norm}.weight": ("decode_gain",),
        f"{norm}.bias": ("decode_write",),
        f"{decoder}.weight": ("keep", "decode"),
        f"{decoder}.bias": ("keep",),
        bias: ("keep",),
    }


_heads: Axes = {
    **_two_maps("classifier.dense", "classifier.out_proj", "features", "keep"),
    **_two_maps("pooler.dense", "classifier", "features", "keep"),
    **_two_maps("pre_classifier", "classifier", "features", "keep"),
    **_two_maps("discriminator_predictions.dense", "discriminator_predictions.dense_prediction", "features", "keep"),
    **_two_maps("pooler.dense", "cls.seq_relationship", "features", "keep"),
    "qa_outputs.weight": ("keep", "read"),
    "qa_outputs.bias": ("keep",),
    "score.weight": ("keep", "read"),
}
_embeddings: Axes = {
    f"embeddings.{kind}_embeddings.weight": ("keep", "write") for kind in ("word", "position", "token_type")
}
_inside_bert = Projections(
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"
)
_inside_mpnet = Projections("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o")


def _like_bert(projections: Projections, others: Axes, relative: str | None = None) -> Family:
    layer = {**projections.axes, **_two_maps("intermediate.dense", "output.dense", "neurons", "write")}
    axes = {**_heads, **_embeddings, **_norm("LayerNorm"), **layer, **others}
    return Family("encoder.layer", "intermediate_size", projections, axes, relative)


_lm_head = _words("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias")
_roberta = _like_bert(_inside_bert, _lm_head)
_mpnet_bias: Axes = {"relative_attention_bias.weight": ("keep", "keep")}
_electra_projection: Axes = {"embeddings_project.weight": ("write", "keep"), "embeddings_project.bias": ("write",)}
_inside_distilbert = Projections("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
_inside_gpt2 = _Fused("attn.c_attn", "attn.c_proj")

FAMILIES: Mapping[str, Family] = {
    "bert": _like_bert(
        _inside_bert,
        _words(
            "predictions.transform.dense",
            "predictions.transform.LayerNorm",
            "predictions.decoder",
            "predictions.bias",
        ),
    ),
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
    "electra": _like_bert(
        _inside_bert,
        {
            **_words(
                "generator_predictions.dense",
                "generator_predictions.LayerNorm",
                "generator_lm_head",
                "generator_lm_head.bias",
            ),
            **_electra_projection,
        },
    ),
    "mpnet": _like_bert(_inside_mpnet, {**_lm_head, **_mpnet_bias}, "encoder.relative_attention_bias.weight"),
    "distilbert": Family(
        "transformer.layer",
        "hidden_dim",
        _inside_distilbert,
        {
            **_heads,
            **_embeddings,
            **_norm("LayerNorm", "sa_layer_norm", "output_layer_norm"),
            **_inside_distilbert.axes,
            **_two_maps("ffn.lin1", "ffn.lin2", "neurons", "write"),
            **_words("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
        },
    ),
    "gpt2": Family(
        "h",
        "n_inner",
        _inside_gpt2,
        {
            **_heads,
            **_norm("ln_1", "ln_2"),
            **_inside_gpt2.axes,
            "wte.weight": ("keep", "write"),
            "wpe.weight": ("keep", "write"),
            "mlp.c_fc.weight": ("read", "neurons"),
            "mlp.c_fc.bias": ("neurons",),
            "mlp.c_proj.weight": ("neurons", "write"),
            "mlp.c_proj.bias": ("write",),
            "ln_f.weight": ("decode_gain",),
            "ln_f.bias": ("decode_write",),
            "lm_head.weight": ("keep", "decode"),
        },
    ),
}
"""The families that can be shrunk, by the ``model_type`` of their configuration."""
