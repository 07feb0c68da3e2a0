"""Small texts, and tiny BERTs with a tokenizer, in folders."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import torch
import transformers

GOOD = ["good", "fine", "lovely", "great"]
BAD = ["bad", "poor", "awful", "dull"]
PLAIN = ["the", "film", "was", "a", "plot", "and", "cast", "with", "of"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *PLAIN]


def review(row: int) -> tuple[str, str]:
    """A text of 3 to 14 words that says what it is, and its label."""
    draw = random.Random(row)
    label = ("negative", "positive")[row % 2]
    words = draw.choices(PLAIN, k=draw.randint(2, 13))
    words.insert(draw.randint(0, len(words)), draw.choice(GOOD if label == "positive" else BAD))
    return " ".join(words), label


def write_csv(file: Path, rows: range, *, label: bool = True) -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "verdict"][: 1 + label])
        writer.writerows(review(row)[: 1 + label] for row in rows)
    return file


def tokenizer(folder: Path, words: list[str] = VOCABULARY) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return transformers.BertTokenizerFast(str(folder / "vocab.txt"))


def bert(folder: Path, *, classes: int | None = 2, names: list[str] | None = None, seed: int = 0, **sizes: Any) -> Path:
    """A BERT of two layers in a folder; an encoder without a head where classes is None."""
    made = tokenizer(folder)
    labels = {} if classes is None else {"num_labels": classes}
    if names is not None:
        labels = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
    config = transformers.BertConfig(
        **{
            "vocab_size": len(made),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            **labels,
            **sizes,
        }
    )
    torch.manual_seed(seed)
    kind = transformers.BertModel if classes is None else transformers.BertForSequenceClassification
    kind(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def recipe(folder: Path, **student: Any) -> dict[str, Any]:
    """A run of seconds on reviews in this folder."""
    files = {"file": range(240), "test_file": range(240, 300)}
    return {
        "schema": 1,
        "name": "reviews",
        "task": "text_classification",
        "data": {
            "use": "csv",
            **{name: str(write_csv(folder / f"{name}.csv", rows)) for name, rows in files.items()},
            "text": "review",
            "label": "verdict",
            "max_length": 12,
            "labels": 60,
        },
        "models": {
            "teacher": {
                "use": "hugging_face",
                "folder": str(bert(folder / "teacher", classes=None)),
                "train": {"epochs": 4, "batch_size": 16, "learning_rate": 5e-3, "precision": "float32"},
            },
            "student": student,
        },
        "objective": {
            "hard": {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"},
            "soft": {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5},
        },
        "train": {"epochs": 4, "batch_size": 16, "learning_rate": 1e-2, "precision": "float32"},
        "measure": {"draws": 100, "seconds": 0.01},
        "export": {"formats": ["onnx", "int8"]},
    }
