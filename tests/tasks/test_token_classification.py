"""Token classification: a whole run on sentences with names, and what stands behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file
from scipy.special import softmax

import limbeck.api
from data.record_files import sentences
from limbeck.data import TagSet
from limbeck.errors import ArgumentError, DataError, RecipeError
from limbeck.models import hugging_face
from limbeck.runs.prediction import predict, predictions
from limbeck.tasks import TokenClassification
from limbeck.tasks.text_task import LengthSettings
from recipes.small import resolve
from runs.without_torch import predicted_without_torch
from tasks.small_tags import CLASSES, bert, recipe, sentence, write_jsonl

TEST = range(240, 300)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a smaller copy of its teacher."""
    folder = tmp_path_factory.mktemp("names")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(folder / "kept"))
        return limbeck.api.run(recipe(folder, shrink="teacher", layers=1), output=folder / "run")


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


def value(run: Path, model: str, metric: str) -> float:
    found: float = results(run)["models"][model]["metrics"][metric]["value"]
    return found


def test_a_run_measures_teacher_control_student_and_files(made: Path) -> None:
    found = results(made)
    assert list(found["models"]) == ["teacher", "control", "student", "exported", "int8"]
    assert found["metric"] == "entity_f1"
    assert "the student's entity F1 is" in found["verdict"]
    assert value(made, "teacher", "accuracy") > 0.85
    assert value(made, "student", "accuracy") > 0.85
    assert found["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 144}
    assert found["export"]["max_difference"] < 1e-4
    words = sum(len(sentence(row)[0]) for row in TEST)
    assert sum(map(sum, found["models"]["student"]["confusion"])) == words


def by_hand(folder: Path, logits_of: Any) -> list[list[str]]:
    """The tags of each test sentence, one sentence at a time, by the tokens that begin words."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    classes = json.loads((folder.parent.parent / "results.json").read_text())["classes"]
    found = []
    for row in TEST:
        words, _ = sentence(row)
        tokens = tokenizer(words, is_split_into_words=True, truncation=True, max_length=24, return_tensors="np")
        owners = tokens.word_ids(0)
        logits = logits_of(tokens)
        found.append([classes[int(logits[owners.index(word)].argmax())] for word in range(len(words))])
    return found


def accuracy(tags: list[list[str]]) -> float:
    pairs = [
        (ours, true)
        for row, own in zip(TEST, tags, strict=True)
        for ours, true in zip(own, sentence(row)[1], strict=True)
    ]
    return float(np.mean([ours == true for ours, true in pairs]))


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_models_are_folders_of_from_pretrained(made: Path, name: str) -> None:
    folder = made / "models" / name
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()

    def logits(tokens: Any) -> Any:
        with torch.no_grad():
            return model(**{key: torch.from_numpy(value) for key, value in tokens.items()}).logits[0].numpy()

    assert accuracy(by_hand(folder, logits)) == pytest.approx(value(made, name, "accuracy"))


@pytest.mark.parametrize(("file", "model"), [("student.onnx", "exported"), ("student.int8.onnx", "int8")])
def test_the_file_and_the_tokenizer_beside_it_are_all_that_is_needed(made: Path, file: str, model: str) -> None:
    session = onnxruntime.InferenceSession(str(made / "export" / file))
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids", "words"]
    every = {"words": lambda tokens: np.arange(tokens["input_ids"].shape[1])[None]}

    def logits(tokens: Any) -> Any:
        taken = {**tokens, **{name: make(tokens) for name, make in every.items()}}
        return session.run(["logits"], {name: np.asarray(one, np.int64) for name, one in taken.items()})[0][0]

    # INT8 activations are scaled by what stands in a batch.
    found = accuracy(by_hand(made / "models" / "student", logits))
    assert found == pytest.approx(value(made, model, "accuracy"), abs=0 if model == "exported" else 0.01)


def test_predict_splits_marks_from_words_and_tags_all(made: Path) -> None:
    (found,) = predict(made, ["Anna Anderson met Globex, in Lima."])
    assert [one["word"] for one in found["words"]] == ["Anna", "Anderson", "met", "Globex", ",", "in", "Lima", "."]
    assert {one["tag"] for one in found["words"]} <= set(results(made)["classes"])
    assert all(0 < one["probability"] <= 1 for one in found["words"])
    (said,) = predictions(made, ["Anna Anderson met Globex, in Lima."])
    assert said.line == " ".join(f"{one['word']}/{one['tag']}" for one in found["words"])


def test_predictions_need_no_torch_and_are_those_of_transformers_tokens(made: Path) -> None:
    texts = ["Anna Anderson met Globex, in Lima.", "peterson saw johnsonov " * 9, "Umbra, group; 猫 ."]
    rows = [re.findall(r"\w+|[^\w\s]", text) for text in texts]
    tokenizer = transformers.AutoTokenizer.from_pretrained(made / "export")
    tokens = tokenizer(
        rows, is_split_into_words=True, truncation=True, max_length=24, padding=True, return_tensors="np"
    )
    session = onnxruntime.InferenceSession(str(made / "export" / "student.onnx"))
    classes = results(made)["classes"]
    every = np.arange(tokens["input_ids"].shape[1])[None].repeat(len(rows), 0)
    (logits,) = session.run(None, {name: np.asarray(one, np.int64) for name, one in {**tokens, "words": every}.items()})
    lost = 0
    for number, one in enumerate(predicted_without_torch(made, *texts)):
        owners = tokens.word_ids(number)
        for word, found in enumerate(one["words"]):
            assert found["word"] == rows[number][word]
            if word not in owners:
                lost += 1
                assert found["tag"] is found["probability"] is None
                continue
            exact = logits[number, owners.index(word)].astype(np.float64)
            assert found["tag"] == classes[int(exact.argmax())]
            assert found["probability"] == pytest.approx(float(softmax(exact).max()), rel=1e-5)
    assert lost > 0


def test_a_sentence_without_words_and_a_pair_are_refused(made: Path) -> None:
    with pytest.raises(ArgumentError, match="text 2 is empty"):
        predict(made, ["Anna", " "])
    with pytest.raises(ArgumentError, match="a sentence has no second text"):
        predict(made, ["Anna"], pairs=["Peter"])


def test_the_report_counts_words(made: Path) -> None:
    report = (made / "report.html").read_text(encoding="utf-8")
    assert "a sentence of words, up to 24 tokens" in report
    assert "entity F1" in report
    assert "A larger circle stands for more words of the test split" in report
    assert "B-PER" in report


def test_a_cache_of_words_teaches_as_a_live_teacher_of_other_tokens_does(tmp_path: Path) -> None:
    weights = []
    for name, cache in (("live", False), ("cached", {"codec": "float32", "folder": str(tmp_path / "said")})):
        spec = recipe(tmp_path, use="bilstm", embedding=8, width=8, hidden=8)
        spec |= {"export": {"formats": []}, "control": False, "cache": cache}
        run = limbeck.api.run(spec, output=tmp_path / name / "run")
        weights.append(load_file(run / "models/student/model.safetensors"))
    manifest = json.loads((tmp_path / "said/teacher/manifest.json").read_text())
    assert manifest["fields"]["logits"]["shape"] == [len(CLASSES)]
    assert manifest["rows"] == sum(len(words) for words in trained(tmp_path))
    for name, live in weights[0].items():
        torch.testing.assert_close(weights[1][name], live, atol=1e-3, rtol=1e-3)


def trained(folder: Path) -> list[tuple[str, ...]]:
    """The student's rows."""
    source = sentences("jsonl", file=str(folder / "file.jsonl"), test_file=str(folder / "test_file.jsonl")).load()
    return TokenClassification(source, LengthSettings(labels=60)).student_rows.rows.words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, r"models\.teacher: .* has no head for 7 classes; it gets a new one .*; train it"),
        ({"folder": "/none"}, r"models\.teacher: no folder /none"),
        ({"tokenizer": "words"}, r"models\.teacher\.tokenizer: the model brings its own; remove it"),
        ({"use": "textcnn2"}, r"models\.teacher: no model 'textcnn2'\. Did you mean 'textcnn'"),
    ],
)
def test_a_wrong_teacher_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    wrong = recipe(tmp_path, shrink="teacher", layers=1)
    wrong["models"]["teacher"] |= changes
    with pytest.raises(RecipeError, match=message):
        limbeck.api.run(wrong, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_term_on_logits_counts_words_and_others_what_they_say(tmp_path: Path) -> None:
    spec = recipe(tmp_path, shrink="teacher", layers=1)
    spec["objective"]["own"] = {"loss": "kl_divergence", "where": "batch.unlabelled"}
    spec["objective"]["hint"] = {
        "loss": "hidden_states_mse",
        "inputs": {"student": "student.hidden_states.1", "teacher": "teacher.hidden_states.2"},
        "where": "batch.inputs.attention_mask",
    }
    spec["objective"]["plain"] = {"loss": "cross_entropy"}
    resolved = resolve(spec, name="names")
    where = {name: term["where"] for name, term in resolved["objective"].items()}
    assert where == {
        "hard": "batch.labelled",
        "soft": "batch.words",
        "own": "batch.unlabelled",
        "hint": "batch.inputs.attention_mask",
        "plain": None,
    }
    assert resolve(resolved, name="names") == resolved


def task(folder: Path, **settings: Any) -> TokenClassification:
    source = sentences("jsonl", file=str(write_jsonl(folder / "rows.jsonl", range(80)))).load()
    return TokenClassification(source, LengthSettings(**settings))


def test_the_run_says_how_many_words_are_lost(tmp_path: Path) -> None:
    one = task(tmp_path, max_length=8)
    model = hugging_face(names=one.classes, folder=str(bert(tmp_path / "bert")), per_word=True)
    found, addresses = one.reading(lambda: {"student": model})
    rows = [list(words) for words in one.student_rows.rows.words]
    read = [model.tokenizer(words, is_split_into_words=True) for words in rows]
    cut = np.mean([len(tokens["input_ids"]) > 8 for tokens in read])
    owners = [
        model.tokenizer(words, is_split_into_words=True, truncation=True, max_length=8).word_ids(0) for words in rows
    ]
    kept = sum(len(set(own) - {None}) for own in owners)
    lost = 1 - kept / sum(map(len, rows))
    assert addresses == {}
    assert 0 < lost < 1
    message = f"{cut:.1%} of its training rows are cut, {lost:.1%} of their words are lost"
    assert found.notes == [f"data: student reads at most 8 tokens, {message}"]


def test_a_model_that_takes_no_words_is_refused(tmp_path: Path) -> None:
    one = task(tmp_path, max_length=24)
    folder = bert(tmp_path / "bert", names=CLASSES)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    model.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ArgumentError, match=r"models\.student takes no words; give limbeck\.models\.with_word_logits"):
        one.reading(lambda: {"student": model})


def test_rows_of_one_tag_alone_are_refused() -> None:
    rows = TagSet.of([("a",), ("b",)], [None, None], ())
    with pytest.raises(DataError, match=r"the data has 0 class\(es\)"):
        TokenClassification({"train": rows}, LengthSettings())
