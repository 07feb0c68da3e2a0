"""The files that a run ships against its teacher in PyTorch: one row of 128 tokens at a time."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from reviews import Review, encoder_folder, imdb_test, imdb_train
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import limbeck
from limbeck.export import Session
from text_costs.setting import LENGTH, Setting
from text_costs.turns import Spread, clock

__all__ = ["LEAST_SMALL", "LEAST_TRANSFORMER", "TRANSFORMER", "Served", "measure", "section"]

LEAST_TRANSFORMER, LEAST_SMALL = 9.4, 30.0
STUDENTS: dict[str, dict[str, Any]] = {
    "2 layers": {"shrink": "teacher", "layers": 2},
    "BiLSTM": {"use": "bilstm"},
    "TextCNN": {"use": "textcnn"},
}
FILES = {"float32": "student.onnx", "INT8": "student.int8.onnx"}
TEACHER, TRANSFORMER = "teacher, PyTorch", "2 layers, INT8"
PLAIN = f"{TRANSFORMER}, without `Session`"


@dataclass(frozen=True)
class Served:
    """What was found.

    Args:
        megabytes: of the weights of each model.
        milliseconds: of one call, by threads and model.
    """

    megabytes: dict[str, float]
    milliseconds: dict[int, dict[str, Spread]]

    def faster(self, threads: int, name: str) -> float:
        """How many times as fast as the teacher."""
        found = self.milliseconds[threads]
        return found[TEACHER].median / found[name].median

    def at_best(self, name: str) -> float:
        """How many times as fast as the teacher, each with the number of threads that it is fastest with."""
        teacher, own = (min(one[model].median for one in self.milliseconds.values()) for model in (TEACHER, name))
        return teacher / own


def measure(setting: Setting, threads: Sequence[int]) -> Served:
    before = torch.get_num_threads()
    try:
        with tempfile.TemporaryDirectory() as place:
            test = imdb_test(setting.folder)
            runs = shipped(Path(place), setting, test)
            text = long_text(test, runs)
            teacher = AutoModelForSequenceClassification.from_pretrained(
                next(iter(runs.values())) / "models" / "teacher"
            )
            files = {
                f"{name}, {kind}": run / "export" / file for name, run in runs.items() for kind, file in FILES.items()
            }
            found = {count: timed(setting, teacher.eval(), files, text, count) for count in threads}
            sizes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
            sizes[PLAIN] = sizes[TRANSFORMER]
    finally:
        torch.set_num_threads(before)
    weights = sum(one.nbytes for one in teacher.parameters()) / 1e6
    return Served({TEACHER: weights, **sizes}, found)


def shipped(place: Path, setting: Setting, test: Sequence[Review]) -> dict[str, Path]:
    """The folders of runs that ship each student; the teacher is tuned once."""
    for name, rows in (("train", imdb_train(setting.folder)), ("test", test)):
        write(place / f"{name}.csv", rows[:: len(rows) // setting.reviews])
    recipe: dict[str, Any] = {
        "schema": 1,
        "name": "text_speed",
        "task": "text_classification",
        "data": {
            "use": "csv",
            "file": str(place / "train.csv"),
            "test_file": str(place / "test.csv"),
            "max_length": LENGTH,
        },
        "objective": {"soft": {"loss": "kl_divergence"}},
        "train": {"epochs": 1, "batch_size": 16, "learning_rate": 1.0e-4},
        "control": False,
        "measure": {"draws": 100},
        "export": {"formats": ["onnx", "int8"]},
    }
    tuned = {"epochs": 1, "batch_size": 16, "learning_rate": 5.0e-5}
    teacher = {"use": "hugging_face", "folder": str(encoder_folder(setting.folder)), "train": tuned}
    return {
        name: limbeck.run(
            {**recipe, "models": {"teacher": teacher, "student": student}},
            output=place / "runs" / name.replace(" ", "-"),
        )
        for name, student in STUDENTS.items()
    }


def write(file: Path, rows: Sequence[Review]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(Review._fields)
        writer.writerows(rows)


def inputs(tokenizer: Path, text: str) -> dict[str, torch.Tensor]:
    read = AutoTokenizer.from_pretrained(tokenizer)(text, truncation=True, max_length=LENGTH, return_tensors="pt")
    return dict(read)


def long_text(rows: Sequence[Review], runs: Mapping[str, Path]) -> str:
    """The first review that every model reads 128 tokens of."""
    for row in rows:
        if all(inputs(run / "export", row.text)["input_ids"].shape[1] == LENGTH for run in runs.values()):
            return row.text
    raise AssertionError(f"no review has {LENGTH} tokens")


def timed(
    setting: Setting, teacher: nn.Module, files: Mapping[str, Path], text: str, threads: int
) -> dict[str, Spread]:
    """Milliseconds of one call of each model, in turns, after one that is not timed."""
    torch.set_num_threads(threads)
    calls = {TEACHER: eager(teacher, inputs(next(iter(files.values())).parent, text))}
    for name, file in files.items():
        calls[name] = session(file, inputs(file.parent, text), threads)
    calls[PLAIN] = plain(files[TRANSFORMER], inputs(files[TRANSFORMER].parent, text), threads)
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(setting.rounds):
        for name, call in calls.items():
            call()
            for _ in range(setting.calls):
                begin = clock()
                call()
                took[name].append(1e3 * (clock() - begin))
    return {name: Spread.of(found) for name, found in took.items()}


def eager(model: nn.Module, row: Mapping[str, torch.Tensor]) -> Callable[[], object]:
    @torch.no_grad()
    def call() -> object:
        return model(**row)

    return call


def session(file: Path, row: Mapping[str, torch.Tensor], threads: int) -> Callable[[], object]:
    opened = Session(file, threads)
    arrays = {name: value.numpy() for name, value in row.items()}
    return lambda: opened(arrays)


def plain(file: Path, row: Mapping[str, torch.Tensor], threads: int) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    opened = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    arrays = {name: value.numpy() for name, value in row.items()}
    return lambda: opened.run(None, arrays)


def section(found: Served) -> str:
    """The part of the page that holds the figures."""
    counts = list(found.milliseconds)
    head = ["model", "MB", *(f"{name}, threads: {count}" for count in counts for name in ("ms", "times faster"))]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for name, size in found.megabytes.items():
        cells = [name, f"{size:.1f}"]
        for count in counts:
            cells += [found.milliseconds[count][name].text(2), f"{found.faster(count, name):.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    best = (
        f"Each with the number of threads that it is fastest with, {TRANSFORMER} is {found.at_best(TRANSFORMER):.1f} "
        "times faster than the teacher."
    )
    return "\n".join([*lines, "", best])
