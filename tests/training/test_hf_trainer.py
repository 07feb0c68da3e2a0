"""The Trainer's mixin: counts, evaluation, folders, resuming."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file
from torch import Tensor, nn

from launches import completed, launched
from limbeck import Distiller, Term
from limbeck.core import Linear
from limbeck.errors import ArgumentError, RunError
from limbeck.losses import CrossEntropy
from limbeck.models import BiLSTM
from limbeck.training.hf_trainer import DistillerTrainer
from limbeck.training.student_folder import load_student_folder, save_student_folder

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("text_trainer")


def weights(trainer: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_it_is_at_most_80_lines() -> None:
    assert len(inspect.getsource(DistillerTrainer).splitlines()) <= 80


def test_micro_batches_give_what_the_whole_batch_gives(example: Any, tmp_path: Path) -> None:
    cut = example.trainer(example.Text(), str(tmp_path), num_train_epochs=1, optim="sgd")
    whole = example.trainer(
        example.Text(),
        str(tmp_path),
        num_train_epochs=1,
        optim="sgd",
        per_device_train_batch_size=16,
        gradient_accumulation_steps=1,
    )
    before = weights(cut)
    cut.train()
    whole.train()
    assert int(cut.model.step) == int(whole.model.step) == 4
    for name, value in weights(cut).items():
        torch.testing.assert_close(value, weights(whole)[name], atol=1e-6, rtol=1e-5)
    assert not torch.equal(
        weights(cut)["_students._student.model.classifier.weight"], before["_students._student.model.classifier.weight"]
    )
    assert [entry["loss"] for entry in cut.state.log_history if "loss" in entry] == pytest.approx(
        [entry["loss"] for entry in whole.state.log_history if "loss" in entry], abs=1e-6
    )


def test_evaluation_is_that_of_all_rows_at_once(example: Any, tmp_path: Path) -> None:
    text = example.Text()
    # 64 rows in batches of 10: the last one is smaller, and labels are unevenly spread.
    trainer = example.trainer(text, str(tmp_path), per_device_eval_batch_size=10)
    metrics = trainer.evaluate()
    batch = text.collate(text.rows)
    target = batch.pop("labels")
    distiller = trainer.model.eval()
    with torch.no_grad():
        out = distiller({"inputs": dict(batch), "target": target})
    assert metrics["eval_loss"] == pytest.approx(out.loss().item(), abs=1e-6)
    for name, mean in out.terms.items():
        assert metrics[f"eval_{name}"] == pytest.approx((mean.sum / mean.count).item(), abs=1e-6)
    known = target != -100
    hits = out.outputs["student"]["logits"].argmax(1)[known] == target[known]
    assert metrics["eval_accuracy"] == pytest.approx(hits.float().mean().item())
    predicted = trainer.predict(text.rows)
    torch.testing.assert_close(torch.from_numpy(predicted.predictions), out.outputs["student"]["logits"])
    assert predicted.metrics["test_loss"] == pytest.approx(metrics["eval_loss"])


def test_the_folder_is_the_students_own(example: Any, tmp_path: Path) -> None:
    text = example.Text()
    trainer = example.trainer(text, str(tmp_path))
    trainer.save_model(str(tmp_path / "saved"))
    student = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "saved")
    given = tokenizer(["the film is good", "bad"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = text.student.eval()(**text.tokenizer(["the film is good", "bad"], padding=True, return_tensors="pt"))
        torch.testing.assert_close(student(**given).logits, expected.logits, atol=0, rtol=0)
    rest = load_file(tmp_path / "saved" / "distiller.safetensors")
    assert set(rest) == {name for name in trainer.model.state_dict() if not name.startswith("_students.")}
    assert any("projections" in name for name in rest)
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {
        "config.json",
        "model.safetensors",
        "distiller.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_a_resumed_training_ends_with_the_same_weights(example: Any, tmp_path: Path) -> None:
    def moving(folder: str, **options: Any) -> Any:
        trainer = example.trainer(example.Text(), folder, **options)
        soft = trainer.model.terms["soft"]
        soft.schedule = Linear(start=1.0, end=0.0, steps=12)
        return trainer

    whole = moving(str(tmp_path / "whole"))
    whole.train()
    first = moving(str(tmp_path / "cut"), save_strategy="steps", save_steps=5, max_steps=12)
    first.train()
    second = moving(str(tmp_path / "cut"), max_steps=12)
    torch.manual_seed(3)
    second.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-5"))
    assert int(second.model.step) == 12
    torch.testing.assert_close(weights(second), weights(whole), atol=0, rtol=0)
    assert [e["loss"] for e in second.state.log_history if "loss" in e][5:] == [
        e["loss"] for e in whole.state.log_history if "loss" in e
    ][5:]


def test_the_best_checkpoint_is_loaded_at_the_end(example: Any, tmp_path: Path) -> None:
    trainer = example.trainer(
        example.Text(),
        str(tmp_path),
        save_strategy="epoch",
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-4")
    kept = weights(trainer)
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses[0] == max(losses) > losses[-1]
    load_student_folder(trainer.model, tmp_path / "checkpoint-4")
    torch.testing.assert_close(weights(trainer), kept, atol=0, rtol=0)
    assert int(trainer.model.step) == 4


def test_batches_for_a_distiller_pass_as_they_are(example: Any, tmp_path: Path) -> None:
    text = example.Text()
    flat = example.trainer(text, str(tmp_path), num_train_epochs=1)
    flat.train()
    ready = example.trainer(text := example.Text(), str(tmp_path), num_train_epochs=1)
    collate = text.collate

    def collated(rows: list[Any]) -> dict[str, Any]:
        batch = dict(collate(rows))
        return {"target": batch.pop("labels"), "inputs": batch}

    ready.data_collator = collated
    ready.train()
    torch.testing.assert_close(weights(ready), weights(flat), atol=0, rtol=0)


def test_a_student_without_a_library_has_its_weights_in_the_folder(tmp_path: Path) -> None:
    def made(seed: int) -> Distiller:
        torch.manual_seed(seed)
        student = BiLSTM(classes=2, vocabulary=9, embedding=3, width=4, hidden=5)
        return Distiller(student, {"hard": Term(CrossEntropy())})

    one, other = made(0), made(1)
    one.after_step()
    save_student_folder(one, tmp_path)
    load_student_folder(other, tmp_path)
    torch.testing.assert_close(dict(other.state_dict()), dict(one.state_dict()), atol=0, rtol=0)
    assert int(other.step) == 1
    with pytest.raises(RunError, match=r"no distiller.safetensors; give a folder that"):
        load_student_folder(other, tmp_path / "gone")


def test_folders_of_others_are_refused(example: Any, tmp_path: Path) -> None:
    text = example.Text()
    save_student_folder(text.distiller(), tmp_path)
    plain = Distiller(text.student, {"hard": Term(CrossEntropy())})
    with pytest.raises(RunError, match=r"it is of another Distiller \(.*projections"):
        load_student_folder(plain, tmp_path)
    other = Distiller(example.Text().teacher.train().requires_grad_(True), {"hard": Term(CrossEntropy())})
    with pytest.raises(RunError, match=r"it is of another Distiller"):
        load_student_folder(other, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"no weights of a BertForSequenceClassification"):
        load_student_folder(plain, tmp_path)


def test_only_a_distiller_is_taken(example: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"the model is a Linear; give the Distiller"):
        example.Trainer(nn.Linear(2, 2), hf.TrainingArguments(str(tmp_path)))


def test_data_parallel_is_refused(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.TrainingArguments, "n_gpu", 2)
    with pytest.raises(ArgumentError, match=r"DataParallel cannot run it"):
        example.trainer(example.Text(), str(tmp_path))


@pytest.mark.slow
def test_two_processes_train_as_two_micro_batches(tmp_path: Path) -> None:
    script = Path(__file__).with_name("hf_trainer_in_two.py")
    code = f"import sys\nsys.path.insert(0, {str(EXAMPLES)!r})\nimport runpy\n"
    code += f"runpy.run_path({str(script)!r}, run_name='__main__')"
    for processes in (1, 2):
        words = [str(script), str(tmp_path / str(processes)), str(processes)]
        completed(launched((code, words, {}), processes=processes, folder=tmp_path))
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8")) for name in ("1", "2")]
    assert metrics[1] == pytest.approx(metrics[0], abs=1e-6)
    for file in ("model.safetensors", "distiller.safetensors"):
        one, two = (load_file(tmp_path / name / "saved" / file) for name in ("1", "2"))
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-5)
