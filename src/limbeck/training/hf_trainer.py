"""The Trainer of Hugging Face, with a Distiller as its model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limbeck.core import Counts, Distiller, Outputs, Weights
from limbeck.core.processes import summed
from limbeck.errors import ArgumentError
from limbeck.training.student_folder import load_student_folder, save_student_folder

__all__ = ["DistillerTrainer"]

if TYPE_CHECKING:
    from transformers import Trainer
else:
    Trainer = object


class DistillerTrainer(Trainer):  # type: ignore[misc]
    """A mixin for the Trainer: ``class Mine(DistillerTrainer, transformers.Trainer): pass``.

    The model is the prepared Distiller; its optimizer is attached. All columns reach the collator. A batch is what the
    Distiller reads, or a flat mapping: then ``inputs`` is what the first student's forward takes, ``labels`` become
    ``target``, and other keys stay. Each term is divided by its own count over all micro-batches and processes of a
    step. Evaluation gives ``eval_loss``, each term's mean over all rows as ``eval_<term>``, and the first student's
    output with ``target`` to ``compute_metrics``. A checkpoint is that student's own folder, with the tokenizer given
    as ``processing_class``, and ``distiller.safetensors``.

    Raises:
        ArgumentError: if the model is no Distiller, or would run in DataParallel.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, model: Distiller, *args: Any, **options: Any) -> None:
        _check_model(model)
        super().__init__(model, *args, **options)
        _check_processes(self.args.n_gpu)
        self.args.remove_unused_columns = False
        self._distiller, self._attached, self._counts = model, False, Counts({}, 0, 0)
        self._totals: dict[str, Tensor] = {}

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer(model)
        if not self._attached:
            self._distiller.attach(optimizer)
            self._attached = True
        return optimizer

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], Any]:
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = [_batch(batch, self._distiller) for batch in batches]
        if batches:
            self._counts = self._distiller.counts(batches)
        return batches, items

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        out = model(inputs)
        loss = out.loss(self._counts)
        return (loss, out) if return_outputs else loss

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **options: Any) -> Any:
        self._totals, self._weights = {}, Weights({}, torch.zeros(()))
        result = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **options)
        loss = float(self._weights.penalty)
        for name, total in self._totals.items():
            total = summed(total)
            mean = float(total[0] / total[1].clamp(min=1))
            result.metrics[f"{metric_key_prefix}_{name}"] = mean
            loss += float(self._weights.per_term[name]) * mean
        result.metrics[f"{metric_key_prefix}_loss"] = loss
        return result

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        batch = _batch(self._prepare_inputs(inputs), self._distiller)
        with torch.no_grad(), self.compute_loss_context_manager():
            out = model(batch)
        self._weights = out.weights
        for name, mean in out.terms.items():
            self._totals[name] = self._totals.get(name, 0) + torch.stack([mean.sum, mean.count])
        if prediction_loss_only:
            return None, None, None
        name, student = next(iter(self._distiller.students.items()))
        return None, out.outputs[name][student.output], batch.get("target")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if self.args.should_save:
            save_student_folder(self._distiller, output_dir or self.args.output_dir, state_dict)
            if self.processing_class is not None:
                self.processing_class.save_pretrained(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_student_folder(self._distiller, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        load_student_folder(self._distiller, self.state.best_model_checkpoint)


def _batch(given: Mapping[str, Any], distiller: Distiller) -> Outputs:
    """A batch as a Distiller reads it, from one of the library's collators."""
    if "inputs" in given:
        return given
    student = next(iter(distiller.students.values())).model
    known = inspect.signature(student.forward).parameters
    inputs = {name: value for name, value in given.items() if name in known and name != "labels"}
    others = {"target" if name == "labels" else name: value for name, value in given.items() if name not in inputs}
    return {"inputs": inputs, **others}


def _check_model(model: object) -> None:
    if not isinstance(model, Distiller):
        raise ArgumentError(
            f"DistillerTrainer: the model is a {type(model).__name__}; give the Distiller",
            code="wrong_type",
            path="model",
        )


def _check_processes(n_gpu: int) -> None:
    if n_gpu > 1:
        raise ArgumentError(
            "DistillerTrainer: DataParallel cannot run it; start a process for each GPU (torchrun)", code="unsupported"
        )
