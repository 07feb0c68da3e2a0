"""The teacher and the student: two small GPT-2, and what they are measured against."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from language_cache.study import Study

__all__ = ["perplexity", "trained", "unigram_perplexity"]

_at_once = 16


def trained(name: str, study: Study, windows: Tensor, folder: Path) -> GPT2LMHeadModel:
    """The teacher or the student, on the text alone; read from the folder if it is there."""
    logging.disable_progress_bar()
    place = folder / name
    if not place.is_dir():
        _train(name, study, windows).save_pretrained(place)
    return GPT2LMHeadModel.from_pretrained(place).eval()


def _train(name: str, study: Study, windows: Tensor) -> GPT2LMHeadModel:
    width, layers, steps = (getattr(study, f"{name}_{what}") for what in ("width", "layers", "steps"))
    torch.manual_seed(study.seed + (name == "student"))
    config = GPT2Config(
        vocab_size=study.vocabulary,
        n_positions=study.context,
        n_embd=width,
        n_layer=layers,
        n_head=max(1, width // 32),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=study.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, study.learning_rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = torch.randint(len(windows), (study.windows,))
        loss = _cross_entropy(model, windows[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{name}: step {step} of {steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return model


def _cross_entropy(model: GPT2LMHeadModel, windows: Tensor) -> Tensor:
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none")


@torch.no_grad()
def perplexity(model: GPT2LMHeadModel, windows: Tensor) -> float:
    """exp of the mean cross-entropy of a token."""
    return float(torch.cat([_cross_entropy(model, part) for part in windows.split(_at_once)]).mean().exp())


def unigram_perplexity(train: Tensor, test: Tensor, vocabulary: int) -> float:
    """That of the frequencies of the training text, with one more of each token, as some do not occur there."""
    counts = train[:, 1:].flatten().bincount(minlength=vocabulary) + 1.0
    return float((counts / counts.sum()).log()[test[:, 1:]].mean().neg().exp())
