"""Masked language modelling: which words are hidden, a whole run, and what goes on from it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

import limbeck
from data.record_files import texts
from limbeck import api
from limbeck.core import outputs_of
from limbeck.data import MlmMasking
from limbeck.errors import ArgumentError, DataError, RecipeError
from limbeck.models import masked_language_model
from limbeck.tasks import MaskedLanguageModelling, MaskedSettings
from recipes.small import resolve
from tasks.small_masked import masked_bert
from tasks.small_texts import bert, review, write_csv
from tasks.small_texts import recipe as reviews
from tasks.whole_outputs import outputs_and_labels

ROWS = 240


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def write_txt(file: Path, rows: range) -> Path:
    file.write_text("\n".join(review(row)[0] for row in rows), encoding="utf-8")
    return file


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    train = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "precision": "float32"}
    given: dict[str, Any] = {
        "schema": 1,
        "name": "words",
        "task": "masked_language_modelling",
        "data": {"use": "txt", "file": str(write_txt(folder / "texts.txt", range(ROWS))), "max_length": 12},
        "models": {
            "teacher": {"use": "hugging_face", "folder": str(masked_bert(folder / "bert")), "train": train},
            "student": {"shrink": "teacher", "layers": 1},
        },
        "objective": {
            "words": {"loss": "cross_entropy"},
            "soft": {"loss": "kl_divergence", "where": "batch.inputs.attention_mask"},
        },
        "train": train,
        "measure": {"draws": 100, "seconds": 0.01},
    }
    return {**given, **changes}


def task(folder: Path, *models: Path, **settings: Any) -> MaskedLanguageModelling:
    source = texts("txt", file=str(write_txt(folder / "texts.txt", range(ROWS)))).load()
    made = MaskedLanguageModelling(source, MaskedSettings(**{"max_length": 12, **settings}))
    names = ("student", "teacher")
    folders = models or (masked_bert(folder / "bert"),)
    found = {name: masked_language_model(folder=str(one)) for name, one in zip(names, folders, strict=False)}
    return made.reading(lambda: found)[0]


def steps(made: MaskedLanguageModelling, start: int, stop: int, seed: int = 0) -> list[dict[str, Any]]:
    batches, _ = made.batches(made.student_rows, batch_size=16, seed=seed, rank=0, world=1)
    return list(batches.iterate(start, stop))


def test_words_are_hidden_anew_in_every_epoch_and_alike_for_whoever_asks(tmp_path: Path) -> None:
    made, again = task(tmp_path), task(tmp_path)
    torch.testing.assert_close(steps(made, 17, 18), steps(again, 17, 18), rtol=0, atol=0)
    epoch = (ROWS - 24) // 16
    seen: list[dict[int, list[int]]] = []
    for number in range(2):
        found = {}
        for batch in steps(made, number * epoch, (number + 1) * epoch):
            assert torch.equal(batch["masked"], batch["target"] != -100)
            asked = batch["masked"]
            assert not (asked & (batch["inputs"]["attention_mask"] == 0)).any()
            for row, one in zip(batch["row"].tolist(), asked, strict=True):
                found[row] = one.nonzero().flatten().tolist()
        seen.append(found)
    assert sum(seen[0][row] != seen[1][row] for row in seen[0].keys() & seen[1].keys()) > 50
    shares = [len(words) for one in seen for words in one.values()]
    # Texts have 3 to 14 words, cut at 10.
    assert 0.1 < np.mean(shares) / 8 < 0.2


def test_a_term_on_logits_does_not_count_padding(tmp_path: Path) -> None:
    spec = recipe(tmp_path)
    spec["objective"] |= {
        "soft": {"loss": "kl_divergence"},
        "asked": {"loss": "kl_divergence", "where": "batch.masked"},
    }
    resolved = resolve(spec, name="words")
    assert {name: term["where"] for name, term in resolved["objective"].items()} == {
        "words": None,
        "soft": "batch.inputs.attention_mask",
        "asked": "batch.masked",
    }


def test_no_word_is_hidden_where_none_is_asked_for(tmp_path: Path) -> None:
    made = task(tmp_path, masked=0)
    (batch,) = steps(made, 3, 4)
    tokenizer = made.tokenizer_views["student"].tokenizer
    texts = made.student_rows.rows.texts
    for row, ids, real in zip(
        batch["row"].tolist(), batch["inputs"]["input_ids"], batch["inputs"]["attention_mask"], strict=True
    ):
        assert ids[real.bool()].tolist() == tokenizer(texts[row][0], truncation=True, max_length=12)["input_ids"]
    assert not batch["labelled"].any()
    assert (batch["target"] == -100).all()
    # It is measured all the same.
    assert all(batch["masked"].any() for batch in made.evaluation(made.test))
    with pytest.raises(DataError, match=r"none of the \d+ training rows has a label"):
        made.batches(made.labelled_rows, batch_size=16, seed=0, rank=0, world=1)


def test_figures_are_those_of_a_plain_loop_over_the_rows(tmp_path: Path) -> None:
    made = task(tmp_path)
    model = masked_language_model(folder=str(tmp_path / "bert")).eval()
    outputs, labels = outputs_and_labels(made, partial(outputs_of, model), made.test)
    collate = MlmMasking(model.tokenizer)
    losses, right = [], []
    for (text,), number in zip(made.test.texts, made.test.index.tolist(), strict=True):
        row = model.tokenizer(text, truncation=True, max_length=12)
        batch = collate([{**row, "row": number}])
        with torch.no_grad():
            logits = model(**batch["inputs"]).logits
        asked = batch["target"] != -100
        losses.append(F.cross_entropy(logits[asked], batch["target"][asked], reduction="none"))
        right.append(logits[asked].argmax(-1) == batch["target"][asked])
    target = labels["target"]
    asked = target != -100
    assert asked.sum() == len(torch.cat(losses)) > 0
    np.testing.assert_allclose(-outputs["log_likelihood"][asked], torch.cat(losses).numpy(), atol=1e-5)
    assert (outputs["predicted"][asked] == target[asked]).tolist() == torch.cat(right).tolist()
    expected = float(torch.cat(right).float().mean())
    made.validation = made.test
    assert made.validate(model) == {"masked_accuracy": pytest.approx(expected)}


def test_labels_of_a_table_are_left_out(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", range(60))
    made = MaskedLanguageModelling(
        texts("csv", file=str(file), text="review", label="verdict").load(), MaskedSettings()
    )
    assert made.budget() == {"training": 0, "unlabelled": 54}
    assert made.classes == ()
    limited = MaskedLanguageModelling(
        texts("csv", file=str(file), text="review", label=None).load(), MaskedSettings(limit=20)
    )
    assert (limited.budget()["unlabelled"], len(limited.teacher_rows.rows)) == (20, 54)


def test_models_that_take_other_inputs_have_the_same_words_hidden(tmp_path: Path) -> None:
    folder = masked_bert(tmp_path / "bert")
    made = task(tmp_path, folder)
    own = made.tokenizer_views["student"]
    fewer = type(own)(own.tokenizer, ["input_ids", "attention_mask"], 12)
    made.tokenizer_views["teacher"] = fewer
    (batch,) = steps(made, 0, 1)
    assert batch["tokens"]["teacher"].keys() == {"input_ids", "attention_mask"}
    assert torch.equal(batch["tokens"]["teacher"]["input_ids"], batch["inputs"]["input_ids"])
    assert batch["masked"].any()
    by_itself, address = made.alone("batch.tokens.teacher")
    (own_batch,) = steps(by_itself, 0, 1)
    assert address == "batch.inputs"
    assert "tokens" not in own_batch
    for part in ("row", "target", "masked"):
        assert torch.equal(own_batch[part], batch[part])
    for part, read in batch["tokens"]["teacher"].items():
        assert torch.equal(own_batch["inputs"][part], read)


def test_models_of_two_vocabularies_are_refused(tmp_path: Path) -> None:
    other = masked_bert(tmp_path / "other")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text(encoding="utf-8") + "\nnew", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(other / "vocab.txt"))
    tokenizer.save_pretrained(other)
    with pytest.raises(ArgumentError, match=r"models\.teacher has another tokenizer than models\.student"):
        task(tmp_path, masked_bert(tmp_path / "bert"), other)


def test_settings_that_cannot_be() -> None:
    for wrong, message in (
        ({"masked": 1.5}, "masked is 1.5"),
        ({"max_length": 2}, "max_length"),
        ({"limit": 0}, "limit"),
    ):
        with pytest.raises(ArgumentError, match=message):
            MaskedSettings(**wrong)


def test_an_encoder_gets_a_head_for_words_which_must_be_trained(tmp_path: Path) -> None:
    given = recipe(tmp_path)
    given["models"]["teacher"]["folder"] = str(bert(tmp_path / "encoder", classes=None))
    assert api.check(given)["models"]["teacher"]["train"]["epochs"] == 2
    hidden = {**given["data"], "masked": 0}
    soft = {"soft": given["objective"]["soft"]}
    with pytest.raises(
        RecipeError, match=r"models\.teacher: the term 'hard' reads batch\.target, and none of its rows"
    ):
        api.check({**given, "data": hidden, "objective": soft, "control": False})
    del given["models"]["teacher"]["train"]
    message = r"models\.teacher: .*encoder has no head for words; it gets a new one \(cls\..*\); train it"
    with pytest.raises(RecipeError, match=message):
        api.check(given)


def test_nothing_is_exported(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"export\.formats: this task exports nothing; its student goes on"):
        api.check(recipe(tmp_path, export={"formats": ["onnx"]}))


def test_a_run(tmp_path: Path) -> None:
    path = limbeck.run(recipe(tmp_path, seeds=2), output=tmp_path / "run")
    results = json.loads((path / "results.json").read_text(encoding="utf-8"))
    assert list(results["models"]) == ["teacher", "control", "student"]
    assert results["metric"] == "masked_accuracy"
    assert results["verdict"].startswith(("Distillation", "No difference"))
    assert "accuracy on masked tokens" in results["verdict"]
    assert (results["export"], results["classes"]) == (None, [])
    assert results["label_budget"] == {"training": 0, "validation": 0, "unlabelled": 216}
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "A model for masked language modelling, trained by knowledge distillation" in card
    assert "- Input: a text of up to 12 tokens\n" in card
    assert "pipeline_tag: fill-mask" in card
    assert "one of its classes" not in card
    assert "perplexity of masked tokens" in (path / "report.html").read_text(encoding="utf-8")

    model, loaded = transformers.AutoModelForMaskedLM.from_pretrained(
        path / "models" / "student", output_loading_info=True
    )
    assert not any(loaded.values())
    assert transformers.AutoTokenizer.from_pretrained(path / "models" / "student").mask_token == "[MASK]"
    assert model.config.num_hidden_layers == 1
    made = task(tmp_path)
    score = made.validate(model.eval())
    made.validation = made.test
    seed = results["models"]["student"]["seeds"][0]["metrics"]
    assert made.validate(model.eval())["masked_accuracy"] == pytest.approx(seed["masked_accuracy"])
    assert score.keys() == {"masked_accuracy"}

    again = recipe(tmp_path, control=False)
    again["models"]["teacher"] = {"run": str(path)}
    assert api.check(again)["models"]["teacher"]["model"] == "student"
    classifier = reviews(tmp_path, use="textcnn")
    classifier["models"]["teacher"] = {"run": str(path)}
    with pytest.raises(RecipeError, match=r"names hidden words and knows no class; begin from it by \{use: hugging_fa"):
        api.check(classifier)
