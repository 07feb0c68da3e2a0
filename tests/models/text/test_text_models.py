"""The students that read words: padding, empty rows, their equations, and their files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers as hf
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from limbeck import registry
from limbeck.errors import ArgumentError
from limbeck.models import BagOfWords, BiLSTM, TextCNN, load_weights, save_weights, small_bert
from limbeck.registry import Needs
from models.text.text_models import STUDENTS, VOCABULARY, logits, rows, student

OWN = [name for name in STUDENTS if name != "bert"]


@pytest.mark.parametrize("name", STUDENTS)
def test_padding_changes_nothing(name: str) -> None:
    made, given = student(name), rows(7, 4, 1, 2, width=7)
    expected = logits(made, given)
    wide = {key: torch.cat([value, value.new_zeros(4, 5)], 1) for key, value in given.items()}
    torch.testing.assert_close(logits(made, wide), expected, atol=1e-6, rtol=1e-6)
    for row, length in enumerate((7, 4, 1, 2)):
        alone = {key: value[row : row + 1, :length] for key, value in given.items()}
        torch.testing.assert_close(logits(made, alone), expected[row : row + 1], atol=1e-6, rtol=1e-6)
    assert not torch.equal(expected[0], expected[1])


@pytest.mark.parametrize("name", OWN)
def test_what_stands_in_padding_is_not_read(name: str) -> None:
    made, given = student(name), rows(3, 5, width=5)
    given["attention_mask"][1, 4] = 0
    other = {**given, "input_ids": given["input_ids"].where(given["attention_mask"] > 0, 9)}
    assert not torch.equal(other["input_ids"], given["input_ids"])
    torch.testing.assert_close(logits(made, other), logits(made, given), atol=0, rtol=0)


@pytest.mark.parametrize("name", OWN)
def test_empty_rows_are_alike_whatever_stands_beside_them(name: str) -> None:
    made = student(name)
    beside = logits(made, rows(0, 4, width=4))[0]
    alone, without_columns = logits(made, rows(0, width=3)), logits(made, rows(0, 0, width=0))
    assert torch.isfinite(beside).all()
    torch.testing.assert_close(alone[0], beside, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(without_columns, torch.stack([beside, beside]), atol=1e-6, rtol=1e-6)


def test_empty_rows_have_the_state_0() -> None:
    made = student("bilstm")
    with torch.no_grad():
        expected = made.head(made.hidden(torch.zeros(1, 10)))
    torch.testing.assert_close(logits(made, rows(0, 4, width=4))[:1], expected)


@pytest.mark.parametrize("name", OWN)
def test_without_a_mask_zeros_are_padding(name: str) -> None:
    made, given = student(name), rows(7, 4, width=7)
    torch.testing.assert_close(logits(made, {"input_ids": given["input_ids"]}), logits(made, given), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["bilstm", "textcnn", "bag_of_words"])
def test_every_weight_learns_and_padding_does_not(name: str) -> None:
    made = student(name)
    made(**rows(*[6] * 40, 2, width=6)).square().sum().backward()
    for key, parameter in made.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any(), key
    assert not made.words.table.weight.grad[0].any()


def test_bilstm_is_the_bidirectional_lstm_of_packed_sequences() -> None:
    made, given = student("bilstm"), rows(7, 4, 1, 5, width=7)
    reference = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for (key, value), suffix in ((pair, s) for s in ("", "_reverse") for pair in made.ahead.named_parameters()):
            source = value if not suffix else made.back.get_parameter(key)
            reference.get_parameter(key + suffix).copy_(source)
    lengths = given["attention_mask"].sum(1)
    vectors = made.words.table(given["input_ids"])
    packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    last = reference(packed)[1][0]
    expected = made.head(made.hidden(torch.cat([last[0], last[1]], 1)))
    torch.testing.assert_close(logits(made, given), expected, atol=1e-6, rtol=1e-6)


def test_textcnn_is_numpys_over_every_window_with_a_word() -> None:
    made, given = student("textcnn"), rows(6, 2, 3, width=6)
    table = made.words.table.weight.detach().numpy()
    expected = []
    for ids, length in zip(given["input_ids"].numpy(), (6, 2, 3), strict=True):
        responses: list[float] = []
        for part in made.filters:
            weight, bias = part.weight.detach().numpy(), part.bias.detach().numpy()
            width = weight.shape[2]
            text = np.concatenate([np.zeros((width - 1, 6)), table[ids[:length]], np.zeros((width - 1, 6))])
            windows = [text[start : start + width] for start in range(length + width - 1)]
            responses += list(np.maximum(np.einsum("nwd,fdw->nf", windows, weight) + bias, 0).max(0))
        expected.append(made.head.weight.detach().numpy() @ responses + made.head.bias.detach().numpy())
    np.testing.assert_allclose(logits(made, given).numpy(), expected, atol=1e-5)


def test_bag_of_words_is_linear_in_counts() -> None:
    made, given = student("bag_of_words"), rows(6, 2, width=6)
    counts = np.array([np.bincount(ids[ids > 0], minlength=VOCABULARY) for ids in given["input_ids"].numpy()])
    expected = counts / np.sqrt(counts.sum(1, keepdims=True)) @ made.words.table.weight.detach().numpy()
    np.testing.assert_allclose(logits(made, given).numpy(), expected + made.bias.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_weights_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    made, given = student(name), rows(6, 2, width=6)
    save_weights(made, tmp_path / "model.safetensors")
    torch.manual_seed(5)
    other = STUDENTS[name]().eval()
    assert not torch.equal(logits(other, given), logits(made, given))
    load_weights(other, tmp_path / "model.safetensors")
    torch.testing.assert_close(logits(other, given), logits(made, given), atol=0, rtol=0)


def exported(made: Any) -> onnxruntime.InferenceSession:
    given = rows(7, 4, width=7)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            made,
            kwargs=given,
            dynamo=True,
            opset_version=18,
            dynamic_shapes=dict.fromkeys(given, axes),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", [pytest.param("bilstm", marks=pytest.mark.slow), *OWN[1:]])
def test_onnx_files_take_any_batch_and_length(name: str) -> None:
    made = student(name)
    session = exported(made)
    assert [value.shape for value in session.get_inputs()] == [["batch", "length"]] * 2
    for lengths, width in (((7, 4), 7), ((1,), 1), ((3,), 9), ((0, 5, 2), 5)):
        given = rows(*lengths, width=width)
        (found,) = session.run(None, {key: value.numpy() for key, value in given.items()})
        np.testing.assert_allclose(found, logits(made, given).numpy(), atol=1e-5)


def test_defaults_are_small() -> None:
    # An encoder of 22.7 million weights is at least 7.5 times as large.
    for build in (BiLSTM, TextCNN, BagOfWords, small_bert):
        made = build(classes=2, vocabulary=8000)
        assert sum(parameter.numel() for parameter in made.parameters()) < 22.7e6 / 7.5


def test_small_bert_is_transformers_own() -> None:
    made = small_bert(classes=3, vocabulary=30, layers=3, width=8, heads=4, neurons=6, length=9, dropout=0.25)
    assert type(made) is hf.BertForSequenceClassification
    config = made.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 8, 4)
    assert (config.intermediate_size, config.max_position_embeddings, config.vocab_size) == (6, 9, 30)
    assert (config.num_labels, config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (3, 0.25, 0.25)


def test_they_are_registered() -> None:
    own = {"bert", "bilstm", "textcnn"}
    assert {*own, "bag_of_words", "logistic_regression"} <= set(registry.names("model", Needs(("texts",))))
    assert set(registry.names("model", Needs(("texts",), per="word"))) >= own
    assert "bag_of_words" not in registry.names("model", Needs(("texts",), per="word"))
    assert registry.lookup("model", "bilstm") is BiLSTM


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bilstm", {"classes": 0}, r"bilstm: classes is 0; expected a whole number of at least 1"),
        ("bilstm", {"width": 0}, r"bilstm: width is 0"),
        ("bilstm", {"dropout": 1.0}, r"bilstm: dropout is 1.0; expected a share in \[0, 1\)"),
        ("textcnn", {"windows": []}, r"textcnn: windows is \[\]; expected widths of at least 1"),
        ("textcnn", {"windows": [3, 0]}, r"textcnn: windows is \[3, 0\]"),
        ("bag_of_words", {"vocabulary": 0}, r"bag_of_words: vocabulary is 0"),
        ("bert", {"width": 5}, r"bert: width 5 is no multiple of 2 heads"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        registry.lookup("model", name)(**{"classes": 2, "vocabulary": 9, **options})


def test_dropout_is_off_in_eval_mode() -> None:
    given = rows(5, 3, width=5)
    for made in (BiLSTM(classes=2, vocabulary=VOCABULARY, dropout=0.5), TextCNN(classes=2, vocabulary=VOCABULARY)):
        torch.manual_seed(0)
        assert torch.equal(logits(made.eval(), given), logits(made, given))
        made.train()
        one: Tensor = made(**given)
        assert not torch.equal(one, made(**given))
