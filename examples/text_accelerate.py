"""Distillation of a BERT with Accelerate: the same file for one process and for several (accelerate launch)."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from tiny_text import EPOCHS, LEARNING_RATE, Text, steps


def train(text: Text) -> list[float]:
    accelerator = Accelerator(cpu=True)
    distiller = text.distiller()
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    distiller.attach(optimizer)
    model, optimizer, loader = accelerator.prepare(distiller, optimizer, text.loader(text.rows))
    losses = []
    for _ in range(EPOCHS):
        for micro_batches in steps(text.read(loader)):
            counts = distiller.counts(micro_batches)
            loss = 0.0
            for batch in micro_batches:
                part = model(batch).loss(counts)
                accelerator.backward(part)
                loss += part.item()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
    return losses


if __name__ == "__main__":
    losses = train(Text())
    print(f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps")
