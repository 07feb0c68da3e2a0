"""Distillation of a BERT in a plain loop: two micro-batches in each step."""

from __future__ import annotations

import torch
from tiny_text import EPOCHS, LEARNING_RATE, Text, steps


def train(text: Text) -> list[float]:
    distiller = text.distiller()
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    distiller.attach(optimizer)
    losses = []
    for _ in range(EPOCHS):
        for micro_batches in steps(text.batches(text.rows)):
            counts = distiller.counts(micro_batches)
            loss = 0.0
            for batch in micro_batches:
                part = distiller(batch).loss(counts)
                part.backward()
                loss += part.item()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
    return losses


if __name__ == "__main__":
    losses = train(Text())
    print(f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps")
