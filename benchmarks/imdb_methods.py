"""The parts of `imdb.py`: what each teaches whom, and for how many seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FASTEST", "ON_REQUEST", "PARTS", "Part", "recipe"]

_HARD = {"loss": "cross_entropy", "weight": 0.1, "where": "batch.labelled"}
_SOFT = {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.9}
# What is fitted at once has one temperature, and labels have 1.
_FITTED = {"hard": _HARD, "soft": {"loss": "kl_divergence", "weight": 0.9}}
_STATES = {"student": "student.hidden_states", "teacher": "teacher.hidden_states"}
_ATTENTION = {
    "student_query": "student.query",
    "student_key": "student.key",
    "teacher_query": "teacher.query",
    "teacher_key": "teacher.key",
    "attention_mask": "batch.inputs.attention_mask",
}
_VALUES = {
    "student_value": "student.value",
    "teacher_value": "teacher.value",
    "attention_mask": "batch.inputs.attention_mask",
}
_WITH_STATES = {"call": {"output_hidden_states": True}}
_SHALLOW = {"shrink": "teacher", "layers": [0, 5], **_WITH_STATES}
_LAYERS = {"epochs": 2, "batch_size": 32, "learning_rate": 2.0e-4}
_WORDS = {"epochs": 4, "batch_size": 64, "learning_rate": 1.0e-3}


class Part(NamedTuple):
    """One recipe: what its student is, by what it learns, and what it needs of the teacher."""

    name: str
    what: str
    student: Mapping[str, Any]
    objective: Mapping[str, Any]
    train: Mapping[str, Any] = _LAYERS
    taps: str | None = None
    others: Mapping[str, Any] = {}
    seeds: int = 1
    int8: bool = True


PARTS = {
    part.name: part
    for part in (
        Part("plain", "2 layers", _SHALLOW, {"hard": _HARD, "soft": _SOFT}, seeds=3),
        Part("bilstm", "BiLSTM", {"use": "bilstm"}, {"soft": {"loss": "mse_logits"}}, _WORDS, seeds=3),
        Part(
            "tinybert",
            "2 layers of width 312",
            {"shrink": "general"},
            {"hard": _HARD, "soft": _SOFT},
            taps="attention",
            others={
                "general": {
                    "shrink": "teacher",
                    "layers": [0, 5],
                    "width": 312,
                    "neurons": 1200,
                    **_WITH_STATES,
                    "taps": "attention",
                    "train": {**_LAYERS, "epochs": 1},
                    "objective": {
                        "states": {
                            "loss": "hidden_states_mse",
                            "inputs": _STATES,
                            "where": "batch.inputs.attention_mask",
                        },
                        "attention": {"loss": "attention_scores", "inputs": _ATTENTION},
                    },
                }
            },
        ),
        Part(
            "distilbert",
            "2 layers",
            _SHALLOW,
            {
                "hard": _HARD,
                "soft": _SOFT,
                "cosine": {
                    "loss": "cosine_hidden",
                    "inputs": _STATES,
                    "where": "batch.inputs.attention_mask",
                    "weight": 0.1,
                },
            },
        ),
        Part(
            "patient_kd",
            "2 layers",
            _SHALLOW,
            {"hard": _HARD, "soft": _SOFT, "patient": {"loss": "patient_kd", "inputs": _STATES, "weight": 10}},
        ),
        Part(
            "minilm",
            "2 layers",
            {**_SHALLOW, "taps": "attention"},
            {
                "hard": _HARD,
                "soft": _SOFT,
                "attention": {
                    "loss": {"use": "attention_scores", "on": "maps", "layers": [[-1, -1]]},
                    "inputs": _ATTENTION,
                    "weight": 0.1,
                },
                "values": {"loss": "value_relation", "inputs": _VALUES, "weight": 0.1},
            },
            taps="attention",
        ),
        Part("textcnn", "TextCNN", {"use": "textcnn"}, {"soft": {"loss": "mse_logits"}}, _WORDS),
        Part("logistic", "logistic regression", {"use": "logistic_regression"}, _FITTED, {}),
        Part("forest", "random forest", {"use": "random_forest"}, _FITTED, {}, int8=False),
        Part(
            "bag_of_words",
            "bag of words",
            {"use": "bag_of_words"},
            {"soft": {"loss": "mse_logits"}},
            {**_WORDS, "learning_rate": 3.0e-2},
            int8=False,
        ),
    )
}

FASTEST = "bag_of_words"
# Beside those that two cores finish in 90 minutes.
ON_REQUEST = ("textcnn", "logistic", "forest")


def recipe(part: Part, data: Path, encoder: Path) -> dict[str, Any]:
    """The recipe of a part, for the rows in one folder and the encoder in another."""
    tapped = {} if part.taps is None else {"taps": part.taps}
    tuned = {
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 2.0e-4,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "clip": 1.0,
    }
    return {
        "schema": 1,
        "name": part.name,
        "task": "text_classification",
        "data": {
            "use": "jsonl",
            "file": str(data / "labelled.jsonl"),
            "test_file": str(data / "test.jsonl"),
            "max_length": 128,
            "validation": 1 / 7,
            # So that an epoch sees the 6,000 rows with a label and the 10,000 without.
            "labelled_share": 0.375,
            "unlabelled": {"use": "jsonl", "file": str(data / "unlabelled.jsonl"), "label": None},
        },
        "models": {
            "teacher": {
                "use": "hugging_face",
                "folder": str(encoder),
                # On CPUs its training takes an eighth less time so.
                "attention": "eager",
                **_WITH_STATES,
                "train": tuned,
                **tapped,
            },
            **part.others,
            "student": dict(part.student),
        },
        "objective": dict(part.objective),
        "train": dict(part.train),
        "export": {"formats": ["onnx", "int8"] if part.int8 else ["onnx"]},
        "seeds": part.seeds,
    }
