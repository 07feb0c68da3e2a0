"""Small texts of any number of topics, and a run on them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tasks.small_texts import PLAIN, bert

TOPICS = {"plot": ["plot", "good"], "cast": ["cast", "bad"], "tone": ["dull", "great"]}
ROWS = 240
TESTED = 60


def topical(row: int) -> tuple[str, list[str]]:
    """A text of 3 to 9 words and its topics, of which every eighth row has none."""
    draw = random.Random(row)
    held = [name for name in TOPICS if draw.random() < 0.4] if row % 8 else []
    words = draw.choices(["the", "film", "was", "a", "and"], k=draw.randint(3, 6))
    for name in held:
        words.insert(draw.randint(0, len(words)), draw.choice(TOPICS[name]))
    return " ".join(words), held


def write_jsonl(file: Path, rows: range, *, label: bool = True) -> Path:
    lines = []
    for row in rows:
        text, held = topical(row)
        lines.append(json.dumps({"text": text, **({"topics": held} if label else {})}))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def topics_recipe(folder: Path, **student: Any) -> dict[str, Any]:
    """A run of seconds on topics in this folder."""
    assert {word for words in TOPICS.values() for word in words} - set(PLAIN)
    files = {"file": range(ROWS), "test_file": range(1000, 1000 + TESTED)}
    return {
        "schema": 1,
        "name": "topics",
        "task": "text_classification",
        "data": {
            "use": "jsonl",
            **{name: str(write_jsonl(folder / f"{name}.jsonl", rows)) for name, rows in files.items()},
            "label": "topics",
            "multi_label": True,
            "max_length": 12,
            "labels": 60,
        },
        "models": {
            "teacher": {
                "use": "hugging_face",
                "folder": str(bert(folder / "teacher", classes=None)),
                "train": {"epochs": 12, "batch_size": 16, "learning_rate": 5e-3, "precision": "float32"},
            },
            "student": student,
        },
        "objective": {
            "hard": {"loss": "binary_cross_entropy", "weight": 0.5, "where": "batch.labelled"},
            "soft": {"loss": "binary_kd", "weight": 0.5},
        },
        "train": {"epochs": 16, "batch_size": 16, "learning_rate": 1e-2, "precision": "float32", "select": "best"},
        "measure": {"draws": 100, "seconds": 0.01},
        "export": {"formats": ["onnx", "int8"]},
    }
