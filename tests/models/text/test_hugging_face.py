"""Models and tokenizers of Hugging Face, from folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from limbeck.errors import ArgumentError
from limbeck.models import folder_tokenizer, hugging_face, masked_language_model, shrink, word_tokenizer
from tasks.small_texts import bert


def test_a_tuned_model_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = bert(tmp_path / "tuned", classes=3)
    model = hugging_face(names=("a", "b", "c"), folder=str(folder))
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    rows = model.tokenizer(["the good film", "bad"], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(model.eval()(**rows).logits, theirs.eval()(**rows).logits)
    assert model.untrained == ""
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize("classes", [None, 5])
def test_an_encoder_gets_a_head_and_says_so(classes: int | None, tmp_path: Path) -> None:
    folder = bert(tmp_path / "encoder", classes=classes)
    torch.manual_seed(0)
    model = hugging_face(names=("a", "b"), folder=str(folder))
    assert model.untrained == (
        f"{folder} has no head for 2 classes; it gets a new one (classifier.bias, classifier.weight)"
    )
    assert model.classifier.weight.shape == (2, 32)
    theirs = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=True)
    assert torch.equal(model.bert.pooler.dense.weight, theirs.pooler.dense.weight)
    torch.manual_seed(0)
    assert torch.equal(model.classifier.weight, hugging_face(names=("a", "b"), folder=str(folder)).classifier.weight)


@pytest.mark.parametrize("build", [hugging_face, partial(hugging_face, per_word=True), masked_language_model])
def test_attention_is_computed_as_asked(build: Callable[..., Any], tmp_path: Path) -> None:
    folder = str(bert(tmp_path / "tuned", classes=2))
    names = {} if build is masked_language_model else {"names": ("a", "b")}
    torch.manual_seed(0)
    usual = build(folder=folder, **names).eval()
    torch.manual_seed(0)
    eager = build(folder=folder, attention="eager", **names).eval()
    assert (usual.config._attn_implementation, eager.config._attn_implementation) == ("sdpa", "eager")
    assert shrink(eager, layers=1).config._attn_implementation == "eager"
    rows = dict(usual.tokenizer(["the good film", "bad"], padding=True, return_tensors="pt"))
    if isinstance(build, partial):
        rows["words"] = torch.zeros(2, 1, dtype=torch.long)
    with torch.no_grad():
        torch.testing.assert_close(eager(**rows)["logits"], usual(**rows)["logits"])
    with pytest.raises(ArgumentError, match=r"cannot be loaded .*eagre"):
        build(folder=folder, attention="eagre", **names)


def test_classes_in_another_order_are_refused(tmp_path: Path) -> None:
    folder = str(bert(tmp_path / "named", names=["yes", "no"]))
    with pytest.raises(ArgumentError, match=r"knows the classes as \['yes', 'no'\], the data as \['no', 'yes'\]"):
        hugging_face(names=("no", "yes"), folder=folder)
    assert hugging_face(names=("yes", "no"), folder=folder).untrained == ""


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (["config.json"], "has no config.json"),
        (["model.safetensors"], "has no model.safetensors or model.safetensors.index.json"),
        (["tokenizer.json", "vocab.txt"], "has no tokenizer.json or vocab.txt"),
    ],
)
def test_a_missing_file_is_told_at_once(gone: list[str], message: str, tmp_path: Path) -> None:
    folder = bert(tmp_path / "half")
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(ArgumentError, match=f"the folder {folder} {message}") as caught:
        hugging_face(names=("a", "b"), folder=str(folder))
    assert "\n" not in str(caught.value)


def test_no_hub_is_asked_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.file_download as download

    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    for name in ("_get_metadata_or_catch_error", "http_get"):
        monkeypatch.setattr(download, name, asked)
    hugging_face(names=("a", "b"), folder=str(bert(tmp_path / "here")))
    for name in (str(tmp_path / "none"), "./none", "a/b/c"):
        with pytest.raises(ArgumentError, match=f"no folder {name}; give one of save_pretrained"):
            hugging_face(names=("a", "b"), folder=name)


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    folder = bert(tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ArgumentError, match=r"damaged cannot be loaded \(") as caught:
        hugging_face(names=("a", "b"), folder=str(folder))
    assert "\n" not in str(caught.value)


def test_a_vocabulary_of_words_comes_back_from_its_folder(tmp_path: Path) -> None:
    made = word_tokenizer(["a good film", "a bad one"])
    made.save_pretrained(tmp_path)
    found = folder_tokenizer(folder=str(tmp_path))
    text = ["A good, unknown film"]
    assert found(text)["input_ids"] == made(text)["input_ids"]
    assert list(found(text)) == list(made(text)) == ["input_ids", "attention_mask"]
    assert (found.pad_token_id, found.padding_side) == (made.pad_token_id, made.padding_side)


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: hugging_face(names=("a", "b"), folder=folder),
        lambda folder: hugging_face(names=("a", "b"), folder=folder, per_word=True),
        lambda folder: masked_language_model(folder=folder),
    ],
    ids=["classes", "tags", "hidden words"],
)
def test_an_encoder_of_other_shapes_than_its_config_is_refused(load: Any, tmp_path: Path) -> None:
    folder = bert(tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    message = (
        r"6 weights of the encoder have other shapes .*, as bert\.encoder\.layer\.0\.intermediate\.dense\.bias; save"
    )
    with pytest.raises(ArgumentError, match=message):
        load(str(folder))


@pytest.mark.parametrize("load", [lambda folder: hugging_face(names=("a", "b"), folder=folder), folder_tokenizer])
def test_a_name_is_not_tried_again_and_again_where_no_hub_can_be_reached(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.file_download as download

    def unknown(*_: Any) -> None:
        raise OSError("no such host")

    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    for name in ("_get_metadata_or_catch_error", "http_get"):
        monkeypatch.setattr(download, name, asked)
    with pytest.raises(
        ArgumentError, match=r"^nonesuch cannot be loaded \(.+\); there is no such folder, and"
    ) as caught:
        load(folder="nonesuch")
    assert "the hub was asked" not in str(caught.value)
