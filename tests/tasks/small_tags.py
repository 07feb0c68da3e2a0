"""Sentences with names, by a grammar, and tiny BERTs that read them in pieces of words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
import transformers

FIRST = ["anna", "peter", "maria", "john", "lena"]
STEMS, ENDINGS = ["ander", "peter", "john", "mar", "ols"], ["son", "sen", "ov"]
PLACES = ["paris", "york", "lima", "oslo", "berlin"]
FIRMS = ["acme", "globex", "initech", "umbra"]
PLAIN = ["the", "meeting", "was", "long", "and", "a", "report", "came", "late", "now", "we", "wait"]
VERBS = ["met", "saw", "called", "left", "praised"]
MARKS = [".", ",", "in", "of", "new", "group", "for"]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *dict.fromkeys([*FIRST, *STEMS, *PLACES, *FIRMS, *PLAIN, *VERBS, *MARKS]),
    *(f"##{ending}" for ending in ENDINGS),
]
CLASSES = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")


def sentence(row: int) -> tuple[list[str], list[str]]:
    """Words and their tags: a person does something to someone, somewhere; some names have two words."""
    draw = random.Random(row)
    words: list[str] = []
    tags: list[str] = []

    def say(text: list[str], kind: str | None = None) -> None:
        words.extend(text)
        tags.extend("O" if kind is None else f"{'I' if at else 'B'}-{kind}" for at in range(len(text)))

    def person() -> list[str]:
        family = draw.choice(STEMS) + draw.choice(ENDINGS)
        return draw.choice([[draw.choice(FIRST)], [draw.choice(FIRST), family], [family]])

    say(draw.choices(PLAIN, k=draw.randint(0, 3)))
    say(person(), "PER")
    say([draw.choice(VERBS)])
    say(*draw.choice([(person(), "PER"), ([draw.choice(FIRMS), *draw.choice([[], ["group"]])], "ORG")]))
    if draw.random() < 0.7:
        say(["in"])
        say([*draw.choice([[], ["new"]]), draw.choice(PLACES)], "LOC")
    say(draw.choices(PLAIN, k=draw.randint(0, 4)))
    say(["."])
    return words, tags


def write_jsonl(file: Path, rows: range, *, tags: bool = True) -> Path:
    lines = [dict(zip(["words", "tags"][: 1 + tags], sentence(row), strict=False)) for row in rows]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return file


def write_conll(file: Path, rows: range) -> Path:
    sentences = ["\n".join(f"{word} {tag}" for word, tag in zip(*sentence(row), strict=True)) for row in rows]
    file.write_text("\n\n".join(sentences), encoding="utf-8")
    return file


def tokenizer(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    return transformers.BertTokenizerFast(str(folder / "vocab.txt"))


def bert(folder: Path, *, names: tuple[str, ...] | None = None, seed: int = 0, **sizes: Any) -> Path:
    """A BERT of two layers in a folder, with a head for these tags; an encoder without a head where there are none."""
    made = tokenizer(folder)
    known = {"id2label": dict(enumerate(names)), "label2id": {n: at for at, n in enumerate(names)}} if names else {}
    config = transformers.BertConfig(
        **{
            "vocab_size": len(made),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
            **known,
            **sizes,
        }
    )
    torch.manual_seed(seed)
    kind = transformers.BertModel if names is None else transformers.BertForTokenClassification
    kind(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def recipe(folder: Path, **student: Any) -> dict[str, Any]:
    """A run of seconds on sentences in this folder."""
    files = {"file": range(240), "test_file": range(240, 300)}
    return {
        "schema": 1,
        "name": "names",
        "task": "token_classification",
        "data": {
            "use": "jsonl",
            **{name: str(write_jsonl(folder / f"{name}.jsonl", rows)) for name, rows in files.items()},
            "max_length": 24,
            "labels": 60,
        },
        "models": {
            "teacher": {
                "use": "hugging_face",
                "folder": str(bert(folder / "teacher")),
                "train": {"epochs": 5, "batch_size": 16, "learning_rate": 5e-3, "precision": "float32"},
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
