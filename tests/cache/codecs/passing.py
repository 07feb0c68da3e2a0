"""Values through a codec and back, as a cache of one shard or of several would pass them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from limbeck.cache import Codec
from limbeck.cache.codecs.codec import Encoded


def passed(codec: Codec, values: Tensor, *, first: int = 0, shards: int = 1) -> tuple[Any, Encoded]:
    """What is read of these entries, and what was measured; the sizes must be those that the codec told before."""
    shape = tuple(values.shape[1:])
    codec.check(shape)
    records, heads, own, measured = [], [], [], []
    for number, part in enumerate(values.tensor_split(shards)):
        encoded = codec.encode(part, first)
        sealed = codec.seal(encoded.rows, shape)
        assert sealed.rows.dtype == np.uint8
        assert sealed.rows.shape == (len(part), codec.record_bytes(shape))
        assert len(sealed.head) == codec.head_bytes(shape)
        records.append(sealed.rows)
        heads.append(np.frombuffer(sealed.head, np.uint8))
        own += [number] * len(part)
        measured.append(sealed._replace(error=max(sealed.error, encoded.error), mass=encoded.mass))
        first += len(part)
    found = codec.decode(np.concatenate(records), np.stack(heads), np.array(own), shape)
    return found, max(measured, key=lambda one: one.error)
