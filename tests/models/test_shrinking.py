"""Smaller transformers against models cut by hand; what is kept and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models import shrink
from models.shrinkable import (
    MODELS,
    SIZES,
    layer_list,
    model,
    run,
    states,
)
from refusals import refused


@pytest.mark.parametrize("name", MODELS)
def test_layers_alone_are_those_of_the_model_cut_by_hand(name: str) -> None:
    teacher = model(name, num_hidden_layers=6)
    small = shrink(teacher, layers=3)
    cut = copy.deepcopy(teacher)
    parent, attribute, layers = layer_list(cut)
    setattr(parent, attribute, nn.ModuleList([layers[1], layers[3], layers[5]]))
    torch.testing.assert_close(run(small), run(cut), atol=0, rtol=0)
    assert small.config.num_hidden_layers == 3


@pytest.mark.parametrize("name", ["bert", "gpt2_words", "mpnet_words"])
def test_states_of_the_first_layers_are_the_teachers(name: str) -> None:
    teacher = model(name, num_hidden_layers=4)
    small = shrink(teacher, layers=[0, 1])
    # GPT-2 normalizes what its last layer gives.
    for one, other in list(zip(states(small), states(teacher), strict=False))[: 2 if name == "gpt2_words" else 3]:
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("layers", "rule", "taken"), [(2, "uniform", (1, 4)), (3, "last", (2, 3, 4)), (2, "skip", (1, 3))]
)
def test_rules_and_positions_take_the_same_layers(layers: int, rule: Any, taken: tuple[int, ...]) -> None:
    teacher = model("bert", num_hidden_layers=5)
    by_rule, by_position = shrink(teacher, layers=layers, rule=rule), shrink(teacher, layers=taken)
    torch.testing.assert_close(dict(by_rule.state_dict()), dict(by_position.state_dict()), atol=0, rtol=0)
    last = shrink(teacher, layers=[-1])
    torch.testing.assert_close(last.encoder.layer[0].state_dict(), teacher.encoder.layer[4].state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_the_models_own_sizes_give_the_model_and_share_nothing(name: str) -> None:
    teacher = model(name)
    small = shrink(teacher, layers=2, width=8, heads=2, neurons=6)
    before = run(teacher)
    torch.testing.assert_close(run(small), before, atol=0, rtol=0)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    torch.testing.assert_close(run(teacher), before, atol=0, rtol=0)
    assert type(small) is type(teacher)


@pytest.mark.parametrize("method", ["svd", "select"])
@pytest.mark.parametrize("name", MODELS)
def test_it_saves_and_loads_as_any_model(name: str, method: Any, tmp_path: Path) -> None:
    small = shrink(model(name), layers=1, width=4, neurons=3, method=method)
    small.save_pretrained(tmp_path)
    loaded, info = type(small).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(run(loaded), run(small), atol=0, rtol=0)
    assert torch.isfinite(run(small)).all()
    assert loaded.config.hidden_size == 4


def test_device_dtype_mode_and_random_numbers_stay() -> None:
    teacher = model("bert_classes").to(torch.bfloat16).train()
    before = torch.get_rng_state()
    small = shrink(teacher, layers=1, width=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.dtype for p in small.parameters()} == {torch.bfloat16}
    assert small.training
    assert not shrink(teacher.eval(), layers=1).training


def test_tied_scores_stay_tied() -> None:
    small = shrink(model("bert_words"), width=4)
    assert small.cls.predictions.decoder.weight is small.bert.embeddings.word_embeddings.weight
    untied = shrink(model("bert_untied"), width=4)
    assert untied.cls.predictions.decoder.weight is not untied.bert.embeddings.word_embeddings.weight


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, r"layers is 0; expected a whole number of at least 1"),
        ({"layers": 3}, r"'uniform' gives each of 3 layers of the student one of the teacher's own"),
        ({"layers": [2]}, r"there is no layer 2 of the teacher, which gives 2"),
        ({"layers": []}, r"layers is \[\]; take at least one of 2"),
        ({"layers": 1, "rule": "lsat"}, r"no rule 'lsat'. Did you mean 'last'\?"),
        ({"width": 12}, r"width is 12, the model has 8"),
        ({"width": 7}, r"width 7 in 2 heads; expected a multiple of the heads"),
        ({"width": 8, "heads": 1}, r"width 8 in 1 heads; .* size of at most 4"),
        ({"neurons": 7}, r"neurons is 7, the model has 6"),
        ({"width": 4, "method": "pca"}, r"no method 'pca'. Known: 'select', 'svd'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        shrink(model("bert_classes"), **options)


def test_other_models_are_refused_by_name() -> None:
    with refused(
        ArgumentError, "unsupported", "model", match=r"Linear is no Hugging Face model; supported: bert, roberta"
    ):
        shrink(nn.Linear(2, 2), layers=1)
    albert = hf.AlbertModel(hf.AlbertConfig(**{**SIZES, "embedding_size": 4}))
    with refused(ArgumentError, "unsupported", "model", match=r"AlbertModel is a albert; supported"):
        shrink(albert, layers=1)
    with refused(ArgumentError, "out_of_range", "width", match=r"width 5 is the size of the embeddings"):
        shrink(model("electra_words", num_attention_heads=1), width=5)
    scaled = hf.GPT2Model(
        hf.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=60000, scale_attn_by_inverse_layer_idx=True)
    )
    with refused(ArgumentError, "unsupported", "model", match=r"GPT2Model has scale_attn_by_inverse_layer_idx"):
        shrink(scaled, layers=1)


def test_a_head_that_is_not_known_is_refused_only_if_the_width_changes() -> None:
    teacher = model("bert")
    teacher.extra = nn.Linear(8, 2)
    with refused(
        ArgumentError,
        "unsupported",
        "model",
        match=r"the weight 'extra.weight' of BertModel is not known, so only its layers",
    ):
        shrink(teacher, width=4)
