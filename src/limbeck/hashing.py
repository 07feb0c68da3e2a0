"""Hashes: of tensors, and of addresses to random numbers, which never depend on what was drawn before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["bits", "derive", "draw_below", "hash_tensors", "permutation", "uniform"]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_ORDER = -1


def derive(seed: int, *words: int) -> int:
    """A new seed in 0..2^64-1 for each sequence of words, so that two uses of one seed do not share their draws.

    h = m(seed + g), then h = m(h + g w) for each word w, where m is splitmix64's finaliser, g its increment and all
    sums and products are modulo 2^64.

    >>> derive(0)
    16294208416658607535
    >>> derive(0, 1) == derive(0, 2)
    False

    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", doi:10.1145/2660193.2660195.
    """
    state = _mix(seed + _GOLDEN)
    for word in words:
        state = _mix(state + _GOLDEN * word)
    return state


def bits(seed: int, row: Tensor, view: Tensor, draw: int) -> Tensor:
    """64 hashed bits for each address (seed, row, view, draw): h of `derive`, with the words draw, view and row.

    Args:
        seed: any integer; taken modulo 2^64.
        row: int64, any shape.
        view: int64, broadcasts with row.
        draw: which of the numbers that this row and view need.

    Returns:
        int64 of the broadcast shape, every bit pattern equally likely; integers only, so the same on every platform.

    >>> bits(0, torch.tensor([1, 2]), torch.tensor([0, 0]), 0)
    tensor([3235846975224723415, 8729291162158418770])
    """
    return _followed(derive(seed, draw), view, row)


def uniform(seed: int, row: Tensor, view: Tensor, draw: int) -> Tensor:
    """A number in [0, 1) for each address (seed, row, view, draw): the highest 24 of its `bits`, times 2^-24.

    Args:
        seed: any integer; taken modulo 2^64.
        row: int64, any shape.
        view: int64, broadcasts with row.
        draw: which of the numbers that this row and view need.

    Returns:
        float32 of the broadcast shape, exact multiples of 2^-24.

    >>> uniform(0, torch.tensor([1, 2]), torch.tensor([0, 0]), 0)
    tensor([0.1754, 0.4732])
    """
    return (_shift(bits(seed, row, view, draw), 40)).to(torch.float32) * 2.0**-24


def draw_below(limit: int, count: int, seed: int, step: Tensor) -> Tensor:
    """Numbers in 0..limit-1, a function of (seed, step, place) alone.

    Number k is h mod limit, with h of `derive`, the words step and k, read without its sign.

    Args:
        limit: above 0; far below 2^63, so that no number is favoured.
        count: how many.
        seed: any integer; taken modulo 2^64.
        step: int64, 0-d; the numbers are on its device.

    Returns:
        int64 `[count]`; with repetitions, as draws with replacement.

    >>> draw_below(100, 4, 0, torch.tensor(0)), draw_below(100, 4, 0, torch.tensor(1))
    (tensor([71, 76, 55, 87]), tensor([90, 33, 72, 88]))
    """
    places = torch.arange(count, device=step.device)
    return (_followed(derive(seed), step, places) & ((1 << 63) - 1)) % limit


def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """An order of 0..n-1 that depends on (seed, epoch, n) alone: the argsort of one hashed key per number.

    Returns:
        int64 `[n]`.

    >>> permutation(0, 0, 5)
    tensor([3, 1, 4, 0, 2])
    """
    rows = torch.arange(n)
    return torch.argsort(bits(seed, rows, torch.full_like(rows, epoch), _ORDER), stable=True)


def _mix(state: int) -> int:
    state &= _MASK
    state = (state ^ (state >> 30)) * _FIRST & _MASK
    state = (state ^ (state >> 27)) * _SECOND & _MASK
    return state ^ (state >> 31)


def _followed(state: int, first: Tensor, second: Tensor) -> Tensor:
    """The state of `derive` after two words more, for each of their elements."""
    before = _mix_tensor(first * _signed(_GOLDEN) + _signed(state))
    return _mix_tensor(second * _signed(_GOLDEN) + before)


def _mix_tensor(state: Tensor) -> Tensor:
    state = (state ^ _shift(state, 30)) * _signed(_FIRST)
    state = (state ^ _shift(state, 27)) * _signed(_SECOND)
    return state ^ _shift(state, 31)


def _shift(state: Tensor, places: int) -> Tensor:
    # torch shifts int64 arithmetically: the copies of the sign bit are masked off
    return (state >> places) & ((1 << (64 - places)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, over the names, types, shapes and values of tensors.

    >>> hash_tensors({"a": torch.zeros(1)}) == hash_tensors({"b": torch.zeros(1)})
    False
    """
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {list(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
