"""Text classification: a whole run on reviews, and what stands behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score

import limbeck.api
from data.record_files import texts
from limbeck.core import outputs_of
from limbeck.data import TextSet
from limbeck.errors import ArgumentError, DataError, RecipeError
from limbeck.models import hugging_face, word_tokenizer
from limbeck.runs.prediction import predict
from limbeck.tasks import TextClassification, TextSettings
from tasks.small_texts import bert, recipe, review, write_csv
from tasks.whole_outputs import outputs_and_labels

BILSTM = {"use": "bilstm", "embedding": 8, "width": 8, "hidden": 8}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of a BiLSTM taught by a BERT, and the folder of its data."""
    folder = tmp_path_factory.mktemp("reviews")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(folder / "kept"))
        return limbeck.api.run(recipe(folder, **BILSTM), output=folder / "run"), folder


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


def test_a_run_measures_teacher_control_student_and_file(made: tuple[Path, Path]) -> None:
    found = results(made[0])
    assert list(found["models"]) == ["teacher", "control", "student", "exported", "int8"]
    assert found["models"]["teacher"]["metrics"]["accuracy"]["value"] > 0.85
    assert found["label_budget"] == {"training": 60, "validation": 0, "unlabelled": 144}
    assert found["input"] == {"texts": 1, "max_length": 12}
    assert found["export"]["max_difference"] < 1e-4
    report = (made[0] / "report.html").read_text(encoding="utf-8")
    assert "a text of up to 12 tokens" in report
    assert "tokenizer" in (made[0] / "README.md").read_text(encoding="utf-8")


def reviews(folder: Path) -> tuple[list[str], list[str]]:
    texts, labels = zip(*(review(row) for row in range(240, 300)), strict=True)
    return list(texts), list(labels)


def test_the_teacher_is_a_folder_of_from_pretrained(made: tuple[Path, Path]) -> None:
    run, folder = made
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "models" / "teacher").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "models" / "teacher")
    texts, labels = reviews(folder)
    rows = tokenizer(texts, padding="max_length", truncation=True, max_length=12, return_tensors="pt")
    with torch.no_grad():
        found = model(**rows).logits.argmax(1).tolist()
    named = [model.config.id2label[number] for number in found]
    assert accuracy_score(labels, named) == results(run)["models"]["teacher"]["metrics"]["accuracy"]["value"]


def test_the_file_and_the_tokenizer_beside_it_are_all_that_is_needed(made: tuple[Path, Path]) -> None:
    run, folder = made
    session = onnxruntime.InferenceSession(str(run / "export" / "student.onnx"))
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "export")
    texts, labels = reviews(folder)
    logits = []
    # Any batch and any length.
    for start, stop in ((0, 1), (1, 24), (24, 60)):
        rows = tokenizer(texts[start:stop], padding=True, truncation=True, max_length=12, return_tensors="np")
        feed = {value.name: rows[value.name].astype(np.int64) for value in session.get_inputs()}
        logits.append(session.run(["logits"], feed)[0])
    classes = results(run)["classes"]
    named = [classes[number] for number in np.concatenate(logits).argmax(1)]
    assert accuracy_score(labels, named) == results(run)["models"]["exported"]["metrics"]["accuracy"]["value"]


def test_the_student_of_a_run_teaches_another_with_its_own_words(made: tuple[Path, Path], tmp_path: Path) -> None:
    second = recipe(tmp_path, use="textcnn")
    second["models"]["teacher"] = {"run": str(made[0])}
    second["data"]["limit"] = 60
    second["export"] = {"formats": []}
    run = limbeck.api.run(second, output=tmp_path / "second")
    weights = [load_file(one / "model.safetensors") for one in (made[0] / "models/student", run / "models/teacher")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (
        results(run)["models"]["teacher"]["metrics"]["accuracy"]["value"]
        == (results(made[0])["models"]["student"]["metrics"]["accuracy"]["value"])
    )


def task(folder: Path, **settings: Any) -> TextClassification:
    file = write_csv(folder / "rows.csv", range(80))
    source = texts("csv", file=str(file), text="review", label="verdict").load()
    return TextClassification(source, TextSettings(**{"max_length": 12, **settings}))


def bound(one: TextClassification, *folders: Path) -> tuple[TextClassification, Any, list[torch.nn.Module]]:
    models = [hugging_face(names=one.classes, folder=str(folder)).eval() for folder in folders]
    names = ("student", "teacher", "other")
    found, addresses = one.reading(lambda: dict(zip(names, models, strict=False)))
    return found, addresses, models


def test_logits_are_those_of_a_plain_forward_padded_to_the_end(tmp_path: Path) -> None:
    one, addresses, (model,) = bound(task(tmp_path), bert(tmp_path / "bert"))
    assert addresses == {}
    outputs, labels = outputs_and_labels(one, lambda batch: outputs_of(model, batch), one.test)
    rows = model.tokenizer(
        [text for (text,) in one.test.texts], padding="max_length", truncation=True, max_length=12, return_tensors="pt"
    )
    with torch.no_grad():
        np.testing.assert_allclose(outputs["logits"], model(**rows).logits.double().numpy(), atol=1e-6)
    assert labels["target"].tolist() == one.test.target.tolist()
    lengths = {batch["inputs"]["input_ids"].shape[1] for batch in one.evaluation(one.teacher_rows.rows)}
    assert lengths == {
        int(rows["attention_mask"].sum(1).max())
        for rows in [
            model.tokenizer(
                [text for (text,) in one.teacher_rows.rows.texts],
                padding=True,
                truncation=True,
                max_length=12,
                return_tensors="pt",
            )
        ]
    }


def test_models_that_read_alike_share_an_address(tmp_path: Path) -> None:
    first, second = bert(tmp_path / "a"), bert(tmp_path / "b", seed=1)
    one, addresses, _ = bound(task(tmp_path), first, second)
    assert (addresses, list(one.tokenizer_views)) == ({}, ["student"])
    (second / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad", encoding="utf-8")
    (second / "tokenizer.json").unlink()
    two, addresses, _ = bound(task(tmp_path), first, second, second)
    assert addresses == {"teacher": "batch.tokens.teacher", "other": "batch.tokens.teacher"}
    batch = next(two.evaluation(two.test))
    assert not torch.equal(batch["inputs"]["input_ids"], batch["tokens"]["teacher"]["input_ids"])


def test_a_model_by_itself_has_the_task_that_knows_no_other(tmp_path: Path) -> None:
    first, second = bert(tmp_path / "a"), bert(tmp_path / "b", seed=1)
    (second / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad", encoding="utf-8")
    (second / "tokenizer.json").unlink()
    whole, _, _ = bound(task(tmp_path), first, second)
    for folder, address in ((first, "batch.inputs"), (second, "batch.tokens.teacher")):
        alone, _, _ = bound(task(tmp_path), folder)
        found, moved = whole.alone(f"{address}.input_ids")
        assert moved == "batch.inputs.input_ids"
        assert found.key(found.teacher_rows) == alone.key(alone.teacher_rows) != whole.key(whole.teacher_rows)
        for ours, theirs in zip(found.evaluation(found.test), alone.evaluation(alone.test), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    # What no tokenizer fills stays where it is.
    assert whole.alone("batch.index") == (whole, "batch.index")


def test_the_run_says_how_many_rows_are_cut(tmp_path: Path) -> None:
    one, _, (model,) = bound(task(tmp_path, max_length=8), bert(tmp_path / "bert"))
    long = [len(model.tokenizer(text)["input_ids"]) > 8 for (text,) in one.student_rows.rows.texts]
    assert one.notes == [f"data: student reads at most 8 tokens, {np.mean(long):.1%} of its training rows are cut"]


def test_words_are_those_of_the_students_rows(tmp_path: Path) -> None:
    source = {
        "train": TextSet.of([(f"word{row} plain",) for row in range(40)], torch.arange(40) % 2, ("a", "b")),
        "test": TextSet.of([("hidden plain",)] * 2, torch.arange(2), ("a", "b"), index=torch.tensor([40, 41])),
    }
    others = {"train": TextSet.of([("unlabelled",), ("further",)], torch.full((2,), -100), ())}
    one = TextClassification(source, TextSettings(limit=20), unlabelled=others)
    net = one.build(
        lambda **supplied: torch.nn.Embedding(supplied["vocabulary"], 1), parts={"tokenizer": {"use": "words"}}
    )
    known = set(net.tokenizer.get_vocab())
    seen = {word for (text,) in one.student_rows.rows.texts for word in text.split()}
    assert {"unlabelled", "further", "plain"} <= seen
    assert known == seen | {"[PAD]", "[UNK]", "[SEP]"}
    assert len(known) == net.num_embeddings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, r"models\.teacher: .* has no head for 2 classes; it gets a new one .*; train it"),
        ({"folder": "/none"}, r"models\.teacher: no folder /none"),
        ({"tokenizer": "words"}, r"models\.teacher\.tokenizer: the model brings its own; remove it"),
        (
            {"use": "resnet"},
            r"models\.teacher: model 'resnet' reads images; task text_classification needs texts",
        ),
    ],
)
def test_a_wrong_teacher_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    wrong = recipe(tmp_path, **BILSTM)
    wrong["models"]["teacher"] |= changes
    with pytest.raises(RecipeError, match=message):
        limbeck.api.run(wrong, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_more_tokens_than_a_model_has_positions(tmp_path: Path) -> None:
    folder = bert(tmp_path / "short", max_position_embeddings=10)
    with pytest.raises(ArgumentError, match=r"models\.student has positions for 10 tokens, data\.max_length is 12"):
        bound(task(tmp_path), folder)


def test_special_marks_leave_a_word(tmp_path: Path) -> None:
    folder, unmarked = bert(tmp_path / "bert"), torch.nn.Linear(2, 2)
    unmarked.tokenizer = word_tokenizer(texts=["the film"])
    with pytest.raises(
        ArgumentError, match=r"max_length is 2, and the tokenizer of models\.student puts 2 .* least 3$"
    ):
        bound(task(tmp_path, max_length=2), folder)
    (reading,) = bound(task(tmp_path, max_length=3), folder)[0].tokenizer_views.values()
    assert reading.tokens([("good film",)]).lengths.tolist() == [3]
    task(tmp_path, max_length=2).reading(lambda: {"student": unmarked})


def test_special_marks_leave_a_word_of_pairs(tmp_path: Path) -> None:
    rows = TextSet.of([("good", "film")] * 20, torch.arange(20) % 2, ("no", "yes"))
    with pytest.raises(ArgumentError, match=r"models\.student puts 3 special marks .* least 4$"):
        bound(TextClassification({"train": rows}, TextSettings(max_length=3)), bert(tmp_path / "bert"))


def test_an_object_needs_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"models\.student has no tokenizer; set model\.tokenizer"):
        task(tmp_path).reading(lambda: {"student": torch.nn.Linear(2, 2)})


def test_one_class_alone_is_refused() -> None:
    rows = TextSet.of([("a",), ("b",)], torch.tensor([-100, -100]), ())
    with pytest.raises(DataError, match=r"the data has 0 class\(es\)"):
        TextClassification({"train": rows}, TextSettings())


def test_one_run_twice_is_the_same_to_the_bit(tmp_path: Path, made: tuple[Path, Path]) -> None:
    spec = recipe(tmp_path, **BILSTM)
    # The paths differ, the rows do not.
    again = limbeck.api.run(spec, output=tmp_path / "again")
    for name in ("teacher", "control", "student"):
        ours, theirs = (load_file(run / "models" / name / "model.safetensors") for run in (again, made[0]))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_pairs_of_texts_from_the_file_to_the_prediction(tmp_path: Path) -> None:
    rows = [{"one": review(row)[0], "two": review(row // 2)[0], "same": row % 3 == 0} for row in range(120)]
    lines = [json.dumps({**row, "same": ["other", "same"][row["same"]]}) for row in rows]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    teacher, short = str(bert(tmp_path / "teacher")), {"epochs": 1, "batch_size": 16, "precision": "float32"}
    spec = {
        "schema": 1,
        "task": "text_classification",
        "data": {
            "use": "jsonl",
            "file": str(tmp_path / "pairs.jsonl"),
            "text": "one",
            "pair": "two",
            "label": "same",
            "max_length": 20,
        },
        "teacher": {"use": "hugging_face", "folder": teacher},
        "student": {"use": "bert", "width": 8, "neurons": 8, "tokenizer": {"use": "folder", "folder": teacher}},
        "objective": {"soft": {"loss": "kl_divergence"}},
        "train": short,
        "measure": {"draws": 100, "seconds": 0.01},
    }
    run = limbeck.api.run(spec, output=tmp_path / "run")
    # Not named in the model's file: taken as tuned, and not trained.
    ours, theirs = load_file(run / "models/teacher/model.safetensors"), load_file(f"{teacher}/model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run / "models/student").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "models/student")
    columns = [[row[name] for row in rows[:5]] for name in ("one", "two")]
    with torch.no_grad():
        inputs = tokenizer(*columns, padding=True, truncation=True, max_length=20, return_tensors="pt")
        expected = model(**inputs).logits.softmax(1)[:, 1].tolist()
    assert int(inputs["token_type_ids"].max()) == 1
    found = predict(run, columns[0], pairs=columns[1])
    assert [one["probabilities"]["same"] for one in found] == pytest.approx(expected, abs=1e-5)


def test_modules_are_listed_and_those_of_other_tokens_are_not_paired(tmp_path: Path) -> None:
    spec = recipe(tmp_path, **BILSTM)
    found = limbeck.api.taps(spec)
    paths = {module["path"]: module["shapes"] for module in found["models"]["student"]["modules"]}
    assert paths["head"] == ((102, 2),)
    assert found["taps"] == {}
    for model in spec["models"].values():
        model["taps"] = "auto"
    with pytest.raises(RecipeError, match=r"student reads batch.inputs, teacher reads batch.tokens.teacher; name mod"):
        limbeck.api.run(spec, output=tmp_path / "run")


def test_hidden_states_of_two_berts_are_read(tmp_path: Path) -> None:
    spec = recipe(tmp_path)
    spec["models"]["student"] = {
        "use": "hugging_face",
        "folder": str(bert(tmp_path / "small", num_hidden_layers=1)),
    }
    for model in spec["models"].values():
        model["call"] = {"output_hidden_states": True}
    spec["objective"]["hidden"] = {
        "loss": "hidden_states_mse",
        "inputs": {"student": "student.hidden_states.1", "teacher": "teacher.hidden_states.2"},
        "where": "batch.inputs.attention_mask",
    }
    spec["models"]["teacher"]["train"]["epochs"] = 1
    # As many passes as a cache pays for.
    spec["train"]["epochs"] = 8
    spec["export"] = {"formats": []}
    run = limbeck.api.run(spec, output=tmp_path / "run")
    # States of tokens have another shape in every batch.
    assert not list(tmp_path.rglob(".caches/*/*"))
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any("hidden" in event.get("terms", {}) for event in events if event["stage"] == "student")


def test_a_cached_teacher_of_other_tokens_teaches_as_a_live_one_does(tmp_path: Path) -> None:
    spec = recipe(tmp_path, **BILSTM)
    spec |= {"export": {"formats": []}, "control": False}
    weights = []
    for name, cache in (("live", False), ("cached", {"codec": "float32", "folder": str(tmp_path / "said")})):
        # In folders of their own, so that neither takes what the other has finished.
        run = limbeck.api.run({**spec, "cache": cache}, output=tmp_path / name / "run")
        weights.append(load_file(run / "models/student/model.safetensors"))
    assert [folder.name for folder in (tmp_path / "said").iterdir()] == ["teacher"]
    for name, live in weights[0].items():
        torch.testing.assert_close(weights[1][name], live, atol=1e-3, rtol=1e-3)
