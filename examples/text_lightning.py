"""Distillation of a BERT with Lightning: one batch of the loader is the micro-batches of one step."""

from __future__ import annotations

import lightning
import torch
from tiny_text import BATCH, EPOCHS, LEARNING_RATE, MICRO_BATCHES, Batch, Text
from torch.utils.data import DataLoader


class Distillation(lightning.LightningModule):
    def __init__(self, text: Text) -> None:
        super().__init__()
        self.automatic_optimization = False  # it would divide by the number of micro-batches
        self.distiller = text.distiller()
        self.losses: list[float] = []

    def training_step(self, micro_batches: list[Batch], _: int) -> None:
        optimizer = self.optimizers()
        counts = self.distiller.counts(micro_batches)
        loss = 0.0
        for batch in micro_batches:
            part = self.distiller(batch).loss(counts)
            self.manual_backward(part)
            loss += part.item()
        optimizer.step()
        optimizer.zero_grad()
        self.losses.append(loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.AdamW(self.distiller.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        self.distiller.attach(optimizer)
        return optimizer


def train(text: Text) -> list[float]:
    model = Distillation(text)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(
        text.rows,
        batch_size=BATCH * MICRO_BATCHES,
        collate_fn=lambda rows: list(text.batches(rows)),
    )
    trainer.fit(model, loader)
    return model.losses


if __name__ == "__main__":
    losses = train(Text())
    print(f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps")
