"""A small transformer that begins with the weights of a large one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from limbeck.errors import ArgumentError, suggest
from limbeck.functional import layer_map
from limbeck.models._families import FAMILIES, Family
from limbeck.models._shrunk import State, narrowed, with_layers
from limbeck.models.checks import check_positive

__all__ = ["shrink"]

Model = TypeVar("Model", bound=nn.Module)

_methods = ("select", "svd")
_rules = ("uniform", "last", "skip")


def shrink(
    model: Model,
    *,
    layers: int | Sequence[int] | None = None,
    rule: Literal["uniform", "last", "skip"] = "uniform",
    width: int | None = None,
    heads: int | None = None,
    neurons: int | None = None,
    method: Literal["svd", "select"] = "select",
    batches: Iterable[Mapping[str, Tensor]] = (),
) -> Model:
    r"""A smaller model of the same kind, with layers, and the most of each, taken from a transformer.

    Layers alone are copied as they are: the hidden states up to the last layer that is taken without a gap are equal.
    What is not given stays as in the model, and nothing given gives a copy.

    A hidden state h of D numbers becomes z = P h of d, and h ≈ P⁺ z. Weights that add to h are multiplied by P from the
    left, weights that read it by P⁺ from the right; a layer norm's bias β becomes P β and its gain γ the diagonal of
    P diag(γ) P⁺. G is the sum of the Gram matrices of the states that enter and leave the layers taken, each divided by
    its trace; without batches, of all embeddings and all weights that add to h in these layers, a rougher estimate.

    - ``select``: z is the d coordinates of h with the largest diagonal of G, and P⁺ = G Pᵀ (P G Pᵀ)⁺ the linear map
      from them to all with the least squares. Gains and elementwise functions are exact; a layer norm has the mean and
      the deviation of the coordinates that are kept.
    - ``svd``: P = √(d/D) Uᵀ and P⁺ = √(D/d) U, where the columns of U span the ones, whose share a layer norm takes
      away, and the first d − 1 eigenvectors of G beside them, turned so that ones go to ones: then a layer norm of z is
      P times that of h for every h = P⁺ z and equal gains. So the small model equals the large one if its states lie in
      that subspace and the gains of each norm are equal; other gains are met in the mean.

    Attention keeps its number of heads, if ``heads`` is not given, else those with the largest ‖W_O W_V‖ (MPNet: in the
    mean over the layers, which share a bias for each head). A smaller head has the nearest bilinear form of queries and
    keys, and the nearest product W_O W_V, of its size: truncated singular value decompositions, with biases as the
    weights of one more number that is 1. Of ``neurons`` between two maps, those are kept with the largest product of
    the norms of what goes in and comes out; a head's hidden features alike, `width` of them. Embeddings of a size of
    their own (ELECTRA) keep it. A head for words keeps its elementwise function, which ``svd`` does not commute with.

    Args:
        model: a Hugging Face model of the families bert, roberta, xlm-roberta, camembert, distilbert, electra, mpnet or
            gpt2, with or without a head.
        layers: how many, or the positions of those to take, from 0 or, if negative, from the end.
        rule: which, of that many: ``uniform``, ``last`` or ``skip`` of `limbeck.functional.layer_map`.
        width: d, a multiple of the number of heads.
        heads: their number; of a size, width / heads, that is at most the model's.
        neurons: the intermediate width of each layer.
        method: ``select`` or ``svd``, for the width.
        batches: inputs of the model by keyword, some hundred rows of its data; read only if the width changes.

    Returns:
        A model of the same class, on the same device, in the same dtype and mode, whose configuration has its sizes, so
        that ``save_pretrained`` and ``from_pretrained`` hold for it; no weight is shared with the first.

    Raises:
        ArgumentError: if the family or a weight in a head is not known, or a size cannot be.

    >>> from transformers import BertConfig, BertModel
    >>> config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=4, num_attention_heads=2)
    >>> small = shrink(BertModel(config), layers=2, width=8)
    >>> small.config.num_hidden_layers, small.encoder.layer[1].attention.self.query.weight.shape
    (2, torch.Size([8, 8]))

    Sanh, Debut, Chaumond, Wolf, 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
    arXiv:1910.01108 (layers taken from the teacher). Ashkboos, Croci, do Nascimento, Hoefler, Hensman, 2024,
    "SliceGPT: Compress Large Language Models by Deleting Rows and Columns", arXiv:2401.15024 (a turned hidden state).
    """
    family, old = _family(model), cast(Any, model.config)
    config = copy.deepcopy(old)
    taken = _positions(layers, rule, config.num_hidden_layers)
    _set_sizes(config, family, width=width, heads=heads, neurons=neurons)
    if method not in _methods:
        raise ArgumentError(
            f"shrink: no method {method!r}.{suggest(method, _methods)}", code="unknown_name", path="method"
        )
    config.num_hidden_layers = len(taken)
    with torch.no_grad():
        state = with_layers(model.state_dict(), family, taken)
        grams = _grams(model, batches, taken) if config.hidden_size != old.hidden_size else []
        state = narrowed(type(model).__name__, state, family, old, config, method, grams)
    return _built(model, config, state)


def _family(model: nn.Module) -> Family:
    config: Any = getattr(model, "config", None)
    kind = getattr(config, "model_type", "")
    if kind not in FAMILIES:
        raise ArgumentError(
            f"shrink: {type(model).__name__} is {'no Hugging Face model' if not kind else f'a {kind}'}; supported: "
            f"{', '.join(FAMILIES)}",
            code="unsupported",
            path="model",
        )
    for option in ("add_cross_attention", "scale_attn_by_inverse_layer_idx"):
        if getattr(config, option, False):
            raise ArgumentError(
                f"shrink: {type(model).__name__} has {option}, which is not supported", code="unsupported", path="model"
            )
    return FAMILIES[kind]


def _positions(layers: int | Sequence[int] | None, rule: Literal["uniform", "last", "skip"], depth: int) -> list[int]:
    if layers is None:
        return list(range(depth))
    if not isinstance(layers, int):
        if not layers:
            raise ArgumentError(
                f"shrink: layers is {layers!r}; take at least one of {depth}", code="missing", path="layers"
            )
        return [position for _, position in layer_map(list(enumerate(layers)), len(layers), depth)]
    check_positive("shrink", layers=layers)
    if rule not in _rules:
        raise ArgumentError(f"shrink: no rule {rule!r}.{suggest(rule, _rules)}", code="unknown_name", path="layers")
    return [position for _, position in layer_map(rule, layers, depth)]


def _set_sizes(config: Any, family: Family, *, width: int | None, heads: int | None, neurons: int | None) -> None:
    """Write the sizes into the configuration; refuse those that cannot be."""
    old_width, old_heads = config.hidden_size, config.num_attention_heads
    old_neurons = getattr(config, family.neurons) or 4 * old_width
    width, heads = old_width if width is None else width, old_heads if heads is None else heads
    neurons = old_neurons if neurons is None else neurons
    check_positive("shrink", width=width, heads=heads, neurons=neurons)
    for name, new, old in (("width", width, old_width), ("heads", heads, old_heads), ("neurons", neurons, old_neurons)):
        if new > old:
            raise ArgumentError(f"shrink: {name} is {new}, the model has {old}; give at most that", path=name)
    if width % heads or width // heads > old_width // old_heads:
        raise ArgumentError(
            f"shrink: width {width} in {heads} heads; expected a multiple of the heads, and heads of a size of at most "
            f"{old_width // old_heads}, as in the model",
            path="width",
        )
    _set_embeddings(config, width)
    config.hidden_size, config.num_attention_heads = width, heads
    setattr(config, family.neurons, neurons)


def _set_embeddings(config: Any, width: int) -> None:
    """Embeddings of a size of their own keep it; without one, they have the new width."""
    size = getattr(config, "embedding_size", None)
    if size == config.hidden_size:
        config.embedding_size = width
    elif size == width:
        raise ArgumentError(
            f"shrink: width {width} is the size of the embeddings, which would lose the map behind them; "
            "choose another",
            path="width",
        )


def _grams(model: nn.Module, batches: Iterable[Mapping[str, Tensor]], taken: Sequence[int]) -> list[Tensor]:
    """Gram matrices [D, D] of the states before and after the layers taken, over all tokens that are no padding."""
    device, mode = next(model.parameters()).device, model.training
    totals: dict[int, Tensor] = {}
    model.eval()
    for batch in batches:
        inputs = {name: value.to(device) for name, value in batch.items()}
        states = model(**inputs, output_hidden_states=True).hidden_states
        for place in dict.fromkeys((0, *(layer + 1 for layer in taken))):
            rows = states[place]
            rows = rows[inputs["attention_mask"] != 0] if "attention_mask" in inputs else rows.flatten(0, 1)
            totals[place] = totals.get(place, 0) + rows.double().T @ rows.double()
    model.train(mode)
    return list(totals.values())


def _built(model: Model, config: Any, state: State) -> Model:
    """A model of the same class with these weights."""
    with torch.random.fork_rng(devices=[]):
        small = type(model)(config)
    small.to(next(model.parameters()))
    small.load_state_dict(state)
    if hasattr(model, "generation_config"):
        small.generation_config = copy.deepcopy(model.generation_config)
    return small.train(model.training)
