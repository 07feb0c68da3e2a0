"""Models that answer by words: against the tokens that begin them."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.export import Session, check_parity, export_onnx
from limbeck.models import (
    BiLSTM,
    TextCNN,
    hugging_face,
    shrink,
    small_bert,
    tagging_words,
    textcnn_tagger,
    with_word_logits,
)
from tasks.small_tags import CLASSES, bert

SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
INPUTS = {
    "input_ids": torch.randint(3, 30, (2, 7), generator=torch.Generator().manual_seed(0)),
    "attention_mask": torch.tensor([[1] * 7, [1] * 5 + [0] * 2]),
}
WORDS = torch.tensor([[1, 2, 5], [1, 3, 0]])


def configs() -> list[Any]:
    distil = {"vocab_size": 30, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "num_labels": 3}
    return [
        transformers.BertConfig(**SIZES, intermediate_size=16),
        transformers.RobertaConfig(**SIZES, intermediate_size=16),
        transformers.ElectraConfig(**SIZES, intermediate_size=16),
        transformers.DistilBertConfig(**distil),
        transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, num_labels=3),
    ]


@pytest.mark.parametrize("config", configs(), ids=lambda config: config.model_type)
def test_logits_are_those_of_the_first_tokens_and_all_else_stays(config: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = transformers.AutoModelForTokenClassification.from_config(config).eval()
    model = with_word_logits(copy.deepcopy(plain))
    given = model(**INPUTS, words=WORDS, output_hidden_states=True)
    tokens = plain(**INPUTS).logits
    for row in range(2):
        torch.testing.assert_close(given.logits[row], tokens[row, WORDS[row]])
    assert given.hidden_states[0].shape[1] == 7
    assert type(model).__name__ == type(plain).__name__
    assert list(model.state_dict()) == list(plain.state_dict())
    assert "words" in inspect.signature(model.forward).parameters
    assert with_word_logits(model) is model
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(**INPUTS).logits, tokens)
    small = shrink(model, layers=1).eval()
    assert small(**INPUTS, words=WORDS).logits.shape == (2, 3, 3)
    assert "words" not in inspect.signature(plain.forward).parameters


def test_a_module_without_tokens_is_refused() -> None:
    with pytest.raises(ArgumentError, match="with_word_logits: Linear takes no input_ids"):
        with_word_logits(nn.Linear(2, 2))


def test_the_bilstm_reads_packed_sequences() -> None:
    torch.manual_seed(0)
    net = BiLSTM(classes=4, vocabulary=30, embedding=6, width=5, hidden=7).eval()
    found = net(**INPUTS, words=torch.tensor([[0, 3, 6], [0, 2, 4]]))
    both = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    names = dict(both.named_parameters())
    with torch.no_grad():
        for name, value in net.ahead.named_parameters():
            names[name].copy_(value)
        for name, value in net.back.named_parameters():
            names[f"{name}_reverse"].copy_(value)
    for row, (length, places) in enumerate(((7, [0, 3, 6]), (5, [0, 2, 4]))):
        states = both(net.words.table(INPUTS["input_ids"][row : row + 1, :length]))[0][0]
        torch.testing.assert_close(found[row], net.head(net.hidden(states[places])))


def test_a_tuned_model_in_another_order_is_reordered(tmp_path: Path) -> None:
    names = CLASSES[::-1]
    folder = str(bert(tmp_path / "tuned", names=names))
    model = hugging_face(names=CLASSES, folder=folder, per_word=True).eval()
    plain = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    ids = torch.tensor([[2, 6, 8, 9, 3]])
    expected = plain(input_ids=ids).logits[:, 1:4, [names.index(name) for name in CLASSES]]
    torch.testing.assert_close(model(input_ids=ids, words=torch.tensor([[1, 2, 3]])).logits, expected)
    assert (model.untrained, list(model.config.id2label.values())) == ("", list(CLASSES))
    again = hugging_face(names=names, folder=folder, per_word=True).eval()
    found = again(input_ids=ids, words=torch.tensor([[1]])).logits
    torch.testing.assert_close(found, plain(input_ids=ids).logits[:, 1:2])


def test_an_encoder_gets_a_head_and_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    model = hugging_face(names=CLASSES, folder=str(bert(tmp_path / "encoder")), per_word=True)
    assert "has no head for 7 classes; it gets a new one (classifier" in model.untrained
    with pytest.raises(ArgumentError, match=r"^no folder /none; give one of save_pretrained, or the name of a model$"):
        hugging_face(names=CLASSES, folder="/none", per_word=True)


def test_one_bilstm_gives_logits_for_texts_and_for_words() -> None:
    """The last states are those behind the last word ahead, and behind the first back."""
    torch.manual_seed(0)
    net = BiLSTM(classes=4, vocabulary=30, embedding=6, width=5, hidden=7).eval()
    ends = net(**INPUTS, words=torch.tensor([[0, 6], [0, 4]]))
    with torch.no_grad():
        net.hidden = nn.Sequential(nn.Linear(10, 10), nn.Identity())
        net.hidden[0].weight.copy_(torch.eye(10))
        net.hidden[0].bias.zero_()
        net.head = nn.Identity()  # type: ignore[assignment]
        text, words = net(**INPUTS), net(**INPUTS, words=torch.tensor([[0, 6], [0, 4]]))
    torch.testing.assert_close(text, torch.cat([words[:, 1, :5], words[:, 0, 5:]], 1))
    assert ends.shape == (2, 2, 4)


def test_a_small_bert_is_that_of_transformers_at_the_first_tokens() -> None:
    torch.manual_seed(0)
    net = small_bert(classes=3, vocabulary=30, width=8, neurons=16, per_word=True).eval()
    plain = transformers.BertForTokenClassification(net.config).eval()
    plain.load_state_dict(net.state_dict())
    tokens, found = plain(**INPUTS).logits, net(**INPUTS, words=WORDS).logits
    for row in range(2):
        torch.testing.assert_close(found[row], tokens[row, WORDS[row]])


def test_a_textcnn_for_texts_has_no_logits_for_words() -> None:
    for net, given in (
        (TextCNN(classes=2, vocabulary=30), {"words": WORDS}),
        (textcnn_tagger(classes=2, vocabulary=30), {}),
    ):
        with pytest.raises(ArgumentError, match="textcnn: build it with per_word=True to give logits for words"):
            net(**INPUTS, **given)


def test_a_small_bert_refuses_what_the_other_one_refuses() -> None:
    with pytest.raises(ArgumentError, match="bert: width 9 is no multiple of 2 heads"):
        small_bert(classes=3, vocabulary=9, width=9, per_word=True)


def test_words_stay_whole_and_keep_their_letters() -> None:
    words = ["U.S.", "U.S.", "May", "May", "may", "may", "once"]
    kept = tagging_words(words)
    assert set(kept.get_vocab()) == {"[PAD]", "[UNK]", "U.S.", "May", "may"}
    found = kept([["U.S.", "May", "MAY", "once"]], is_split_into_words=True)
    assert kept.convert_ids_to_tokens(found["input_ids"][0]) == ["U.S.", "May", "[UNK]", "[UNK]"]
    small = tagging_words(words, lowercase=True, least=1)
    assert set(small.get_vocab()) == {"[PAD]", "[UNK]", "u.s.", "may", "once"}
    with pytest.raises(ArgumentError, match="tagging_words: no word occurs 2 times"):
        tagging_words(["a", "b"])


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_the_convolution_reads_the_words_around_each_and_zeros_outside(width: int) -> None:
    torch.manual_seed(0)
    net = textcnn_tagger(classes=4, vocabulary=30, embedding=6, windows=[width], filters=5).eval()
    found = net(**INPUTS, words=torch.tensor([[0, 3, 6], [0, 2, 4]]))
    before, behind = (width - 1) // 2, width // 2
    for row, (length, places) in enumerate(((7, [0, 3, 6]), (5, [0, 2, 4]))):
        vectors = net.words.table(INPUTS["input_ids"][row, :length])
        padded = torch.cat([torch.zeros(before, 6), vectors, torch.zeros(behind, 6)])
        windows = torch.stack([padded[place : place + width].T for place in places])
        filters = net.filters[0]
        response = torch.einsum("pew,few->pf", windows, filters.weight) + filters.bias
        torch.testing.assert_close(found[row], net.head(response.relu()))


@pytest.mark.parametrize("kind", [BiLSTM, textcnn_tagger])
def test_taggers_of_words_are_exported_for_any_size(kind: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = kind(classes=4, vocabulary=30, embedding=6).eval()
    axes = {"input_ids": ("batch", "length"), "attention_mask": ("batch", "length"), "words": ("batch", "words")}
    example = {**INPUTS, "words": WORDS}
    names = ["a", "b", "c", "d"]
    export_onnx(
        net,
        tmp_path / "net.onnx",
        example=example,
        outputs={"logits": ("batch", "words")},
        names={"logits": names},
        metadata={},
        axes=axes,
    )
    session = Session(tmp_path / "net.onnx")
    assert check_parity(net, session, [example]) < 1e-4
    longer = {
        "input_ids": torch.randint(3, 30, (5, 11)),
        "attention_mask": torch.ones(5, 11, dtype=torch.int64),
        "words": torch.randint(0, 11, (5, 6)),
    }
    assert session(longer)["logits"].shape == (5, 6, 4)
    assert check_parity(net, session, [longer]) < 1e-4
