"""Narrower transformers against models enlarged by hand, and NumPy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.models import shrink
from limbeck.models._narrow import Basis, energy, hidden_basis, low_rank
from models.shrinkable import (
    ELEMENTWISE,
    MODELS,
    inputs,
    model,
    run,
    states,
)

# What the axes of a weight of the small model run over: S states that are written, r states that are read, q and o what
# a head compares and gives, n what is between two maps, g gains.
NAMES = {
    r"(word|position|token_type)_embeddings\.weight|(wte|wpe|lm_head)\.weight": "-S",
    r"embeddings_project\.weight": "S-",
    r"(query|key|q_lin|k_lin|attn\.q|attn\.k)\.weight": "qr",
    r"(value|v_lin|attn\.v)\.weight": "or",
    r"(query|key|q_lin|k_lin|attn\.q|attn\.k)\.bias": "q",
    r"(value|v_lin|attn\.v)\.bias": "o",
    r"(attention\.output\.dense|out_lin|attn\.o)\.weight": "So",
    r"attn\.c_proj\.weight": "oS",
    r"(intermediate\.dense|lin1|pooler\.dense|pre_classifier|classifier\.dense)\.weight": "nr",
    r"(intermediate\.dense|lin1|pooler\.dense|pre_classifier|classifier\.dense|c_fc)\.bias": "n",
    r"(output\.dense|lin2)\.weight": "Sn",
    r"c_fc\.weight": "rn",
    r"mlp\.c_proj\.weight": "nS",
    r"(LayerNorm|\w*layer_norm|ln_\w)\.weight": "g",
    r"(LayerNorm|\w*layer_norm|ln_\w|embeddings_project|output\.dense|out_lin|attn\.o|lin2|c_proj)\.bias": "S",
}


def axes_of(name: str, key: str) -> str:
    head = r"classifier\.weight|score\.weight" if name.endswith("tokens") else r"score\.weight"
    ends = {**NAMES, head: "-r", r"classifier\.weight|out_proj\.weight": "-n"}
    found = [axes for pattern, axes in ends.items() if re.search(rf"(^|\.)({pattern})$", key)]
    return found[0] if found else "--"


def mirror(one: Tensor) -> Tensor:
    """Symmetric, orthogonal, and takes the first unit vector to equal numbers."""
    difference = torch.full_like(one, len(one) ** -0.5) - one
    return torch.eye(len(one), dtype=one.dtype) - 2 * torch.outer(difference, difference) / difference.dot(difference)


def orthogonal(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q


def a_way_up() -> Tensor:
    """[16, 8]: √2 times orthonormal columns that take ones to ones."""
    first = torch.eye(16, dtype=torch.float64)[0], torch.eye(8, dtype=torch.float64)[0]
    inner = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), orthogonal(15)[:, :7])
    up = 2**0.5 * mirror(first[0]) @ inner @ mirror(first[1])
    torch.testing.assert_close(up.sum(1), torch.ones(16, dtype=torch.float64))
    return up


def along(value: Tensor, axis: int, matrix: Tensor) -> Tensor:
    return torch.tensordot(value, matrix, dims=([axis], [1])).movedim(-1, axis)


def more_in_heads(value: Tensor, axis: int, turn: Tensor, factor: float) -> Tensor:
    """Two heads of 4 as two of 8: zeros beside what is there, and a turn that their product does not see."""
    heads = value.movedim(axis, 0).reshape(2, 4, -1)
    heads = factor * turn @ torch.cat([heads, torch.zeros_like(heads)], 1)
    return heads.reshape(16, *value.movedim(axis, 0).shape[1:]).movedim(0, axis)


def enlarged(name: str, small: Any) -> Any:
    """A model of states of 16 numbers that computes what one of 8 does."""
    large = model(name, hidden_size=16, intermediate_size=12)
    torch.manual_seed(2)
    up, turns = a_way_up(), {"q": orthogonal(8), "o": orthogonal(8)}
    state = large.state_dict()
    for key, value in small.state_dict().items():
        value = value.double()
        if "c_attn" in key:
            parts = value.chunk(3, -1)
            grown = [grow(p, f"r{k}"[-p.ndim :], up, turns) for p, k in zip(parts, "qqo", strict=True)]
            state[key] = torch.cat(grown, -1).float()
        else:
            state[key] = grow(value, axes_of(name, key), up, turns).float()
        if "ln_f" in key and name == "gpt2_words":  # uᵀ h is twice as large for large u and h
            state[key] = state[key] / 2
    large.load_state_dict(state)
    return large


def grow(value: Tensor, axes: str, up: Tensor, turns: dict[str, Tensor]) -> Tensor:
    for axis, kind in enumerate(axes):
        if kind == "g":
            return value[:1].expand(16) if len(value) == 8 else value
        if kind in "Sr" and value.shape[axis] == 8:
            value = along(value, axis, up / (2 if kind == "r" else 1))
        elif kind in "qo":
            # Scores are divided by √8 in place of √4.
            value = more_in_heads(value, axis, turns[kind], 2**0.25 if kind == "q" else 1.0)
        elif kind == "n":
            value = torch.cat([value, torch.zeros_like(value)], axis)
    return value


EXACT = [n for n in MODELS if n not in ELEMENTWISE and n not in ("bert", "electra_words", "electra_pretraining")]


@pytest.mark.parametrize("name", EXACT)
def test_a_model_whose_states_are_a_small_models_is_shrunk_to_what_it_computes(name: str) -> None:
    source = model(name)
    with torch.no_grad():
        for key, parameter in source.named_parameters():
            if axes_of(name, key) == "g":
                parameter.fill_(0.7)
    large = enlarged(name, source)
    torch.testing.assert_close(run(large), run(source), atol=1e-4, rtol=1e-4)
    small = shrink(large, width=8, neurons=6, method="svd")
    torch.testing.assert_close(run(small), run(source), atol=1e-4, rtol=1e-4)


def check_selected(teacher: Any, small: Any, moments: Any) -> None:
    """Coordinates and the map back from them, from second moments by NumPy."""
    chosen = np.sort(np.argsort(moments.diagonal())[-4:])
    rest = np.setdiff1d(np.arange(8), chosen)
    back = np.zeros((8, 4))
    back[chosen] = np.eye(4)
    back[rest] = np.linalg.solve(moments[np.ix_(chosen, chosen)], moments[np.ix_(chosen, rest)]).T
    weights = {name: value.double().numpy() for name, value in teacher.state_dict().items()}
    found = {name: value.double().numpy() for name, value in small.state_dict().items()}
    for end in ("embeddings.word_embeddings.weight", "embeddings.LayerNorm.weight", "layer.1.output.dense.bias"):
        (name,) = [name for name in weights if name.endswith(end)]
        kept = weights[name][..., chosen]
        np.testing.assert_allclose(found[name], kept, atol=1e-6)
    for end in ("layer.0.intermediate.dense.weight", "classifier.weight"):
        for name in [name for name in weights if name.endswith(end)]:
            np.testing.assert_allclose(found[name], weights[name] @ back, atol=1e-4)


@pytest.mark.parametrize("name", ["bert_tokens", "bert_words"])
def test_select_is_numpys_regression_on_what_weights_add(name: str) -> None:
    teacher = model(name)
    weights = {key: value.double().numpy() for key, value in teacher.state_dict().items()}
    rows = [w for key, w in weights.items() if "_embeddings.weight" in key]
    rows += [w.T for key, w in weights.items() if key.endswith("output.dense.weight")]
    assert len(rows) == 3 + 2 * 2
    check_selected(teacher, shrink(teacher, width=4), sum(w.T @ w / (w**2).sum() for w in rows))


def test_select_is_numpys_regression_on_states_without_padding() -> None:
    teacher = model("bert_tokens", num_hidden_layers=3).train()
    small = shrink(teacher, layers=[0, 2], width=4, batches=[inputs(), {k: v[1:2] for k, v in inputs().items()}])
    assert teacher.training
    kept = inputs()["attention_mask"].numpy() > 0
    moments = np.zeros((8, 8))
    found = states(teacher.eval())
    for place in (0, 1, 3):
        state = found[place].double().numpy()
        rows = np.concatenate([state[kept], state[1][kept[1]]])
        moments += rows.T @ rows / (rows**2).sum()
    check_selected(shrink(teacher, layers=[0, 2]), small, moments)


@pytest.mark.parametrize("method", ["svd", "select"])
def test_few_states_still_give_a_basis(method: Any) -> None:
    torch.manual_seed(0)
    rows = torch.randn(2, 8, dtype=torch.float64)
    basis = hidden_basis(energy([rows.T @ rows]), 4, method)
    torch.testing.assert_close(basis.down @ basis.up, torch.eye(4, dtype=torch.float64))


def test_a_narrow_gain_is_the_diagonal() -> None:
    torch.manual_seed(0)
    basis = Basis(torch.randn(3, 5), torch.randn(5, 3))
    gain = torch.rand(5)
    expected = np.diag(basis.down.numpy() @ np.diag(gain.numpy()) @ basis.up.numpy())
    np.testing.assert_allclose(basis.gain(gain).numpy(), expected, atol=1e-6)


def test_svd_keeps_ones_and_numpys_eigenvectors() -> None:
    teacher = model("bert_tokens")
    small = shrink(teacher, width=4, method="svd")
    weights = {name: value.double().numpy() for name, value in teacher.state_dict().items()}
    rows = [w for name, w in weights.items() if "embeddings.weight" in name]
    rows += [w.T for name, w in weights.items() if name.endswith("output.dense.weight")]
    centred = [w - w.mean(1, keepdims=True) for w in rows]
    _, vectors = np.linalg.eigh(sum(c.T @ c / (w**2).sum() for c, w in zip(centred, rows, strict=True)))
    columns = np.concatenate([np.full((8, 1), 8**-0.5), vectors[:, :-4:-1]], 1)
    words, old = small.bert.embeddings.word_embeddings.weight.detach().numpy(), rows[0]
    # Turned or not, distances in the subspace are the same.
    np.testing.assert_allclose(words @ words.T, 4 / 8 * (old @ columns) @ (old @ columns).T, atol=1e-5)
    np.testing.assert_allclose(words.sum(1), 4 / 8 * old.sum(1), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("bert_tokens", ([1, 3], [2, 3])), ("gpt2_words", ([1, 3], [2, 3])), ("mpnet_classes", ([2, 3],) * 2)],
)
def test_fewer_heads_are_those_that_give_most(name: str, kept: tuple[list[int], list[int]]) -> None:
    teacher = model(name, hidden_size=16, num_attention_heads=4)
    # In MPNet all layers have the same heads: 1 gives something in one layer, 2 more in the other.
    mute(teacher, 0, heads=(0, 2), factor=0.0)
    mute(teacher, 1, heads=(0, 1), factor=0.0)
    mute(teacher, 0, heads=(1,), factor=0.1)
    cut = shrink(teacher, width=8, heads=2)
    if name == "mpnet_classes":
        bias = teacher.mpnet.encoder.relative_attention_bias.weight[:, kept[0]]
        torch.testing.assert_close(cut.mpnet.encoder.relative_attention_bias.weight, bias)
    for layer in range(2):
        wide, narrow = (value_bias(made, layer) for made in (teacher, cut))
        torch.testing.assert_close(narrow, wide.reshape(4, 4)[kept[layer]].flatten())


def mute(made: Any, layer: int, heads: tuple[int, ...], factor: float) -> None:
    """Let some heads of a layer, of size 4, give less."""
    with torch.no_grad():
        for key, weight in made.named_parameters():
            for head in heads:
                own = slice(4 * head, 4 * head + 4)
                if re.search(rf"\.{layer}\.(attention\.output\.dense|attention\.attn\.o)\.weight", key):
                    weight[:, own] *= factor
                elif re.search(rf"\.{layer}\.attn\.c_proj\.weight", key):
                    weight[own] *= factor


def value_bias(made: Any, layer: int) -> Tensor:
    ends = rf"\.{layer}\.(attention\.self\.value|attention\.attn\.v|attn\.c_attn)\.bias"
    (found,) = [value for key, value in made.named_parameters() if re.search(ends, key)]
    return found.chunk(3)[2] if made.config.model_type == "gpt2" else found


@pytest.mark.parametrize("name", MODELS)
def test_neurons_that_give_nothing_go_first(name: str) -> None:
    teacher = model(name)
    with torch.no_grad():
        for key, weight in teacher.named_parameters():
            if re.search(r"(?<!attention\.)output\.dense\.weight|lin2\.weight", key):
                weight[:, [0, 3]] = 0
            elif re.search(r"mlp\.c_proj\.weight", key):
                weight[[0, 3]] = 0
    small = shrink(teacher, neurons=4)
    torch.testing.assert_close(run(small), run(teacher), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [3, 5])
def test_low_rank_is_the_truncated_svd_of_the_product(size: int) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 7, 6).double(), torch.randn(2, 6, 9).double()
    one, other = low_rank(left, right, size)
    u, s, vh = np.linalg.svd((left @ right).numpy())
    expected = (u[..., :size] * s[:, None, :size]) @ vh[:, :size]
    np.testing.assert_allclose((one @ other).numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(one.norm(dim=1), other.norm(dim=2), atol=1e-10)
