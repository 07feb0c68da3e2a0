from __future__ import annotations

from typing import Any

import pytest
import torch

from data.word_pieces import masked_model, word_pieces
from limbeck import Distiller, Term
from limbeck.data import MlmMasking
from limbeck.errors import ArgumentError
from limbeck.losses import CrossEntropy
from limbeck.models import word_tokenizer
from refusals import refused


def rows(count: int, view: int = 0) -> list[dict[str, Any]]:
    tokenizer = word_pieces()
    texts = ("the film is good", "a dull play", "", "old cast, new players")
    return [{**tokenizer(texts[n % 4]), "row": n, "view": view} for n in range(count)]


def test_rows_are_masked_alike_in_any_batch() -> None:
    collate = MlmMasking(word_pieces(), share=0.5, seed=3)
    together = collate(rows(8))
    for number in (5, 0, 7):
        alone = collate([rows(8)[number]])
        width = alone["target"].shape[1]
        assert alone["target"][0].tolist() == together["target"][number, :width].tolist()
        assert alone["inputs"]["input_ids"][0].tolist() == together["inputs"]["input_ids"][number, :width].tolist()
    assert together["row"].tolist() == list(range(8))
    for other in (collate(rows(8, view=1)), MlmMasking(word_pieces(), share=0.5, seed=4)(rows(8))):
        assert not torch.equal(other["target"], together["target"])


def test_shares_are_those_of_the_paper() -> None:
    tokenizer = word_pieces()
    batch = MlmMasking(tokenizer, share=0.15)(rows(6000))
    plain = tokenizer.pad([{"input_ids": row["input_ids"]} for row in rows(6000)], return_tensors="pt")["input_ids"]
    hidden, target = batch["inputs"]["input_ids"], batch["target"]
    words = ~torch.isin(plain, torch.tensor(tokenizer.all_special_ids))
    asked = target != -100
    assert not (asked & ~words).any()
    assert torch.equal(target[asked], plain[asked])
    assert torch.equal(hidden[~asked], plain[~asked])
    assert (asked.sum() / words.sum()).item() == pytest.approx(0.15, abs=0.01)
    masked = hidden[asked] == tokenizer.mask_token_id
    stays = hidden[asked] == plain[asked]
    # Of the tenth that becomes any entry of the vocabulary, one in 22 is the mask, and one the word itself.
    size = len(tokenizer)
    assert masked.float().mean().item() == pytest.approx(0.8 + 0.1 / size, abs=0.02)
    assert stays.float().mean().item() == pytest.approx(0.1 + 0.1 / size, abs=0.02)
    assert set(hidden[asked][~masked & ~stays].tolist()) >= set(range(5, size)) - {tokenizer.mask_token_id}


def test_a_distiller_reads_the_batch() -> None:
    batch = MlmMasking(word_pieces(), share=0.5)(rows(4))
    distiller = Distiller(masked_model(), {"hard": Term(CrossEntropy())}).prepare([batch])
    out = distiller(batch)
    assert out.terms["hard"].count.item() == (batch["target"] != -100).sum().item() > 0
    assert torch.isfinite(out.loss())


def test_without_a_view_it_is_the_first() -> None:
    given = [{name: value for name, value in row.items() if name != "view"} for row in rows(4)]
    collate = MlmMasking(word_pieces(), share=0.5)
    assert torch.equal(collate(given)["target"], collate(rows(4))["target"])


def test_what_cannot_be_is_refused() -> None:
    with refused(ArgumentError, "unsupported", "tokenizer"):
        MlmMasking(word_tokenizer(["a"]))
    for share in (0.0, 1.5):
        with refused(ArgumentError, "out_of_range", "share"):
            MlmMasking(word_pieces(), share=share)
