"""One part of the objective: a loss, where it reads, how much it weighs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from limbeck.core._classes import Classes
from limbeck.core._masks import align, fit, replace
from limbeck.core._preserve_state import preserve_buffers
from limbeck.core._row_masks import RowMask, check_mask, row_mask
from limbeck.core._shapes import check_quantities, check_rows
from limbeck.core.addresses import (
    Address,
    Board,
    Outputs,
    check_name,
    map_rows,
    map_tensors,
    parameter_path,
    resolve,
    row_count,
    rows_of,
    source_of,
    tensors,
)
from limbeck.core.binding import bind, mask_is_optional
from limbeck.core.processes import gathered, summed
from limbeck.core.schedules import Constant, Schedule, as_schedule
from limbeck.errors import ArgumentError, suggest
from limbeck.functional import SparseLogits
from limbeck.registry import Entry

__all__ = ["Mean", "Term"]

_mask_wanted = (
    "give the term a mask of the values' shape (where='batch.…'), so that they can be counted without a forward"
)


class Mean(NamedTuple):
    """A mean that is not divided yet, so that parts of a batch can be added up: a sum and a count, both 0-d."""

    sum: Tensor
    count: Tensor  # type: ignore[assignment]  # it hides tuple.count, which nobody asks of a mean

    @property
    def value(self) -> Tensor:
        """sum / count, and 0 where nothing was counted."""
        return self.sum / self.count.clamp(min=1)


class Term(nn.Module):
    r"""Binds the arguments of a loss to addresses on the board, and reduces what it returns.

    .. math:: \text{sum} = \sum_i m_i \, s_i \, \ell_i, \qquad \text{count} = \sum_i m_i

    with the unreduced loss :math:`\ell`, the mask :math:`m` and the factor :math:`s` (``scale``). The mask is ``where``
    and, for a loss whose ``target`` is read from the batch, the known labels: ``batch.labelled`` if the batch has it,
    ``target != -100`` for integers, and what is not NaN for floating numbers (a loss with one value for all numbers of
    a row counts the row if all are known). Rows that are masked are replaced before the loss, so that a
    NaN there reaches neither value nor gradient. Autocast is off inside, and floating inputs are at least float32.

    Args:
        loss: a module whose ``forward`` takes tensors by name and returns ``[B]`` or ``[B, T]``; or one with
            ``relational = True``, which takes a ``mask`` ``[B]`` too and returns a 0-d value over pairs of rows; if its
            ``mask`` has the default None, it gets None where all rows count. A loss that differentiates inside its
            forward names in ``differentiates`` the arguments with respect to which it does: these it gets as they stand
            on the board (a masked, cast or detached copy is not in the graph of the others), and nothing is detached by
            default. One that takes `limbeck.functional.SparseLogits` names in ``sparse`` the arguments for which it
            does; it is refused for all others. ``exclusive`` says whether classes exclude one another: True for a loss
            between softmaxes, False for one whose target has a number for each class, ``[B, C]``, and is known as a
            whole.
        inputs: argument name -> address. ``student``, ``teacher`` and ``target`` have the default addresses
            ``student.<main>``, ``teacher.<main>`` and ``batch.target``; ``student_logits`` and ``teacher_logits`` those
            of their names; ``row`` has ``batch.row``. ``student.parameters.<path>`` names a parameter, which no mask
            touches; a loss that reads nothing else returns ``[1]`` and counts once.
        weight: a number, or a schedule of the optimizer step.
        where: the address of a mask ``[B]`` or ``[B, T]`` in the batch, boolean or of 0 and 1; it sets the count. With
            ``batch.labelled`` every row of a batch that has no ``labelled`` counts.
        scale: the address of factors for the unreduced loss, or of a mask made of outputs; it does not change the
            count.
        detach: the arguments through which no gradient flows; by default those called ``teacher…``, or none if the
            loss differentiates.
        classes: those that a teacher knows who does not know all: the loss gets only these logits of what the arguments
            called ``student…`` read, so that the student's softmax runs over them.
        gather: for a relational loss, take pairs over the rows of all processes.
        main: the output that ``student`` and ``teacher`` read by default: the main one of the task.

    Raises:
        ArgumentError: if an argument is unknown or has no address, or the weight is negative or not finite.

    >>> from limbeck.losses import CrossEntropy
    >>> board = {"batch": {"target": torch.tensor([1, -100])}, "student": {"logits": torch.zeros(2, 2)}}
    >>> mean = Term(CrossEntropy())(board)
    >>> round(mean.sum.item(), 4), mean.count.item()
    (0.6931, 1.0)
    """

    weight: Tensor

    def __init__(
        self,
        loss: nn.Module,
        inputs: Mapping[str, Address] | None = None,
        *,
        weight: Annotated[float | Schedule, Entry("schedule")] = 1.0,
        where: Address | None = None,
        scale: Address | None = None,
        detach: Collection[str] | None = None,
        classes: Sequence[int] | None = None,
        gather: bool = False,
        main: str = "logits",
    ) -> None:
        super().__init__()
        self.loss = loss
        self.relational = bool(getattr(loss, "relational", False))
        self._mask_is_optional = self.relational and mask_is_optional(loss)
        self._each_class = getattr(loss, "exclusive", None) is False
        self.inputs = bind(loss, inputs or {}, check_name("output", main))
        self.schedule = as_schedule(weight)
        self.where = where
        self.scale = scale
        self.differentiates = frozenset(getattr(loss, "differentiates", ()))
        if detach is None:
            detach = [] if self.differentiates else [a for a in self.inputs if a.startswith("teacher")]
        self.detach = frozenset(detach)
        self.gather = gather
        self._of_models = frozenset(a for a, address in self.inputs.items() if parameter_path(address) is not None)
        self.classes = None if classes is None else Classes(classes)
        # Lengths of the axes behind the rows, as `prepare` saw them; of those behind the mask, as `count` took them.
        self._seen: set[tuple[int, ...]] = set()
        self._preparing = False
        self._counted: tuple[int, tuple[int, ...]] | None = None
        self._check()
        # Not in the state: it follows from the step, and a changed recipe must not get its old weights back.
        self.register_buffer("weight", torch.tensor(self._weight_at(0), dtype=torch.float32), persistent=False)

    def _check(self) -> None:
        name = type(self.loss).__name__
        if self.where is not None and source_of(self.where) != "batch":
            raise ArgumentError(
                f"where={self.where!r}: the mask of a term is read from the batch, as in 'batch.labelled', so that its "
                f"count is known without a forward; give a mask made of outputs as a factor: scale={self.where!r}",
                path="where",
                code="unsupported",
            )
        for argument in self.detach - self.inputs.keys():
            raise ArgumentError.at(
                "detach", f"{name} has no argument {argument!r}.{suggest(argument, self.inputs)}", code="unknown_name"
            )
        for argument in self.detach & self.differentiates:
            raise ArgumentError.at(
                "detach", f"{name} differentiates with respect to {argument!r}; leave it out", code="conflict"
            )
        if self._of_models and (self.relational or (self._only_parameters and (self.where or self.scale))):
            read = sorted(self.inputs[argument] for argument in self._of_models)
            raise ArgumentError(
                f"{name} reads {read}: parameters have no rows to pair, to choose (where) or to weigh",
                code="unsupported",
                path="inputs",
            )
        if self.scale is not None and self.relational:
            raise ArgumentError(
                f"scale={self.scale!r} weighs rows; {name} is relational and gives one number for all",
                code="conflict",
                path="scale",
            )
        if self.gather and not self.relational:
            raise ArgumentError(
                f"gather=True is for relational losses; {name} gives one value for each row",
                code="conflict",
                path="gather",
            )

    @property
    def _only_parameters(self) -> bool:
        return len(self._of_models) == len(self.inputs)

    def _weight_at(self, step: int) -> float:
        weight = float(self.schedule(step))
        if not math.isfinite(weight) or weight < 0:
            raise ArgumentError(
                f"the weight of a term is {weight} at step {step}; it must be finite and at least 0", path="weight"
            )
        return weight

    @property
    def is_constant(self) -> bool:
        """Whether the weight is the same at every step."""
        return isinstance(self.schedule, Constant)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Everything that this term reads."""
        return (*self.inputs.values(), *filter(None, (self.where, self.scale)))

    def follow_step(self, step: int) -> None:
        """Follow the schedule of the weight to this optimizer step."""
        self.weight.fill_(self._weight_at(step))

    def prepare(self, boards: Sequence[Board]) -> None:
        """Check every address on real boards, let the loss size itself, and learn the shape of what it returns."""
        samples = [self._read(board) for board in boards]
        for board, sample in zip(boards, samples, strict=True):
            check_quantities(type(self.loss).__name__, sample, self.inputs)
            if self.where is not None:
                check_mask(board["batch"], self.where)
        prepare = getattr(self.loss, "prepare", None)
        if prepare is not None:
            masks = [self._mask(board["batch"]).of() for board in boards]
            prepare(samples, **({"masks": masks} if "masks" in inspect.signature(prepare).parameters else {}))
        self._preparing, self._counted = True, None
        self._seen.clear()
        try:
            with preserve_buffers(self):
                for board in boards:
                    self.alone(board)
        finally:
            self._preparing = False

    def alone(self, board: Board) -> Mean:
        """The mean of this process's rows, also where `gather` asks for all: one process may prepare alone."""
        return self._reduced(board, self._read(board), gather=False)

    def count(self, batch: Outputs) -> Tensor:
        """What `forward` will count for this batch, without a forward; 0-d.

        Where the mask has fewer axes than the unreduced loss, the others are taken to be as long as in `prepare`;
        `forward` refuses a batch where they are not.

        Raises:
            ArgumentError: if that cannot be known: before `prepare`, or where the axes that the mask lacks have had
                several lengths.
        """
        if self._only_parameters:
            return torch.ones((), device=self.weight.device)
        mask = self._mask(batch)
        if self.relational:
            chosen = mask.of(1)
            rows = torch.tensor(rows_of(batch)) if chosen is None else chosen.sum()
            rows = rows.to(self.weight.device)
            return ((summed(rows) if self.gather else rows) >= 2).float()
        if not self._seen:
            raise ArgumentError(
                "counts need the shape of every loss; call Distiller.prepare with a batch first", code="not_ready"
            )
        chosen = mask.of(1 + max(map(len, self._seen)))
        axes = 1 if chosen is None else chosen.ndim
        behind = {lengths[axes - 1 :] for lengths in self._seen}
        if len(behind) > 1:
            raise ArgumentError(
                f"{type(self.loss).__name__} gives values on axes of several lengths, {sorted(behind)}; {_mask_wanted}",
                code="unsupported",
            )
        self._counted = axes, behind.pop()
        rows = torch.tensor(float(rows_of(batch))) if chosen is None else chosen.sum().float()
        return rows * math.prod(self._counted[1])

    def counted(self, batch: Outputs, axes: int) -> Tensor | None:
        """The mask of what the term counts of a batch, for a loss of so many axes; None if it counts everything."""
        return self._mask(batch).of(axes)

    def forward(self, board: Board) -> Mean:
        return self._reduced(board, self._read(board), self.gather)

    def _reduced(self, board: Board, values: Mapping[str, Any], gather: bool) -> Mean:
        mask = self._mask(board["batch"])
        device = next(tensors(values)).device.type
        if torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return self._relation(values, mask.of(1), gather) if self.relational else self._sum(board, values, mask)
        return self._relation(values, mask.of(1), gather) if self.relational else self._sum(board, values, mask)

    def _sum(self, board: Board, values: Mapping[str, Any], row_mask: RowMask) -> Mean:
        unreduced = self._unreduced(board["batch"], values, row_mask.of())
        mask = row_mask.of(unreduced.ndim)
        if self.scale is not None:
            unreduced = unreduced * self._factor(resolve(board, self.scale), unreduced, mask)
        if mask is None:
            return Mean(unreduced.sum(), unreduced.new_full((), unreduced.numel()))
        mask = fit("mask", mask, unreduced)
        if mask.shape != unreduced.shape:
            mask = mask.expand_as(unreduced)
        return Mean(unreduced.where(mask, 0).sum(), mask.sum(dtype=unreduced.dtype))

    def _read(self, board: Board) -> dict[str, Any]:
        values = {}
        for argument, address in self.inputs.items():
            value = resolve(board, address)
            if isinstance(value, SparseLogits):
                self._check_sparse(argument)
            if argument not in self.differentiates:
                value = map_tensors(value, _at_least_float32, argument in self.detach)
            if self.classes is not None and argument.startswith("student"):
                value = self.classes(value)
            values[argument] = value
        return values

    def _check_sparse(self, argument: str) -> None:
        if argument not in getattr(self.loss, "sparse", ()):
            raise ArgumentError(
                f"{type(self.loss).__name__} reads sparse logits at {self.inputs[argument]!r}, and its argument "
                f"{argument!r} needs all of them; take kl_divergence, or a codec that keeps all logits, as "
                "float16 does",
                code="unsupported",
                path=argument,
            )

    def _mask(self, batch: Outputs) -> RowMask:
        return row_mask(batch, self.inputs.get("target"), self.where, each_class=self._each_class)

    def _unreduced(self, batch: Outputs, values: Mapping[str, Any], mask: Tensor | None) -> Tensor:
        if mask is not None:
            untouched = self.differentiates | self._of_models
            values = {
                argument: value if argument in untouched else map_rows(value, replace, mask)
                for argument, value in values.items()
            }
        unreduced: Tensor = self.loss(**values)
        if not unreduced.ndim:
            raise ArgumentError(
                f"{type(self.loss).__name__} returned one number; a loss returns one value a row (Term reduces): one "
                "over the last axis needs inputs [rows, D] (for [rows] take squared_error), one between rows sets "
                "relational = True",
                code="wrong_shape",
            )
        if not self._only_parameters:
            check_rows(type(self.loss).__name__, unreduced, batch, values)
        if self._preparing:
            self._seen.add(tuple(unreduced.shape[1:]))
        elif self._counted is not None and unreduced.shape[self._counted[0] :] != self._counted[1]:
            raise ArgumentError(
                f"{type(self.loss).__name__} gives values of shape {list(unreduced.shape)}, but prepare saw, and "
                f"counts assumed, axes of the lengths {list(self._counted[1])} behind the mask; {_mask_wanted}",
                code="wrong_shape",
            )
        return unreduced

    def _factor(self, scale: Tensor, unreduced: Tensor, mask: Tensor | None) -> Tensor:
        factor = fit("scale", _at_least_float32(scale, True), unreduced)
        return factor if mask is None else factor.where(align(mask, unreduced), 0)

    def _relation(self, values: Mapping[str, Any], mask: Tensor | None, gather: bool) -> Mean:
        rows = row_count(values) or 0
        if mask is None and not gather and self._mask_is_optional and rows >= 2:
            value = self._one_number(values, None)
            return Mean(value, torch.ones_like(value))
        if mask is None:
            mask = torch.ones(rows, dtype=torch.bool, device=next(tensors(values)).device)
        if gather:
            values, mask = gathered(values, mask)
        enough = mask.sum() >= 2
        # A loss may divide by its number of pairs: without a pair, no row may carry a gradient.
        mask = mask & enough
        values = {argument: map_rows(value, replace, mask) for argument, value in values.items()}
        value = self._one_number(values, mask)
        return Mean(value.where(enough, 0), enough.to(value.dtype))

    def _one_number(self, values: Mapping[str, Any], mask: Tensor | None) -> Tensor:
        value: Tensor = self.loss(**values, mask=mask)
        if value.ndim:
            raise ArgumentError(
                f"{type(self.loss).__name__} is relational and returned {list(value.shape)}; it returns one number",
                code="wrong_shape",
            )
        return value

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        weight = self.weight
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # It moves to another device, but a model that is cast to half precision must not round it.
        if not weight.is_meta:
            self.weight = weight.to(self.weight.device)
        return self


def _at_least_float32(tensor: Tensor, detach: bool) -> Tensor:
    if detach:
        tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
