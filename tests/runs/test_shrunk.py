"""A student that begins as a smaller copy of its teacher: whole runs on tiny BERTs, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import limbeck.api
from limbeck.errors import RecipeError
from limbeck.training.loop import Job
from runs.finished import Run
from tasks.small_texts import bert, recipe

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "kept"))


def small(folder: Path, **student: Any) -> dict[str, Any]:
    """A run of seconds: a BERT of three layers, trained, and a student that is made of it."""
    spec = recipe(folder, **{"shrink": "teacher", **student})
    spec["models"]["teacher"]["folder"] = str(bert(folder / "teacher", classes=None, num_hidden_layers=3))
    spec["models"]["teacher"]["train"]["epochs"] = 1
    spec["train"]["epochs"] = 1
    return {**spec, "export": {"formats": []}}


def before(jobs: Jobs) -> dict[str, dict[str, torch.Tensor]]:
    return {job.stage: weights for job, weights in jobs}


def test_student_and_control_begin_with_layers_of_the_trained_teacher(tmp_path: Path, jobs: Jobs) -> None:
    run = Run(limbeck.api.run(small(tmp_path, layers=[0, 2]), output=tmp_path / "run"))
    teacher, begun = run.weights("teacher"), before(jobs)
    assert list(begun) == ["teacher", "control", "student"]
    # That it was trained: it does not begin so.
    assert not torch.equal(teacher["classifier.weight"], begun["teacher"]["classifier.weight"])
    for stage in ("control", "student"):
        for name, value in begun[stage].items():
            assert torch.equal(value, teacher[name.replace("layer.1.", "layer.2.")])
    assert len(begun["student"]) == len(teacher) - 16
    assert not torch.equal(run.weights("student")["classifier.weight"], teacher["classifier.weight"])
    shipped = transformers.AutoModelForSequenceClassification.from_pretrained(run.path / "models" / "student")
    assert shipped.config.num_hidden_layers == 2


def test_the_width_keeps_the_coordinates_that_say_most_on_the_rows(tmp_path: Path, jobs: Jobs) -> None:
    run = Run(limbeck.api.run(small(tmp_path, layers=1, width=16), output=tmp_path / "run"))
    whole = run.weights("teacher")["bert.embeddings.LayerNorm.bias"]
    kept = before(jobs)["student"]["bert.embeddings.LayerNorm.bias"]
    places = [int((whole == value).nonzero()[0]) for value in kept]
    assert sorted(set(places)) == places
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run.path / "models" / "teacher").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.path / "models" / "teacher")
    texts = (tmp_path / "file.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = tokenizer(
        [text.rpartition(",")[0] for text in texts], padding=True, truncation=True, max_length=12, return_tensors="pt"
    )
    with torch.no_grad():
        states = model(**rows, output_hidden_states=True).hidden_states
    # The layer taken is the second of three.
    energies = [states[place][rows["attention_mask"] != 0].double().square().sum(0) for place in (0, 2)]
    energy = sum(one / one.sum() for one in energies)
    # All rows of the file here, the training rows there: those at the edge may differ.
    assert len(set(places) & set(energy.topk(16).indices.tolist())) >= 14  # type: ignore[union-attr]


def test_its_stages_are_taken_again_and_follow_the_teachers(tmp_path: Path, jobs: Jobs) -> None:
    spec = small(tmp_path, layers=1)
    limbeck.api.run(spec, output=tmp_path / "first")
    jobs.clear()
    again = Run(limbeck.api.run(spec, output=tmp_path / "again"))
    assert jobs == []
    spec["models"]["teacher"]["train"]["seed"] = 1
    other = Run(limbeck.api.run(spec, output=tmp_path / "other"))
    assert list(before(jobs)) == ["teacher", "control", "student"]
    assert not torch.equal(again.weights("control")["classifier.weight"], other.weights("control")["classifier.weight"])


def test_a_chain_begins_where_the_model_before_it_ended(tmp_path: Path, jobs: Jobs) -> None:
    spec = small(tmp_path, shrink="general")
    mse = {"loss": "mse_logits"}
    spec["models"]["general"] = {"shrink": "teacher", "layers": 1, "train": {"epochs": 1}, "objective": {"soft": mse}}
    run = Run(limbeck.api.run(spec, output=tmp_path / "run"))
    general, begun = run.weights("general"), before(jobs)
    assert list(begun) == ["teacher", "teacher_general", "control", "student"]
    for stage in ("control", "student"):
        assert all(torch.equal(value, general[name]) for name, value in begun[stage].items())
    assert not torch.equal(general["classifier.weight"], begun["teacher_general"]["classifier.weight"])


def test_a_shrunk_student_teaches_another_run(tmp_path: Path) -> None:
    first = Run(limbeck.api.run(small(tmp_path, layers=1, width=16), output=tmp_path / "first"))
    spec = recipe(tmp_path, use="textcnn")
    spec["models"]["teacher"] = {"run": str(first.path)}
    spec["train"]["epochs"] = 1
    second = Run(limbeck.api.run({**spec, "export": {"formats": []}}, output=tmp_path / "second"))
    assert second.accuracy("teacher") == first.accuracy("student")


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ({"layers": 4}, {}, r"models\.student: .*4.*3"),
        ({"width": 64}, {}, r"models\.student: shrink: width is 64, the model has 32"),
        ({"layers": 1}, {"use": "bilstm", "folder": None}, r"models\.student: shrink: BiLSTM is no Hugging Face model"),
        ({"shrink": "student"}, {}, r"models\.student\.shrink is the model itself; name another one"),
        ({"shrink": "techer"}, {}, r"models\.student: no model 'techer' .*Did you mean 'teacher'"),
        ({"shrink": 2}, {}, r"models\.student\.shrink is 2; it must be the name of a model"),
        ({"layrs": 1}, {}, r"models\.student: shrink takes no 'layrs'\. Did you mean 'layers'"),
        ({"batches": []}, {}, r"shrink takes no 'batches'"),
        ({"use": "bilstm"}, {}, r"it must have one of"),
        ({}, {"shrink": "student", "use": None, "folder": None}, r"models\.\w+ needs itself: \w+ -> \w+ -> \w+"),
    ],
    ids=["layers", "width", "family", "itself", "name", "number", "option", "batches", "two_forms", "circle"],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    student: dict[str, Any], teacher: dict[str, Any], message: str, tmp_path: Path, no_training: None
) -> None:
    wrong = small(tmp_path, **student)
    changed = {**wrong["models"]["teacher"], **teacher}
    wrong["models"]["teacher"] = {key: value for key, value in changed.items() if value is not None}
    with pytest.raises(RecipeError, match=message):
        limbeck.api.run(wrong, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_begins_from_a_model_that_trains_in_the_same_steps(tmp_path: Path, no_training: None) -> None:
    wrong = small(tmp_path, shrink="peer")
    peer = {"use": "hugging_face", "folder": str(bert(tmp_path / "peer")), "train": "together"}
    wrong["models"]["peer"] = peer
    wrong["objective"]["from_peer"] = {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}}
    with pytest.raises(RecipeError, match=r"models\.student: peer trains together with the student"):
        limbeck.api.run(wrong, output=tmp_path / "run")
