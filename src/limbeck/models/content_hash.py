"""A hash of what an object holds: the same in every process, for objects that were made alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["content_hash"]

_plain = (type(None), bool, int, float, complex, str, bytes, bytearray)
_deepest = 200


def content_hash(value: Any) -> str | None:
    """SHA-256, in hexadecimal, over the types and values that an object consists of; None where it cannot be known.

    Arrays count with their type, shape and entries, functions with their names, other objects with the state that they
    give for copying. Nothing is written or restored. It cannot be known of functions without a name of their own, of
    generators, open files and the like, and of objects that hold themselves.

    >>> content_hash({"a": np.arange(3)}) == content_hash({"a": np.arange(3)})
    True
    >>> content_hash(lambda: 1) is None
    True
    """
    digest = hashlib.sha256()
    try:
        _feed(value, digest.update, ())
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError):
        return None
    return digest.hexdigest()


def _feed(value: Any, take: Callable[[bytes], None], above: tuple[int, ...]) -> None:
    if id(value) in above or len(above) > _deepest:
        raise ValueError("an object that holds itself")
    kind = type(value)
    feed = partial(_feed, take=take, above=(*above, id(value)))
    take(f"<{kind.__module__}.{kind.__qualname__}>".encode())
    if isinstance(value, _plain):
        take(repr(value).encode())
    elif isinstance(value, np.ndarray):
        _feed_array(value, take, feed)
    elif isinstance(value, torch.Tensor):
        _feed_array(value.detach().cpu().numpy(), take, feed)
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            feed(key)
            feed(value[key])
    elif isinstance(value, list | tuple):
        take(str(len(value)).encode())
        for entry in value:
            feed(entry)
    elif isinstance(value, set | frozenset):
        take(repr(sorted(value, key=repr)).encode())
    elif isinstance(value, type | FunctionType | BuiltinFunctionType | ModuleType):
        _feed_name(value, take)
    else:
        _feed_state(value, feed)


def _feed_array(array: Any, take: Callable[[bytes], None], feed: Callable[[Any], None]) -> None:
    take(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.names is not None:
        # Between the fields may lie bytes that nobody has set.
        for name in array.dtype.names:
            take(name.encode())
            feed(np.ascontiguousarray(array[name]))
    elif array.dtype.hasobject:
        for entry in array.ravel().tolist():
            feed(entry)
    else:
        take(np.ascontiguousarray(array).tobytes())


def _feed_name(value: Any, take: Callable[[bytes], None]) -> None:
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    if "<" in name:
        raise ValueError(f"{name} has no name of its own")
    take(f"{getattr(value, '__module__', '')}.{name}".encode())


def _feed_state(value: Any, feed: Callable[[Any], None]) -> None:
    """What `copy` would make another one from."""
    parts = value.__reduce_ex__(2)
    if isinstance(parts, str):
        feed(parts)
        return
    # The last two are iterators over the entries of lists and mappings.
    feed(tuple(parts[:3]))
    for entries in parts[3:5]:
        feed(None if entries is None else list(entries))
