"""What a loader puts into a batch, so that cached teachers find it there."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from torch import Tensor

from limbeck.cache.manifest import Field
from limbeck.cache.reader import CacheReader
from limbeck.errors import ArgumentError, suggest
from limbeck.functional import SparseLogits

__all__ = ["CachedRows", "as_kept", "placed"]


def as_kept(fields: Mapping[str, Field], outputs: Mapping[str, Tensor]) -> dict[str, Tensor | SparseLogits]:
    """What a cache of these fields gives back of these outputs; nothing is written.

    >>> import torch
    >>> from limbeck.cache import fields_of
    >>> outputs = {"logits": torch.tensor([[1.0, 2.0], [0.1, 3.0]])}
    >>> as_kept(fields_of(outputs, {"logits": {"use": "float16"}}), outputs)["logits"]
    tensor([[1.0000, 2.0000],
            [0.1000, 3.0000]])
    """
    return {name: _as_kept(field, outputs[name]) for name, field in fields.items()}


def _as_kept(field: Field, values: Tensor) -> Tensor | SparseLogits:
    shape, codec = field
    sealed = codec.seal(codec.encode(values, 0).rows, shape)
    heads = np.frombuffer(sealed.head, np.uint8).reshape(1, -1)
    return codec.decode(sealed.rows, heads, np.zeros(len(values), np.int64), shape)


def placed(values: Tensor, real: Tensor) -> Tensor:
    """Outputs of entries (`[n, …]`) at the places of a batch where these stand (bool `[B, …]`, n times true).

    >>> import torch
    >>> placed(torch.tensor([[1.0], [2.0]]), torch.tensor([[True, False], [True, False]])).tolist()
    [[[1.0], [0.0]], [[2.0], [0.0]]]
    """
    found = values.new_zeros(*real.shape, *values.shape[1:])
    found[real] = values
    return found


class CachedRows:
    """Reads the rows of a batch from the cache of each teacher; a loader lays what it returns at ``batch.cached``.

    The loader takes its views modulo ``views``, for the augmentation as well as here: the student must see the pixels
    that the teacher saw. Reading in the loader and not in a forward keeps compiled models whole and uses the workers.

    Args:
        stores: name of the teacher -> its cache; all of the same rows and views.
        fields: name of the teacher -> the outputs that are read; all of them by default.

    Raises:
        ArgumentError: if the caches are of different rows or views, or a name is not there.

    Example::

        cached = CachedRows({"teacher": CacheReader(folder)})
        batch["view"] = batch["view"] % cached.views
        batch["cached"] = cached(batch["row"], batch["view"])
    """

    def __init__(self, stores: Mapping[str, CacheReader], fields: Mapping[str, Collection[str]] | None = None) -> None:
        sizes = {name: (store.manifest.rows, store.manifest.views) for name, store in stores.items()}
        if len(set(sizes.values())) != 1:
            raise ArgumentError(
                f"caches hold different (rows, views): {sizes}; expected one cache or more, of one kind",
                code="mismatch",
                path="caches",
            )
        for name in fields or {}:
            if name not in stores:
                raise ArgumentError.at("fields", f"no cache for {name!r}.{suggest(name, stores)}", code="unknown_name")
        self.stores = dict(stores)
        self.fields = {name: None if fields is None else fields.get(name) for name in stores}
        self.rows, self.views = next(iter(sizes.values()))

    def __call__(self, row: Tensor, view: Tensor) -> dict[str, dict[str, Tensor | SparseLogits]]:
        """The outputs of every teacher.

        Args:
            row: int64 `[B]`.
            view: int64 `[B]`, 0 to views - 1.

        Returns:
            name of the teacher -> name of the output -> values, as `CacheReader.read` gives them.
        """
        return {name: store.read(row, view, self.fields[name]) for name, store in self.stores.items()}
