from types import SimpleNamespace

import pytest
import torch
from torch import nn

from core.encoders import ATTENTION_MASK, KINDS, encoder, encoder_inputs
from limbeck.core import Tapped, attention_taps
from limbeck.errors import ArgumentError
from limbeck.functional import attention_scores
from refusals import refused

HEADS = ("ForSequenceClassification", "Model")


def tapped(model: nn.Module, paths: list[str]) -> Tapped:
    return Tapped(model, {f"layer{number}": path for number, path in enumerate(paths)})


def run(model: nn.Module, paths: list[str], kind: str) -> list[torch.Tensor]:
    outputs = tapped(model, paths)(encoder_inputs(kind))
    return [outputs[f"layer{number}"] for number in range(len(paths))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", HEADS)
def test_scores_from_the_taps_are_the_models_attention(kind: str, head: str) -> None:
    eager, usual = encoder(kind, head, attn_implementation="eager"), encoder(kind, head)
    assert usual.config._attn_implementation == "sdpa"
    taps = attention_taps(usual)
    assert (taps.heads, len(taps.query)) == (3, 2)
    attentions = eager(**encoder_inputs(kind), output_attentions=True).attentions
    query, key = run(usual, taps.query, kind), run(usual, taps.key, kind)
    for number in range(2):
        q, k = (side[number].unflatten(-1, (taps.heads, -1)).transpose(1, 2) for side in (query, key))
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if taps.mask:
            scores = scores.masked_fill(ATTENTION_MASK[:, None, None] == 0, -torch.inf)
        torch.testing.assert_close(scores.softmax(-1), attentions[number])
        assert attentions[number].max() > 0.6  # so that it differs clearly from the uniform one


@pytest.mark.parametrize("kind", KINDS)
def test_values_from_the_taps_make_the_output_of_attention(kind: str) -> None:
    model = encoder(kind, attn_implementation="eager")
    taps = attention_taps(model)
    modules = dict(model.named_modules())
    parent = taps.value[0].rpartition(".")[0]
    (value,) = run(model, taps.value[:1], kind)
    # ViT and DistilBERT project inside the module; what goes into that projection is the mean of values.
    inside = {"vit": "o_proj", "distilbert": "out_lin"}.get(kind)
    mixed = []
    hook = (
        modules[f"{parent}.{inside}"].register_forward_pre_hook(lambda _, given: mixed.append(given[0]))
        if inside
        else modules[parent].register_forward_hook(lambda _, __, output: mixed.append(output[0]))
    )
    attention = model(**encoder_inputs(kind), output_attentions=True).attentions[0]
    hook.remove()
    expected = (attention @ value.unflatten(-1, (taps.heads, -1)).transpose(1, 2)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_an_argument_of_the_model(kind: str) -> None:
    mask = attention_taps(encoder(kind)).mask
    assert mask == (None if kind == "vit" else "attention_mask")
    assert mask is None or mask in encoder_inputs(kind)


def test_scores_of_one_model_agree_with_themselves_whatever_the_kernel() -> None:
    eager, usual = encoder("bert", attn_implementation="eager"), encoder("bert")
    given = []
    for model in (eager, usual):
        taps = attention_taps(model)
        given += [run(model, taps.query, "bert"), run(model, taps.key, "bert")]
    value = attention_scores(*given, ATTENTION_MASK, student_heads=3, teacher_heads=3)
    assert value.max() < 1e-9


def test_layers_may_be_chosen() -> None:
    taps = attention_taps(encoder("bert", layers=4), layers=[1, -1])
    assert taps.query == [f"bert.encoder.layer.{layer}.attention.self.query" for layer in (1, 3)]
    with pytest.raises(ArgumentError, match="there is no layer 4; the model has 4, counted from 0"):
        attention_taps(encoder("bert", layers=4), layers=[0, 4])


def stack(attention: nn.Module, *path: str) -> nn.Module:
    model: nn.Module = nn.ModuleList([nn.ModuleDict({"attention": attention})])
    for name in reversed(path):
        model = nn.ModuleDict({name: model})
    return model


def test_the_vision_transformer_of_earlier_versions() -> None:
    inner = nn.ModuleDict({role: nn.Linear(4, 4) for role in ("query", "key", "value")})
    model = stack(nn.ModuleDict({"attention": inner}), "vit", "encoder", "layer")
    model.config = SimpleNamespace(model_type="vit", num_attention_heads=2)
    taps = attention_taps(model)
    assert taps.value == ["vit.encoder.layer.0.attention.attention.value"]
    assert taps.heads == 2


def test_others_are_refused() -> None:
    with refused(
        ArgumentError,
        "unsupported",
        "model",
        match=r"Linear is a model of type None.* Known: 'bert', 'distilbert', 'electra'",
    ):
        attention_taps(nn.Linear(2, 2))
    model = stack(nn.ModuleDict({"self": nn.ModuleDict({"query": nn.Linear(4, 4)})}), "encoder", "layer")
    model.config = SimpleNamespace(model_type="deberta", num_attention_heads=2)
    with refused(
        ArgumentError, "unsupported", "model", match="of type 'deberta', whose modules are not known; name them in taps"
    ):
        attention_taps(model)
    model.config.model_type = "bert"
    with refused(
        ArgumentError,
        "unknown_name",
        "encoder.layer.0.attention.self.key",
        match=r"no module 'encoder\.layer\.0\.attention\.self\.key'\. Did you mean",
    ):
        attention_taps(model)
    model.config.model_type = "distilbert"
    with refused(
        ArgumentError,
        "unsupported",
        "model",
        match=r"one list 'transformer\.layer', this ModuleDict has the lists \['encoder",
    ):
        attention_taps(model)
