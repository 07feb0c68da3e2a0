"""A memory bank: embeddings of all training rows, kept between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, final

import torch
from torch import Tensor, distributed, nn

from limbeck.errors import ArgumentError
from limbeck.losses._unit import unit_vectors

__all__ = ["MemoryBank"]

_STATE = ("student", "teacher", "label", "seen", "step")
_UNKNOWN = -100


class _Batch(NamedTuple):
    row: Tensor
    label: Tensor
    student: Tensor
    teacher: Tensor


@final
class MemoryBank(nn.Module):
    """Embeddings of student and teacher of length 1, from the last step that trained on each row.

    `stage` collects the rows of a forward, and `commit` writes them: m ← u(μ m + (1 − μ) v) with u the scaling to
    length 1, or m ← v for a row not seen before. With several processes, `commit` gathers the rows of all processes, so
    the bank is the same on each. If a row is staged several times in a step, the last one counts: by process, then by
    order.

    The bank is part of the state, but neither a parameter nor a buffer: DistributedDataParallel would broadcast buffers
    of this size before every forward.

    Args:
        rows: the number of rows of the training set; None to grow as rows are seen.
        features: the size of an embedding.
        momentum: μ, at least 0 and below 1.

    Raises:
        ArgumentError: if an argument is out of range.

    Example:
        >>> import torch
        >>> bank = MemoryBank(rows=None, features=2, momentum=0.5)
        >>> embeddings = torch.eye(2)
        >>> bank.stage(torch.tensor([2, 0]), None, embeddings, embeddings, mask=torch.tensor([True, True]))
        >>> bank.commit(step=1)
        >>> bank.student.tolist(), bank.seen.tolist()
        ([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]], [True, False, True])
    """

    max_staged: int = 1024
    student: Tensor
    teacher: Tensor
    label: Tensor
    seen: Tensor
    step: Tensor

    def __init__(self, *, rows: int | None, features: int, momentum: float) -> None:
        super().__init__()
        if rows is not None and rows < 1:
            raise ArgumentError(
                f"memory bank: rows is {rows}, expected at least 1, or None to grow with the rows seen", path="rows"
            )
        if features < 1:
            raise ArgumentError(f"memory bank: features is {features}, expected at least 1", path="features")
        if not 0.0 <= momentum < 1.0:
            raise ArgumentError(
                f"memory bank: momentum is {momentum}, expected at least 0 and below 1", path="momentum"
            )
        self.rows = rows
        self.features = features
        self.momentum = momentum
        self.student, self.teacher = torch.zeros(0, features), torch.zeros(0, features)
        self.label, self.seen = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
        self.step = torch.zeros((), dtype=torch.int64)
        self._staged: tuple[Any, ...] | None = None
        self._grow(rows or 0)

    def stage(self, row: Tensor, label: Tensor | None, student: Tensor, teacher: Tensor, mask: Tensor) -> None:
        """Collect the admitted rows of a forward for the next `commit`.

        Args:
            row: int64 `[B]`, indices in the training set.
            label: int64 `[B]`, the rows' classes, −100 where unknown; None if all are unknown.
            student: embeddings `[B, D]` of length 1.
            teacher: embeddings `[B, D]` of length 1.
            mask: boolean `[B]`, the admitted rows.

        Raises:
            ArgumentError: if more than 1024 forwards wait for a `commit`.
        """
        label = torch.full_like(row, _UNKNOWN) if label is None else label
        batch = (_Batch(row, label, student.detach(), teacher.detach()), mask)
        if not torch.compiler.is_compiling():
            self._check_staged()
        # A linked list: under compile, the length of a Python list is part of the graph.
        self._staged = (batch, self._staged)

    def _check_staged(self) -> None:
        if sum(1 for _ in self._batches()) >= self.max_staged:
            raise ArgumentError(
                f"memory bank: {self.max_staged} forwards in training mode and no optimizer step; call "
                f"Distiller.attach(optimizer), or Distiller.after_step() after each step",
                code="not_ready",
            )

    def _batches(self) -> Iterator[tuple[_Batch, Tensor]]:
        """The staged batches, the latest first."""
        staged = self._staged
        while staged is not None:
            batch, staged = staged
            yield batch

    def commit(self, step: int) -> None:
        """Write the staged rows of all processes; every process must call it.

        Args:
            step: the number of optimizer steps so far.

        Raises:
            ArgumentError: if a row is negative, or beyond the given number of rows.
        """
        self.step.fill_(step)
        batches = [_Batch(*(part[mask] for part in batch)) for batch, mask in self._batches()]
        self._staged = None
        empty = _Batch(self.label[:0], self.label[:0], self.student[:0], self.teacher[:0])
        staged = _Batch(*(_gather_processes(torch.cat(parts)) for parts in zip(empty, *reversed(batches), strict=True)))
        if len(staged.row):
            self._write(staged)

    def _write(self, staged: _Batch) -> None:
        first, last = int(staged.row.min()), int(staged.row.max())
        if first < 0 or (self.rows is not None and last >= self.rows):
            raise ArgumentError(
                f"memory bank: the batch has the row {first if first < 0 else last}, expected 0 to "
                f"{'any' if self.rows is None else self.rows - 1}; read batch.row, which counts the training rows",
                path="row",
            )
        if last >= len(self.seen):
            self._grow(last + 1)
        rows, inverse = torch.unique(staged.row, return_inverse=True)
        order = torch.arange(len(inverse), device=inverse.device)
        latest = torch.zeros_like(rows).scatter_reduce_(0, inverse, order, "amax")
        for bank, embeddings in ((self.student, staged.student), (self.teacher, staged.teacher)):
            value = embeddings[latest].to(bank.dtype)
            mixed = unit_vectors(self.momentum * bank[rows] + (1 - self.momentum) * value)
            bank[rows] = mixed.where(self.seen[rows, None], value)
        self.label[rows] = staged.label[latest]
        self.seen[rows] = True

    def _grow(self, rows: int) -> None:
        added = rows - len(self.seen)
        self.student = torch.cat([self.student, self.student.new_zeros(added, self.features)])
        self.teacher = torch.cat([self.teacher, self.teacher.new_zeros(added, self.features)])
        self.label = torch.cat([self.label, self.label.new_full((added,), _UNKNOWN)])
        self.seen = torch.cat([self.seen, self.seen.new_zeros(added)])

    def extra_repr(self) -> str:
        return f"rows={self.rows}, features={self.features}, momentum={self.momentum}"

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in _STATE:
            tensor: Tensor = getattr(self, name)
            moved = fn(tensor)
            # Move it to another device, but keep its precision when a model is cast to half precision.
            setattr(self, name, tensor.to(moved.device) if moved.dtype in (torch.float16, torch.bfloat16) else moved)
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name in _STATE:
            destination[prefix + name] = getattr(self, name)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        keys = [prefix + name for name in _STATE]
        if strict:
            unexpected_keys += [key for key in state_dict if key.startswith(prefix) and key not in keys]
        missing = [key for key in keys if key not in state_dict]
        if missing:
            missing_keys += missing
            return
        shape = list(state_dict[f"{prefix}student"].shape)
        if shape[1:] != [self.features] or self.rows not in (None, shape[0]):
            error_msgs.append(
                f"size mismatch for {prefix}student: the state has shape {shape}, the bank was made for "
                f"[{'any' if self.rows is None else self.rows}, {self.features}]"
            )
            return
        for name in _STATE:
            here: Tensor = getattr(self, name)
            setattr(self, name, state_dict[prefix + name].detach().to(here, copy=True))
        self._staged = None


def _gather_processes(values: Tensor) -> Tensor:
    """The rows of all processes, concatenated; their numbers may differ."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return values
    lengths = [torch.zeros((), dtype=torch.int64, device=values.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(lengths, torch.tensor(len(values), device=values.device))
    counts = [int(length) for length in lengths]
    with_full_batches = torch.cat([values, values.new_zeros(max(counts) - len(values), *values.shape[1:])])
    parts = [torch.empty_like(with_full_batches) for _ in counts]
    distributed.all_gather(parts, with_full_batches)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
