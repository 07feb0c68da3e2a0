"""Small texts made by a grammar, and small BERTs with random weights, in the current folder."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import torch
import transformers

OPINIONS = {"negative": ["bad", "poor", "awful", "dull"], "positive": ["good", "fine", "lovely", "great"]}
PLAIN = ["the", "film", "was", "a", "plot", "and", "cast", "with", "of"]
NAMES = {"PER": ["anna", "peter", "maria", "john"], "LOC": ["paris", "york", "lima", "oslo"]}
FAMILIES = ["peterson", "johnson", "marson"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [word for group in (*OPINIONS.values(), PLAIN, *NAMES.values()) for word in group]
VOCABULARY = [*SPECIAL, *WORDS, "mar", "##son", "."]


def review(row: int) -> tuple[str, str]:
    """A text of 3 to 14 words, one of which decides its label."""
    generator = random.Random(row)
    label = sorted(OPINIONS)[row % 2]
    words = generator.choices(PLAIN, k=generator.randint(2, 13))
    words.insert(generator.randint(0, len(words)), generator.choice(OPINIONS[label]))
    return " ".join(words), label


def sentence(row: int) -> tuple[list[str], list[str]]:
    """Words and their tags: a person with one or two names, a place, and words that are no names."""
    generator = random.Random(row)
    person = [generator.choice(NAMES["PER"]), generator.choice(FAMILIES)][: generator.randint(1, 2)]
    before, after = (generator.choices(PLAIN, k=generator.randint(1, 4)) for _ in range(2))
    words = [*before, *person, *after, generator.choice(NAMES["LOC"]), "."]
    names = ["B-PER", "I-PER"][: len(person)]
    return words, [*["O"] * len(before), *names, *["O"] * len(after), "B-LOC", "O"]


def write_reviews(file: str, rows: range, *, labelled: bool = True) -> None:
    """A CSV with the columns ``text`` and, where rows are labelled, ``label``."""
    with Path(file).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"][: 1 + labelled])
        writer.writerows(review(row)[: 1 + labelled] for row in rows)


def write_lines(file: str, rows: range) -> None:
    """One text in each line."""
    Path(file).write_text("\n".join(review(row)[0] for row in rows), encoding="utf-8")


def write_sentences(file: str, rows: range) -> None:
    """JSON lines with the lists ``words`` and ``tags``."""
    lines = (json.dumps(dict(zip(["words", "tags"], sentence(row), strict=True))) for row in rows)
    Path(file).write_text("\n".join(lines), encoding="utf-8")


def save_bert(folder: str, architecture: str) -> None:
    """A BERT of two layers and its tokenizer; ``architecture`` is the name of its class in transformers."""
    path = Path(folder)
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    getattr(transformers, architecture)(config).save_pretrained(path)
    transformers.BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
