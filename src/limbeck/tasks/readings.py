"""How the models of a task read texts, and what they leave in a folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core import Address, logits_of
from limbeck.data.text_batches import Readable
from limbeck.data.tokens import Reading
from limbeck.errors import ArgumentError
from limbeck.tasks.task import Batch

__all__ = [
    "addresses_of",
    "check_reads",
    "check_room",
    "cuts",
    "given_sets",
    "own_reading",
    "reading_of",
    "readings_of",
    "ship_tokenizer",
]

_first = "batch.inputs"
_takes = ("input_ids", "attention_mask", "token_type_ids")


def given_sets(data: Any, kind: type[Any]) -> Mapping[str, Any]:
    """Sets of this kind by name, as a source loads them.

    Raises:
        ArgumentError: if they are none.
    """
    if not isinstance(data, Mapping) or not all(isinstance(rows, kind) for rows in data.values()):
        raise ArgumentError(
            f"data is a {type(data).__name__}; give {{'train': {kind.__name__}, …}}, as a source loads it"
        )
    return data


def readings_of(
    models: Mapping[str, nn.Module], max_length: int, *, of_words: bool = False
) -> tuple[dict[str, Reading], dict[str, Address]]:
    """How these models read; those that read as an earlier one does share its address.

    Args:
        models: by section; the first is the one whose inputs are ``batch.inputs``.
        max_length: the most tokens of a row.
        of_words: a row is a sequence of words.

    Returns:
        The readings by the section of the first model that reads so, and the addresses other than ``batch.inputs``.

    Raises:
        ArgumentError: if a model has no tokenizer, or cannot read so many tokens.
    """
    readings: dict[str, Reading] = {}
    names: dict[str, str] = {}
    shared: dict[str, str] = {}
    for name, model in models.items():
        reading = reading_of(model, f"models.{name}", max_length, of_words=of_words)
        shared[name] = names.setdefault(reading.fingerprint, name)
        readings.setdefault(shared[name], reading)
    addresses = addresses_of(readings)
    return readings, {name: addresses[first] for name, first in shared.items() if addresses[first] != _first}


def addresses_of(readings: Mapping[str, Reading]) -> dict[str, Address]:
    """Where a batch holds what each of these gives: the first is ``batch.inputs``."""
    return {name: f"batch.tokens.{name}" if number else _first for number, name in enumerate(readings)}


def own_reading(inputs: Address, readings: Mapping[str, Reading]) -> tuple[str, Address] | None:
    """The reading that fills this address, and the address in batches of that reading alone; None if none does."""
    for name, address in addresses_of(readings).items():
        if f"{inputs}.".startswith(f"{address}."):
            return name, _first + inputs.removeprefix(address)
    return None


def reading_of(model: nn.Module, label: str, max_length: int, *, of_words: bool = False) -> Reading:
    """How a model reads.

    Raises:
        ArgumentError: with the label, if it has no tokenizer, cannot read so many tokens, or takes no words where rows
            are of them.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ArgumentError(f"{label} has no tokenizer; set model.tokenizer to a fast one of transformers")
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in _takes if name in parameters and name in tokenizer.model_input_names]
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if longest is not None and max_length > longest:
        raise ArgumentError(f"{label} has positions for {longest} tokens, data.max_length is {max_length}; lower it")
    if of_words and "words" not in parameters:
        raise ArgumentError(f"{label} takes no words; give limbeck.students.by_word(model)")
    return Reading(tokenizer, [*names, *(["words"] if of_words else [])], max_length, of_words=of_words)


def check_room(readings: Mapping[str, Reading], *, pairs: bool) -> None:
    """Refuse readings that the special marks of their tokenizers leave no word of.

    Raises:
        ArgumentError: with the model, and the least length that leaves one.
    """
    for name, reading in readings.items():
        marks = reading.tokenizer.num_special_tokens_to_add(pair=pairs)
        if reading.max_length <= marks:
            raise ArgumentError(
                f"data.max_length is {reading.max_length}, and the tokenizer of models.{name} puts {marks} special "
                f"marks into every row, so that no word is left; give at least {marks + 1}"
            )


def cuts(readings: Mapping[str, Reading], data: Readable) -> Iterator[str]:
    """Which share of these rows each reading cuts, and of how many words nothing is left, in words."""
    for name, reading in readings.items():
        tokens = reading.of(data)
        share = float(tokens.cut[data.place].double().mean())
        told = f"{name} reads at most {reading.max_length} tokens, {share:.1%} of its training rows are cut"
        if tokens.starts is not None:
            lost = (tokens.starts.subset(data.place).values < 0).double().mean()
            told = f"{told}, {float(lost):.1%} of their words are lost"
        yield told


def check_reads(label: str, model: nn.Module, example: Batch, inputs: Address, expected: Sequence[int]) -> None:
    """Refuse a model that does not turn one row into logits of this shape.

    Raises:
        ArgumentError: with the label in the message.
    """
    mode = model.training
    try:
        logits = logits_of(model.eval(), example, inputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ArgumentError(f"{label} cannot read the texts ({reason}); choose another model or tokenizer") from error
    finally:
        model.train(mode)
    if list(logits.shape) != list(expected):
        raise ArgumentError(
            f"{label} gives {list(logits.shape)} for one row; expected logits of shape {list(expected)}"
        )


def ship_tokenizer(model: nn.Module, folder: Path) -> dict[str, Any]:
    """Write the tokenizer into the folder; the entries of a Hugging Face model's own config.json."""
    tokenizer: Any = model.tokenizer
    tokenizer.save_pretrained(folder)
    config: Any = getattr(model, "config", None)
    if config is None:
        return {}
    made: dict[str, Any] = {**config.to_diff_dict(), "architectures": [type(model).__name__]}
    return made
