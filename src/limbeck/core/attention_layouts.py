"""Where the models of Hugging Face have the queries, keys and values of their attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from limbeck.errors import ArgumentError, suggest

__all__ = ["AttentionTaps", "attention_taps"]


class AttentionTaps(NamedTuple):
    """Where to tap a model for losses between attention: paths of modules, one for each layer, and what they mean."""

    query: list[str]
    key: list[str]
    value: list[str]
    heads: int
    mask: str | None


class _Layout(NamedTuple):
    """Paths within a model's tree: the list of its layers, and within a layer the linear projections."""

    layers: str
    query: str
    key: str
    value: str
    mask: str | None


_bert = _Layout("encoder.layer", "attention.self.query", "attention.self.key", "attention.self.value", "attention_mask")
_distilbert = _Layout("transformer.layer", "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention_mask")
_vit = _Layout("layers", "attention.q_proj", "attention.k_proj", "attention.v_proj", None)
# Before transformers moved ViT's layers.
_vit_encoder = _Layout(
    "encoder.layer", "attention.attention.query", "attention.attention.key", "attention.attention.value", None
)

_layouts = {
    "bert": (_bert,),
    "roberta": (_bert,),
    "electra": (_bert,),
    "distilbert": (_distilbert,),
    "vit": (_vit, _vit_encoder),
}


def attention_taps(model: nn.Module, layers: Sequence[int] | None = None) -> AttentionTaps:
    """The modules that give queries, keys and values of each layer, the number of heads, and the name of the mask.

    The paths go into the `taps` of a `Tapped` or a teacher. Their outputs, with heads side by side, are what
    `limbeck.losses.AttentionScores` and `limbeck.losses.ValueRelation` take, whichever kernel the attention runs on.

    Args:
        model: a model of Hugging Face of the type BERT, RoBERTa, DistilBERT, ELECTRA or ViT, with any head.
        layers: positions of layers, from 0 or, if negative, from the end; all if None.

    Returns:
        Paths for queries, keys and values, one for each layer; the number of heads; and the argument of the model that
        masks padding (``batch.inputs.attention_mask`` on the board), None for images.

    Raises:
        ArgumentError: if the model is of another type, its modules are not where they are known to be, or there is no
            such layer.

    >>> from types import SimpleNamespace
    >>> projections = {"query": nn.Linear(4, 4), "key": nn.Linear(4, 4), "value": nn.Linear(4, 4)}
    >>> layer = nn.ModuleDict({"attention": nn.ModuleDict({"self": nn.ModuleDict(projections)})})
    >>> model = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": nn.ModuleList([layer])})})
    >>> model.config = SimpleNamespace(model_type="bert", num_attention_heads=2)
    >>> taps = attention_taps(model)
    >>> taps.query, taps.heads, taps.mask
    (['encoder.layer.0.attention.self.query'], 2, 'attention_mask')
    """
    layout, stack, depth = _found(model)
    chosen = range(depth) if layers is None else layers
    for layer in chosen:
        if not -depth <= layer < depth:
            raise ArgumentError(
                f"attention_taps: there is no layer {layer}; the model has {depth}, counted from 0", path="layers"
            )
    paths = {
        role: [f"{stack}.{layer % depth}.{path}" for layer in chosen]
        for role, path in (("query", layout.query), ("key", layout.key), ("value", layout.value))
    }
    modules = dict(model.named_modules())
    for path in (path for of_role in paths.values() for path in of_role):
        if path not in modules:
            raise ArgumentError(
                f"attention_taps: the model has no module {path!r}.{suggest(path, modules)}",
                code="unknown_name",
                path=path,
            )
    config: Any = model.config
    return AttentionTaps(**paths, heads=config.num_attention_heads, mask=layout.mask)


def _found(model: nn.Module) -> tuple[_Layout, str, int]:
    """The layout, the path of the list of layers, and their number."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in _layouts:
        raise ArgumentError(
            f"attention_taps: {type(model).__name__} is a model of type {kind!r}, whose modules are not known; name "
            f"them in taps yourself. Known: {', '.join(map(repr, sorted(_layouts)))}.",
            code="unsupported",
            path="model",
        )
    stacks = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList) and module}
    for layout in _layouts[kind]:
        matching = [path for path in stacks if f".{path}".endswith(f".{layout.layers}")]
        if len(matching) == 1:
            return layout, matching[0], len(stacks[matching[0]])
    expected = " or ".join(repr(layout.layers) for layout in _layouts[kind])
    raise ArgumentError(
        f"attention_taps: a model of type {kind!r} has its layers in one list {expected}, this {type(model).__name__} "
        f"has the lists {sorted(stacks)}; name its modules in taps yourself",
        code="unsupported",
        path="model",
    )
