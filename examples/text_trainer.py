"""Distillation of a BERT with the Trainer of Hugging Face."""

from __future__ import annotations

import tempfile

import numpy as np
import transformers
from tiny_text import BATCH, EPOCHS, LEARNING_RATE, MICRO_BATCHES, Text

from limbeck.training.hf_trainer import DistillerTrainer


class Trainer(DistillerTrainer, transformers.Trainer):
    pass


def accuracy(prediction: transformers.EvalPrediction) -> dict[str, float]:
    known = prediction.label_ids != -100
    return {"accuracy": float(np.mean((prediction.predictions.argmax(1) == prediction.label_ids)[known]))}


def trainer(text: Text, folder: str, **options: object) -> Trainer:
    settings = {
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": MICRO_BATCHES,
        "num_train_epochs": EPOCHS,
        "learning_rate": LEARNING_RATE,
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **options,
    }
    return Trainer(
        text.distiller(),
        transformers.TrainingArguments(folder, **settings),
        train_dataset=text.rows,
        eval_dataset=text.rows,
        data_collator=text.collate,
        processing_class=text.tokenizer,
        compute_metrics=accuracy,
    )


def train(text: Text) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        mine = trainer(text, folder)
        mine.train()
    return [entry["loss"] for entry in mine.state.log_history if "loss" in entry]


if __name__ == "__main__":
    losses = train(Text())
    print(f"loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps")
