"""Text classification with any number of classes for each row: whole runs, and what is refused before them."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from scipy.special import expit
from sklearn.metrics import f1_score

import limbeck.api
from limbeck.cli import main
from limbeck.data import TextSet
from limbeck.errors import ArgumentError, DataError, RecipeError
from limbeck.measure import multi_label_scoring
from limbeck.runs.prediction import predict
from limbeck.tasks import TextClassification, TextSettings
from runs.without_torch import predicted_without_torch
from tasks.small_texts import bert
from tasks.small_topics import TESTED, topical, topics_recipe, write_jsonl

BILSTM = {"use": "bilstm", "embedding": 8, "width": 8, "hidden": 8}
NAMES = ["cast", "plot", "tone"]
TESTS = [topical(row) for row in range(1000, 1000 + TESTED)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of a BiLSTM taught by a BERT, and the folder of its data."""
    folder = tmp_path_factory.mktemp("topics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(folder / "kept"))
        return limbeck.api.run(topics_recipe(folder, **BILSTM), output=folder / "run"), folder


def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


def probabilities(run: Path, file: str, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """By onnxruntime and the tokenizer beside the file, without limbeck."""
    session = onnxruntime.InferenceSession(run / "export" / file)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "export")
    rows = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="np")
    return np.asarray(expit(session.run(["logits"], {one.name: rows[one.name] for one in session.get_inputs()})[0]))


def test_a_run_measures_every_model_by_its_labels(made: tuple[Path, Path]) -> None:
    found = results(made[0])
    assert found["metric"] == "micro_f1"
    assert found["classes"] == NAMES
    assert list(found["models"]) == ["teacher", "control", "student", "exported", "int8"]
    assert set(found["models"]["student"]["metrics"]) == {metric.name for metric in multi_label_scoring().metrics}
    assert found["label_budget"] == {"training": 60, "validation": 36, "unlabelled": 144}
    assert found["verdict"].startswith(("These two models differ: the student's micro-F1", "These two models show no"))
    target = np.array([[name in held for name in NAMES] for _, held in TESTS])
    assert (target.sum(1) == 0).any()
    called = probabilities(made[0], "student.onnx", [text for text, _ in TESTS]) > 0.5
    metrics = found["models"]["exported"]["metrics"]
    assert metrics["micro_f1"]["value"] == pytest.approx(f1_score(target, called, average="micro"))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(target, called, average="macro"))
    assert metrics["subset_accuracy"]["value"] == pytest.approx((target == called).all(1).mean())
    # More than calling every class of every row.
    assert metrics["micro_f1"]["value"] > f1_score(target, np.ones_like(target), average="micro")


def test_what_is_shipped_says_the_same(made: tuple[Path, Path]) -> None:
    exported = results(made[0])["export"]
    assert exported["max_difference"] < 1e-4
    texts = [text for text, _ in TESTS]
    whole, small = (probabilities(made[0], f"student{part}.onnx", texts) for part in ("", ".int8"))
    # Activations are quantized by the range of their batch, and these batches are others.
    assert exported["int8"]["max_probability_difference"] == pytest.approx(np.abs(whole - small).max(), abs=0.02)
    for int8, expected, bound in ((False, whole, 1e-6), (True, small, 0.02)):
        found = predict(made[0], texts, int8=int8)
        given = [[one["probabilities"][name] for name in NAMES] for one in found]
        assert given == pytest.approx(expected, abs=bound)
        assert predicted_without_torch(made[0], *texts, *(["--int8"] if int8 else [])) == found
        for one in found:
            above = {name for name, probability in one["probabilities"].items() if probability > 0.5}
            assert set(one["classes"]) == above
            assert one["classes"] == sorted(above, key=lambda name: -one["probabilities"][name])


def test_the_command_line(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text, _ in TESTS[:8]]

    def said(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["limbeck", "predict", str(made[0]), *texts, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out

    for line, one, text in zip(said().splitlines(), predict(made[0], texts), texts, strict=True):
        named = ", ".join(f"{name} {one['probabilities'][name]:.4f}" for name in one["classes"]) or "(none)"
        assert line == f"{named}  {text}"
    assert json.loads(said("--json")) == predict(made[0], texts)


def test_the_report_tells_the_metric_that_decides(made: tuple[Path, Path]) -> None:
    report = (made[0] / "report.html").read_text(encoding="utf-8")
    assert "Micro-F1 against cost" in report
    assert "validation micro-F1" in report
    assert "<h2>Reliability</h2>" in report
    assert "<h2>Confusion</h2>" not in report
    card = (made[0] / "README.md").read_text(encoding="utf-8")
    assert "average: micro" in card
    assert "decides about each class separately: a text may get any number of them, or none" in card
    assert "assigns one of its classes" not in card
    assert "more labels of the test split." in report


def test_the_lines_of_the_card_name_every_class_above_one_half(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (made[0] / "README.md").read_text(encoding="utf-8")
    lines = card.partition("```python\n")[2].partition("```")[0]
    texts = [text for text, _ in TESTS]
    assert '["a text"]' in lines
    monkeypatch.chdir(made[0])
    exec(compile(lines.replace('["a text"]', repr(texts)), "card", "exec"), {})
    said = [set(one) for one in ast.literal_eval(capsys.readouterr().out)]
    assert said == [set(one["classes"]) for one in predict(made[0], texts)]
    assert {len(one) for one in said} != {1}


def test_the_teacher_says_in_its_config_what_it_is_and_teaches_again(made: tuple[Path, Path], tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(made[0] / "models" / "teacher")
    assert config.problem_type == "multi_label_classification"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(made[0] / "models" / "teacher")
    tokenizer = transformers.AutoTokenizer.from_pretrained(made[0] / "models" / "teacher")
    rows = tokenizer([text for text, _ in TESTS], padding=True, truncation=True, max_length=12, return_tensors="pt")
    labels = torch.tensor([[float(name in held) for name in NAMES] for _, held in TESTS])
    with torch.no_grad():
        message = model.eval()(**rows, labels=labels)
    # Its own loss is the mean over the classes; the metric is their sum.
    expected = results(made[0])["models"]["teacher"]["metrics"]["negative_log_likelihood"]["value"]
    assert message.loss.item() * len(NAMES) == pytest.approx(expected, rel=1e-5)
    again = topics_recipe(tmp_path, **BILSTM)
    again["models"]["teacher"] = {"use": "hugging_face", "folder": str(made[0] / "models" / "teacher")}
    assert limbeck.api.check(again)["models"]["teacher"]["train"] is None


@pytest.mark.parametrize("student", [{"use": "bert", "width": 16, "neurons": 32, "length": 16}, {"shrink": "teacher"}])
def test_students_that_are_berts(student: dict[str, Any], tmp_path: Path) -> None:
    given = topics_recipe(tmp_path, **student, **({"layers": 1} if "shrink" in student else {}))
    given["train"]["epochs"] = given["models"]["teacher"]["train"]["epochs"] = 1
    given["export"] = {"formats": ["onnx"]}
    run = limbeck.api.run(given, output=tmp_path / "run")
    assert results(run)["export"]["max_difference"] < 1e-4
    config = transformers.AutoConfig.from_pretrained(run / "models" / "student")
    assert config.problem_type == "multi_label_classification"
    assert set(predict(run, ["the plot was good"])[0]) == {"classes", "probabilities"}


def test_a_control_of_a_student_without_labels_in_its_objective(tmp_path: Path) -> None:
    given = topics_recipe(tmp_path, **BILSTM)
    given["objective"] = {"soft": {"loss": "binary_kd"}}
    given["export"] = {"formats": []}
    given["train"]["epochs"] = given["models"]["teacher"]["train"]["epochs"] = 1
    given["data"]["unlabelled"] = {
        "use": "jsonl",
        "file": str(write_jsonl(tmp_path / "more", range(500, 540), label=False)),
    }
    given["data"]["unlabelled"]["label"] = None
    run = limbeck.api.run(given, output=tmp_path / "run")
    assert results(run)["label_budget"]["unlabelled"] == 144 + 40
    assert "control" in results(run)["models"]


def changed(folder: Path, section: str, **values: Any) -> dict[str, Any]:
    given = topics_recipe(folder, **BILSTM)
    given[section] = {**given[section], **values}
    return given


def test_softmaxes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for term in ("cross_entropy", "kl_divergence"):
        given = changed(tmp_path, "objective", more={"loss": term})
        with pytest.raises(
            RecipeError, match=rf"objective\.more: {term} is for rows of one class, .* take binary_cross"
        ):
            limbeck.api.run(given, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    given = changed(tmp_path, "objective")
    given["models"]["teacher"]["objective"] = {"hard": {"loss": "cross_entropy"}}
    with pytest.raises(RecipeError, match=r"cross_entropy is for rows of one class"):
        limbeck.api.check(given)


def test_answers_are_refused_where_a_row_has_one_class(tmp_path: Path) -> None:
    rows = [{"text": topical(row)[0], "topics": str(row % 2)} for row in range(60)]
    (tmp_path / "one.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = topics_recipe(tmp_path, **BILSTM)
    given["data"] = {"use": "jsonl", "file": str(tmp_path / "one.jsonl"), "label": "topics", "max_length": 12}
    with pytest.raises(RecipeError, match=r"objective\.hard: binary_cross_entropy is for rows of several classes"):
        limbeck.api.check(given)


@pytest.mark.parametrize(("kind", "refused"), [("single_label_classification", True), (None, False)])
def test_a_teacher_that_was_tuned_for_one_class_is_to_be_trained(
    kind: str | None, refused: bool, tmp_path: Path
) -> None:
    given = topics_recipe(tmp_path, **BILSTM)
    folder = bert(tmp_path / "tuned", names=NAMES, **({"problem_type": kind} if kind else {}))
    given["models"]["teacher"] = {"use": "hugging_face", "folder": str(folder)}
    if not refused:
        assert limbeck.api.check(given)
        return
    wanted = r"models\.teacher: its config says single_label_.*, and rows here have any number of classes; train it"
    with pytest.raises(RecipeError, match=wanted):
        limbeck.api.check(given)
    given["models"]["teacher"]["train"] = {"epochs": 1}
    assert limbeck.api.check(given)


def several(count: int, classes: tuple[str, ...] = ("a", "b")) -> TextSet:
    target = torch.arange(count * len(classes)).reshape(count, -1) % 3 % 2
    return TextSet.of([("x",)] * count, target, classes)


def test_the_task_is_judged_by_what_its_rows_are() -> None:
    task = TextClassification({"train": several(60)}, TextSettings())
    assert (task.scoring.label_kind, task.scoring.main.name) == ("multi_label", "micro_f1")
    assert (task.budget()["training"], task.budget()["unlabelled"]) == (len(task.student_rows.rows), 0)


def test_test_rows_of_another_kind_are_refused() -> None:
    rows = torch.arange(30)
    one = {
        name: TextSet.of([("x",)] * 30, rows % 2, ("a", "b"), index=rows + start)
        for name, start in (("train", 0), ("test", 30))
    }
    with pytest.raises(DataError, match="differ in whether a row may have several classes"):
        TextClassification({"train": several(60)}, TextSettings(), test_from=one)


def test_few_labels_and_balanced_classes_are_drawn() -> None:
    settings = TextSettings(labels=10, class_balance=True)
    task = TextClassification({"train": several(60)}, settings)
    assert task.budget()["training"] == 10
    with pytest.raises(ArgumentError, match="cannot keep 1 labels"):
        TextClassification({"train": several(60)}, TextSettings(labels=1))
