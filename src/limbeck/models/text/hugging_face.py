"""Models and tokenizers of Hugging Face, from a local folder or by name."""

from __future__ import annotations

import logging
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models.optional_deps import import_library
from limbeck.models.text.word_logits import with_word_logits
from limbeck.registry import register

__all__ = ["folder_tokenizer", "hugging_face", "masked_language_model"]

_tokenizer_files = ("tokenizer.json", "vocab.txt", "tokenizer.model", "vocab.json")


@register("model", "hugging_face", inputs="texts", per=("row", "word"), pretrained=True)
def hugging_face(*, names: Sequence[str], folder: str, attention: str | None = None, per_word: bool = False) -> Any:
    """Any ``AutoModelForSequenceClassification`` or ``AutoModelForTokenClassification``, with its own tokenizer.

    A model that was tuned for these classes is taken as it is. An encoder without a head, or with one for another
    number of classes, gets a new one, which must be trained; the run says so. For words, the logits of a model that was
    tuned for these classes in another order are brought to this one.

    Args:
        names: of the classes, in the order of the logits.
        folder: of ``save_pretrained``, with the files of the tokenizer; or the name of a model. No hub is asked for a
            path.
        attention: what computes it, as ``attn_implementation`` of transformers: ``sdpa``, ``eager``,
            ``flash_attention_2``, …; as transformers chooses, if None.
        per_word: whether it gives logits for each word.

    Returns:
        The model, for words as `with_word_logits` makes it; ``tokenizer`` is its tokenizer, and ``untrained`` says in
        words what of it has random weights, or is empty.

    Raises:
        ArgumentError: if a file is missing or unreadable, the encoder's weights have other shapes than its config.json
            says, or the model was tuned for these classes in another order and its logits cannot be reordered.
    """
    if not per_word:
        return _loaded("AutoModelForSequenceClassification", names, folder, attention)
    own = _own_order(names, folder)
    # Of byte pairs, a word in the middle of a text begins with its space.
    model = _loaded("AutoModelForTokenClassification", own, folder, attention, add_prefix_space=True)
    if own != list(names):
        _reorder_(model, [own.index(name) for name in names], folder)
        model.config.id2label, model.config.label2id = _labels(names)
    return with_word_logits(model)


def _own_order(names: Sequence[str], folder: str) -> list[str]:
    """The classes as a model knows them, if it knows these."""
    transformers = import_library("transformers", "text")
    local = _local(folder)
    with _told(folder), _quiet(transformers):
        known = _known(transformers.AutoConfig.from_pretrained(folder, local_files_only=local))
    return known if sorted(known) == sorted(names) else list(names)


def _reorder_(model: Any, order: Sequence[int], folder: str) -> None:
    heads = [head for head in (getattr(model, name, None) for name in ("classifier", "score")) if head is not None]
    if not heads or not isinstance(heads[0], nn.Linear):
        raise ArgumentError(
            f"{folder} knows the classes in another order than the data, and its head is no linear map; write the tags "
            "of the data as whole numbers in the model's order",
            code="mismatch",
            path="folder",
        )
    with torch.no_grad():
        for parameter in heads[0].parameters():
            parameter.copy_(parameter[list(order)])


def _labels(names: Sequence[str]) -> tuple[dict[int, str], dict[str, int]]:
    """The classes of a configuration."""
    return dict(enumerate(names)), {name: number for number, name in enumerate(names)}


def _loaded(kind: str, names: Sequence[str] | None, folder: str, attention: str | None, **reading: Any) -> Any:
    """A model of a class of transformers, for these classes; None for its own words."""
    transformers = import_library("transformers", "text")
    local, labels = _local(folder), dict[str, Any]()
    with _told(folder), _quiet(transformers):
        if names is not None:
            known = _known(transformers.AutoConfig.from_pretrained(folder, local_files_only=local))
            if sorted(known) == sorted(names) and known != list(names):
                raise ArgumentError(
                    f"{folder} knows the classes as {known}, the data as {list(names)}: another order; "
                    "write the labels of the data as whole numbers in the model's order",
                    code="mismatch",
                    path="folder",
                )
            labels = dict(zip(("num_labels", "id2label", "label2id"), (len(names), *_labels(names)), strict=True))
        model, found = getattr(transformers, kind).from_pretrained(
            folder,
            local_files_only=local,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            use_safetensors=True,
            attn_implementation=attention,
            **labels,
        )
        model.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=local, **reading)
    fresh, head = ", ".join(_fresh(model, found, folder)), "words" if names is None else f"{len(names)} classes"
    model.untrained = f"{folder} has no head for {head}; it gets a new one ({fresh})" if fresh else ""
    return model


def _fresh(model: Any, found: Mapping[str, Any], folder: str) -> list[str]:
    """The weights that begin at random. An encoder is refused whose weights are there in other shapes."""
    mismatched = [key for key, *_ in found["mismatched_keys"]]
    own = [key for key in sorted(mismatched) if key.startswith(f"{model.base_model_prefix}.")]
    if own:
        raise ArgumentError(
            f"{folder}: {len(own)} weights of the encoder have other shapes than its config.json says, as {own[0]}; "
            "save the model there again",
            code="damaged",
            path="folder",
        )
    return sorted({*found["missing_keys"], *mismatched})


@register("model", "hugging_face", inputs="texts", per="token", pretrained=True)
def masked_language_model(*, folder: str, attention: str | None = None) -> Any:
    """Any ``AutoModelForMaskedLM``, with its own tokenizer.

    An encoder without a head for words gets a new one, which must be trained; the run says so.

    Args:
        folder: of ``save_pretrained``, with the files of the tokenizer; or the name of a model. No hub is asked for a
            path.
        attention: what computes it, as ``attn_implementation`` of transformers: ``sdpa``, ``eager``,
            ``flash_attention_2``, …; as transformers chooses, if None.

    Returns:
        The model; ``tokenizer`` is its tokenizer, and ``untrained`` says in words what of it has random weights, or is
        empty.

    Raises:
        ArgumentError: if a file is missing or unreadable, or the encoder's weights have other shapes than its
            config.json says.
    """
    return _loaded("AutoModelForMaskedLM", None, folder, attention)


def _known(config: Any) -> list[str]:
    """The names of the classes that a model was tuned for; none where they are but numbered."""
    named = [str(name) for _, name in sorted((getattr(config, "id2label", None) or {}).items())]
    return [] if all(name == f"LABEL_{number}" for number, name in enumerate(named)) else named


@register("tokenizer", "folder", inputs=("texts", "words"))
def folder_tokenizer(*, folder: str) -> Any:
    """The tokenizer of Hugging Face in a local folder, or of a model by name.

    Args:
        folder: of ``save_pretrained``, or the name of a model. No hub is asked for a path.

    Returns:
        A fast tokenizer.

    Raises:
        ArgumentError: if there is none.
    """
    transformers = import_library("transformers", "text")
    local = _local(folder, _tokenizer_files)
    with _told(folder), _quiet(transformers):
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=local)


def _local(folder: str, *needed: tuple[str, ...]) -> bool:
    """Whether to look on this machine alone: for a path, and where no hub can be reached.

    Raises:
        ArgumentError: if it is, and there is no model.
    """
    path = Path(folder)
    if not path.is_dir():
        if path.is_absolute() or folder.startswith((".", "~")) or folder.count("/") > 1:
            raise ArgumentError(
                f"no folder {folder}; give one of save_pretrained, or the name of a model",
                code="not_found",
                path="folder",
            )
        return not _reaches_hub()
    for files in needed or (("config.json",), ("model.safetensors", "model.safetensors.index.json"), _tokenizer_files):
        if not any((path / file).is_file() for file in files):
            raise ArgumentError(
                f"the folder {folder} has no {' or '.join(files)}; save model and tokenizer there",
                code="not_found",
                path="folder",
            )
    return True


def _reaches_hub() -> bool:
    """Whether the hub's host has an address; asked for a model, it would be tried for half a minute."""
    hub = import_library("huggingface_hub", "text")
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(hub.constants.ENDPOINT).hostname, None)
    except OSError:
        return False
    return True


@contextmanager
def _told(folder: str) -> Iterator[None]:
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:  # of files, parsers and the hub: each has classes of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        named = "" if Path(folder).is_dir() else "; there is no such folder, and no model of this name could be fetched"
        raise ArgumentError(f"{folder} cannot be loaded ({reason}){named}", code="unreadable", path="folder") from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    # Its warning about missing weights is given here.
    library = transformers.logging
    before, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.CRITICAL)
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(before)
        if bars:
            library.enable_progress_bar()
