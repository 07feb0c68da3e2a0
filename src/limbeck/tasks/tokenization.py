"""How the models of a task tokenize texts, and the tokenizer files in their folders."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core import Address, logits_of
from limbeck.data.text_batches import Readable
from limbeck.data.tokens import TokenizerView
from limbeck.errors import ArgumentError
from limbeck.tasks.batch_source import Batch

__all__ = [
    "addresses_of",
    "check_max_length",
    "check_reads",
    "given_sets",
    "ship_tokenizer",
    "tokenizer_view_at",
    "tokenizer_view_of",
    "tokenizer_views_of",
    "truncation_notes",
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
            f"data is a {type(data).__name__}; give {{'train': {kind.__name__}, …}}, as a source loads it",
            code="wrong_type",
            path="data",
        )
    return data


def tokenizer_views_of(
    models: Mapping[str, nn.Module], max_length: int, *, of_words: bool = False
) -> tuple[dict[str, TokenizerView], dict[str, Address]]:
    """The tokenization of these models. Models with the same tokenization share one address.

    Args:
        models: by section; the first is the one whose inputs are ``batch.inputs``.
        max_length: the most tokens of a row.
        of_words: a row is a sequence of words.

    Returns:
        The tokenizer views by the section of the first model that uses them, and the addresses other than
        ``batch.inputs``.

    Raises:
        ArgumentError: if a model has no tokenizer, or cannot read so many tokens.
    """
    tokenizer_views: dict[str, TokenizerView] = {}
    names: dict[str, str] = {}
    first_names: dict[str, str] = {}
    for name, model in models.items():
        tokenizer_view = tokenizer_view_of(model, f"models.{name}", max_length, of_words=of_words)
        first_names[name] = names.setdefault(tokenizer_view.fingerprint, name)
        tokenizer_views.setdefault(first_names[name], tokenizer_view)
    addresses = addresses_of(tokenizer_views)
    return tokenizer_views, {
        name: addresses[first] for name, first in first_names.items() if addresses[first] != _first
    }


def addresses_of(tokenizer_views: Mapping[str, TokenizerView]) -> dict[str, Address]:
    """The address in a batch of the output of each view: the first is ``batch.inputs``."""
    return {name: f"batch.tokens.{name}" if number else _first for number, name in enumerate(tokenizer_views)}


def tokenizer_view_at(inputs: Address, tokenizer_views: Mapping[str, TokenizerView]) -> tuple[str, Address] | None:
    """The view that fills this address, and the address in batches of that view alone; None if no view does."""
    for name, address in addresses_of(tokenizer_views).items():
        if f"{inputs}.".startswith(f"{address}."):
            return name, _first + inputs.removeprefix(address)
    return None


def tokenizer_view_of(model: nn.Module, label: str, max_length: int, *, of_words: bool = False) -> TokenizerView:
    """The tokenization of a model.

    Raises:
        ArgumentError: with the label, if it has no tokenizer, cannot read so many tokens, or takes no words where rows
            are of them.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise ArgumentError(
            f"{label} has no tokenizer; set model.tokenizer to a fast one of transformers", code="missing", path=label
        )
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in _takes if name in parameters and name in tokenizer.model_input_names]
    longest = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if longest is not None and max_length > longest:
        raise ArgumentError(
            f"{label} has positions for {longest} tokens, data.max_length is {max_length}; lower it",
            path="data.max_length",
        )
    if of_words and "words" not in parameters:
        raise ArgumentError(
            f"{label} takes no words; give limbeck.models.with_word_logits(model)", code="unsupported", path=label
        )
    return TokenizerView(tokenizer, [*names, *(["words"] if of_words else [])], max_length, of_words=of_words)


def check_max_length(tokenizer_views: Mapping[str, TokenizerView], *, pairs: bool) -> None:
    """Reject a maximal length that the special tokens of a tokenizer fill.

    Raises:
        ArgumentError: with the model, and the least length that leaves one.
    """
    for name, tokenizer_view in tokenizer_views.items():
        marks = tokenizer_view.tokenizer.num_special_tokens_to_add(pair=pairs)
        if tokenizer_view.max_length <= marks:
            raise ArgumentError(
                f"data.max_length is {tokenizer_view.max_length}, and the tokenizer of models.{name} puts {marks} "
                f"special marks into every row, so that no word is left; give at least {marks + 1}",
                path="data.max_length",
            )


def truncation_notes(tokenizer_views: Mapping[str, TokenizerView], data: Readable) -> Iterator[str]:
    """Notes about the share of rows that each tokenizer view truncates, and of words that are lost."""
    for name, tokenizer_view in tokenizer_views.items():
        tokens = tokenizer_view.of(data)
        share = float(tokens.cut[data.position].double().mean())
        note = f"{name} reads at most {tokenizer_view.max_length} tokens, {share:.1%} of its training rows are cut"
        if tokens.starts is not None:
            lost = (tokens.starts.subset(data.position).values < 0).double().mean()
            note = f"{note}, {float(lost):.1%} of their words are lost"
        yield note


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
        raise ArgumentError(
            f"{label} cannot read the texts ({reason}); choose another model or tokenizer",
            code="unsupported",
            path=label,
        ) from error
    finally:
        model.train(mode)
    if list(logits.shape) != list(expected):
        raise ArgumentError(
            f"{label} gives {list(logits.shape)} for one row; expected logits of shape {list(expected)}",
            code="wrong_shape",
            path=label,
        )


def ship_tokenizer(model: nn.Module, folder: Path, max_length: int) -> dict[str, Any]:
    """Write the tokenizer into the folder; the entries of a Hugging Face model's own config.json.

    Its tokenizer.json truncates as training does, and names the padding, so that it needs no transformers.
    """
    tokenizer: Any = model.tokenizer
    tokenizer.save_pretrained(folder)
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
    backend.enable_padding(
        direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token
    )
    backend.save(str(folder / "tokenizer.json"))
    config: Any = getattr(model, "config", None)
    if config is None:
        return {}
    made: dict[str, Any] = {**config.to_diff_dict(), "architectures": [type(model).__name__]}
    return made
