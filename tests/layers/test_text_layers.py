"""Which modules of models of texts everything goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from limbeck.layers.match import features, similarity, words_of
from limbeck.layers.trace import stages, trace
from limbeck.models import BagOfWords, BiLSTM, TextCNN

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 20}


def distilbert() -> Any:
    config = transformers.DistilBertConfig(vocab_size=20, dim=8, n_layers=2, n_heads=2, hidden_dim=12)
    return transformers.DistilBertForSequenceClassification(config)


def gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=20, n_embd=8, n_layer=2, n_head=2, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2ForSequenceClassification(config)


MODELS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "bert": (
        lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES)),
        ["bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1"],
    ),
    "roberta": (
        lambda: transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**SIZES)),
        ["roberta.embeddings", "roberta.encoder.layer.0", "roberta.encoder.layer.1"],
    ),
    "electra": (
        lambda: transformers.ElectraForSequenceClassification(
            transformers.ElectraConfig(**{**SIZES, "embedding_size": 8})
        ),
        ["electra.embeddings", "electra.encoder.layer.0", "electra.encoder.layer.1"],
    ),
    "distilbert": (
        distilbert,
        ["distilbert.embeddings", "distilbert.transformer.layer.0", "distilbert.transformer.layer.1"],
    ),
    "gpt2": (gpt2, ["transformer.drop", "transformer.h.0", "transformer.ln_f"]),
}


def rows(seed: int) -> dict[str, Tensor]:
    ids = torch.randint(4, 20, (2, 7), generator=torch.Generator().manual_seed(seed))
    ids[:, 5:] = 0
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def is_passed(model: nn.Module, path: str) -> bool:
    """Whether the logits no longer depend on the words when this module always gives the same."""
    constant: list[Any] = []

    def same(module: nn.Module, args: Any, output: Any) -> Any:
        constant.append(output)
        return constant[0]

    hook = model.get_submodule(path).register_forward_hook(same)
    with torch.no_grad():
        one, other = model(**rows(0)).logits, model(**rows(1)).logits
    hook.remove()
    return torch.equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_end_their_stages_with_their_layers(name: str) -> None:
    torch.manual_seed(0)
    build, expected = MODELS[name]
    model = build().eval()
    traced = trace(model, rows(0))
    found = [layer.path for layer in stages(traced.trunk)]
    assert found == expected
    assert all(is_passed(model, path) for path in (*found, *(layer.path for layer in traced.trunk)))


def test_the_inputs_stay_as_they_are_and_hooks_go() -> None:
    model = MODELS["bert"][0]().eval()
    with torch.no_grad():
        before = model(**rows(0)).logits
        trace(model, rows(0))
        assert torch.equal(model(**rows(0)).logits, before)
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("build", [BiLSTM, TextCNN, BagOfWords])
def test_students_of_words_have_layers_of_whole_texts_alone(build: Any) -> None:
    layers = stages(trace(build(classes=2, vocabulary=20), rows(0)).trunk)
    assert [layer.path for layer in layers] == {BiLSTM: ["dropout", "hidden"], TextCNN: ["dropout"], BagOfWords: []}[
        build
    ]
    assert all(layer.size == () for layer in layers)


def test_similarity_is_that_of_words_without_padding() -> None:
    torch.manual_seed(0)
    model = MODELS["bert"][0]().eval()
    layers = stages(trace(model, rows(0)).trunk)
    given = rows(0)
    found, words = features(model, layers, given), words_of(given)
    assert words is not None
    assert {tuple(values[words].shape) for values in found.values()} == {(10, 8)}
    # What stands in the padding changes nothing.
    other = {**given, "input_ids": given["input_ids"].where(given["attention_mask"] == 1, 9)}
    again = features(model, layers, other)
    for path, values in found.items():
        torch.testing.assert_close(again[path][words], values[words])
        assert similarity(values, again[path], words) == 1.0
        assert similarity(values, again[path]) < 1.0


def test_words_are_compared_with_a_whole_text_by_their_mean() -> None:
    words = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    values = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))
    means = torch.stack([row[: int(count)].mean(0) for row, count in zip(values, words.sum(1), strict=True)])
    assert similarity(values, means, words) == similarity(means, values, words) == 1.0
    assert similarity(values, means) < 1.0
