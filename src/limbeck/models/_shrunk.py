"""The weights of a transformer, by name, at fewer layers and smaller sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.models._families import Axis, Family
from limbeck.models._narrow import Basis, energy, hidden_basis, largest, narrower_heads

__all__ = ["State", "narrowed", "with_layers"]

State: TypeAlias = dict[str, Tensor]
Kinds: TypeAlias = Mapping[str, tuple[Axis, ...]]


def with_layers(state: Mapping[str, Tensor], family: Family, taken: Sequence[int]) -> State:
    """The weights outside of layers, and those of the layers taken under their new numbers."""
    found: State = {}
    for name, value in state.items():
        place = family.split(name)
        if place is None:
            found[name] = value
            continue
        layers, number, rest = place
        found |= {f"{layers}{new}{rest}": value for new, old in enumerate(taken) if old == number}
    return found


def narrowed(
    model: str,
    state: State,
    family: Family,
    old: Any,
    new: Any,
    method: Literal["svd", "select"],
    grams: Sequence[Tensor],
) -> State:
    """The weights of a model of the configuration ``old`` at the sizes of ``new``.

    Args:
        model: its name, for errors.
        state: its weights.
        family: their names.
        old: its configuration.
        new: with the new sizes.
        method: as in `limbeck.models.shrink`.
        grams: Gram matrices of hidden states; those of what weights add to them, if there are none.

    Raises:
        ArgumentError: if a size changes, and what an axis of a weight runs over is not known.
    """
    narrower = new.hidden_size != old.hidden_size
    if not narrower and getattr(old, family.neurons) == getattr(new, family.neurons):
        return state
    kinds = _kinds(model, state, family)
    tied = _tied(state, kinds)
    dtypes = {name: value.dtype for name, value in state.items()}
    state = {name: value.double() for name, value in state.items()}
    for names in _layers(state, family).values():
        state |= _fewer("neurons", getattr(new, family.neurons), {name: state[name] for name in names}, kinds)
    if narrower:
        state |= _fewer("features", new.hidden_size, {n: v for n, v in state.items() if "features" in kinds[n]}, kinds)
        grams = grams or [rows.T @ rows for rows in _writing(state, kinds, old.hidden_size)]
        basis = hidden_basis(energy(grams), new.hidden_size, method)
        state = _in_basis(state, kinds, basis, tied)
        state |= _smaller_attention(state, family, old, new)
    return {name: value.to(dtypes[name]) for name, value in state.items()}


def _kinds(model: str, state: State, family: Family) -> Kinds:
    """What the axes of each weight run over."""
    kinds: dict[str, tuple[Axis, ...]] = {}
    for name in state:
        found = family.axes_of(name)
        if found is None:
            raise ArgumentError(
                f"shrink: the weight {name!r} of {model} is not known, so only its layers can be taken; shrink the "
                "model without its head",
                code="unsupported",
                path="model",
            )
        kinds[name] = found
    # Without a map that makes features, a head reads the hidden state itself.
    if not any(found[0] == "features" for found in kinds.values()):
        kinds = {name: tuple("read" if k == "features" else k for k in found) for name, found in kinds.items()}
    return kinds


def _layers(state: State, family: Family) -> dict[str, list[str]]:
    """The names in each layer, by its path."""
    layers: dict[str, list[str]] = {}
    for name in state:
        place = family.split(name)
        if place is not None:
            layers.setdefault(f"{place[0]}{place[1]}.", []).append(name)
    return layers


def _fewer(kind: Axis, count: int, weights: State, kinds: Kinds) -> State:
    """Weights with the entries of one kind of axis for which the product of the norms of all matrices is largest."""
    found = {name: kinds[name].index(kind) for name in weights if kind in kinds[name]}
    norms = [weights[name].norm(dim=1 - axis) for name, axis in found.items() if weights[name].ndim == 2]
    if not norms or len(norms[0]) == count:
        return {}
    chosen = largest(torch.stack(norms).prod(0), count)
    return {name: weights[name].index_select(axis, chosen) for name, axis in found.items()}


def _writing(state: State, kinds: Kinds, width: int) -> Iterable[Tensor]:
    """The matrices [·, D] whose rows are added to the hidden state, of embeddings and layers."""
    for name, value in state.items():
        # One that reads the hidden state too is of a head for words.
        if value.ndim == 2 and "write" in kinds[name] and "read" not in kinds[name]:
            axis = kinds[name].index("write")
            if value.shape[axis] == width:
                yield value if axis else value.T


def _tied(state: State, kinds: Kinds) -> bool:
    """Whether the words' scores have the weights of their embeddings."""
    places = {value.data_ptr() for name, value in state.items() if kinds[name] == ("keep", "write")}
    return any("decode" in kinds[name] and value.data_ptr() in places for name, value in state.items())


def _in_basis(state: State, kinds: Kinds, basis: Basis, tied: bool) -> State:
    """All weights for narrow hidden states; an axis of another length is of embeddings of a size of their own."""
    factor = basis.tied if tied else 1.0
    decode = basis.down if tied else basis.up.T
    maps: Mapping[Axis, Tensor] = {"write": basis.down, "read": basis.up.T, "decode": decode}
    found: State = {}
    for name, value in state.items():
        for axis, kind in enumerate(kinds[name]):
            if value.shape[axis] != len(basis.up):
                continue
            if kind in maps:
                value = torch.tensordot(value, maps[kind], dims=([axis], [1])).movedim(-1, axis)
            elif kind == "gain":
                value = basis.gain(value)
            elif kind == "decode_gain":
                value = basis.gain(value) * factor
            elif kind == "decode_write":
                value = basis.down @ value * factor
        found[name] = value
    return found


def _smaller_attention(state: State, family: Family, old: Any, new: Any) -> State:
    """The attention of all layers, whose maps have narrow states at one end, with the new heads at the other."""
    layers = list(_layers(state, family))
    count, size = new.num_attention_heads, new.hidden_size // new.num_attention_heads
    cut = {layer: _by_heads(*family.projections.take(state, layer), old.num_attention_heads) for layer in layers}
    scores = torch.stack([_strength(output, weights[2]) for weights, _, output in cut.values()])
    if family.relative is not None:
        scores = (scores / scores.norm(dim=1, keepdim=True)).mean(0).expand(len(layers), -1)
    chosen = largest(scores, count)
    found: State = {}
    for layer, heads in zip(layers, chosen, strict=True):
        weights, biases, output = cut[layer]
        weights, biases, output = narrower_heads(
            [w[heads] for w in weights], [b[heads] for b in biases], output[heads], size
        )
        joined = [w.flatten(0, 1) for w in weights], [b.flatten() for b in biases], output.permute(1, 0, 2).flatten(1)
        found |= family.projections.put(layer, *joined)
    for name, value in state.items():
        if family.relative is not None and name.endswith(family.relative):
            found[name] = value[:, chosen[0]]
    return found


def _by_heads(
    weights: list[Tensor], biases: list[Tensor], output: Tensor, heads: int
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Weights [H, s, d], biases [H, s] and the output [H, d, s]."""
    return (
        [w.reshape(heads, -1, w.shape[1]) for w in weights],
        [b.reshape(heads, -1) for b in biases],
        output.reshape(len(output), heads, -1).permute(1, 0, 2),
    )


def _strength(output: Tensor, value: Tensor) -> Tensor:
    """The norm of W_O W_V of each head."""
    norms: Tensor = torch.linalg.matrix_norm(output @ value)
    return norms
