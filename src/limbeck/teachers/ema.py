"""A student's own past as its teacher: the moving average of its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from limbeck.core import Address, Board, Outputs, Tapped
from limbeck.core.addresses import Inputs, map_tensors
from limbeck.core.processes import of_first
from limbeck.errors import ArgumentError, suggest
from limbeck.registry import register
from limbeck.teachers.frozen import Frozen

__all__ = ["EMA"]

_half = (torch.float16, torch.bfloat16)


@register("teacher", "ema")
class EMA(nn.Module):
    r"""The mean teacher: an exponential moving average of a student's weights, as they are after every optimizer step.

    .. math::
        \theta'_t = \alpha_t \theta'_{t-1} + (1 - \alpha_t) \theta_t, \qquad
        \alpha_t = \min\left(\alpha,\; 1 - \frac{1}{t + 1}\right)

    with the student's weights :math:`\theta_t` after step t, and :math:`\theta'_0 = \theta_0`. While the second bound
    holds (``warm_up``, from the authors' code) the shadow is the plain mean of all weights so far; without it,
    :math:`\alpha_t = \alpha`, and the initial weights stay in it for about :math:`1 / (1 - \alpha)` steps.

    The shadow has the student's taps and its outputs. It runs in eval mode without gradients; the paper's teacher has
    dropout, and normalizes by the batch. Running statistics and other floating buffers are averaged like weights, and
    are those of the first process, as `DistributedDataParallel` keeps the student's; integer buffers are copied.

    The shadow stands in ``state_dict()``, but neither in ``parameters()`` nor in ``buffers()``: no optimizer gets it,
    and no process broadcasts it before a forward. It is averaged and runs in at least float32, as a step in bfloat16
    would round to none.

    Args:
        student: the name of the student that it follows, in the Distiller that this teacher is given to.
        decay: α, at least 0 and below 1.
        warm_up: take the plain mean first.
        inputs: the address that it is fed with; the student's own by default.

    Raises:
        ArgumentError: if α is out of range; when a Distiller is built, if it has no such student, or if this teacher
            follows the student of another Distiller already.

    Recipe: ``models: {teacher: {ema: student, decay: 0.999}}``.

    Source: Tarvainen & Valpola 2017, Mean teachers are better role models: Weight-averaged consistency targets improve
    semi-supervised deep learning results, arXiv:1703.01780.

    >>> from limbeck.core import Distiller, Term
    >>> from limbeck.losses import KLDivergence
    >>> student = nn.Linear(3, 2)
    >>> distiller = Distiller(student, {"consistency": Term(KLDivergence())}, {"teacher": EMA("student", decay=0.9)})
    >>> before = student.weight.detach().clone()
    >>> _ = nn.init.zeros_(student.weight)
    >>> distiller.after_step()
    >>> bool(torch.allclose(distiller.teachers["teacher"].model.model.weight, before / 2))
    True
    """

    section: ClassVar = "ema"
    section_option: ClassVar = "student"
    may_need_student: ClassVar = True
    is_model: ClassVar = True

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The student."""
        return (options["student"],)

    @classmethod
    def follows(cls, options: Mapping[str, Any]) -> str:
        """The student."""
        followed: str = options["student"]
        return followed

    def __init__(
        self, student: str = "student", *, decay: float = 0.999, warm_up: bool = True, inputs: Inputs | None = None
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ArgumentError(f"ema: decay={decay}; it must be at least 0 and below 1", path="decay")
        self.student = student
        self.decay = decay
        self.warm_up = warm_up
        self._inputs = inputs
        # In a tuple: the student belongs to the Distiller.
        self._followed: tuple[Tapped, ...] = ()
        self._shadow: Frozen | None = None
        self._begun = False

    def bind_students(self, students: Mapping[str, Tapped]) -> None:
        """Take a copy of the student that this teacher will follow."""
        if self.student not in students:
            raise ArgumentError(
                f"ema: no student {self.student!r} to follow.{suggest(self.student, students)}",
                code="unknown_name",
                path="student",
            )
        if self._followed:
            raise ArgumentError(
                f"this EMA({self.student!r}) follows the student of a Distiller already; make a new one for another",
                code="in_use",
                path="student",
            )
        student = students[self.student]
        inputs = student.inputs if self._inputs is None else self._inputs
        shadow = copy.deepcopy(student)
        for tensor in (*shadow.parameters(), *shadow.buffers()):
            if tensor.dtype in _half:
                tensor.data = tensor.data.float()
        self._followed = (student,)
        self._shadow = Frozen(shadow, inputs=inputs, preprocess=_Widened())

    @property
    def model(self) -> Tapped:
        """The shadow.

        Raises:
            ArgumentError: if this teacher belongs to no Distiller yet.
        """
        return self._bound.model

    @property
    def _bound(self) -> Frozen:
        if self._shadow is None:
            raise ArgumentError(
                f"EMA({self.student!r}) follows no student yet; give it to a Distiller as a teacher",
                code="not_ready",
                path="student",
            )
        return self._shadow

    @property
    def reads(self) -> tuple[Address, ...]:
        return () if self._shadow is None else self._shadow.reads

    def forward(self, board: Board) -> Outputs:
        shadow = self._bound
        if not self._begun:
            self._start()
        outputs: Outputs = shadow(board)
        return outputs

    @torch.no_grad()
    def _start(self) -> None:
        # Until the first step the shadow is the student, whose weights may have been loaded, or taken over from another
        # process, since it was copied.
        for own, value in zip(self._weights(), self._current(), strict=True):
            own.copy_(value)

    def after_step(self, step: int) -> None:
        """Move the average towards the student's weights."""
        self._begun = True
        decay = min(self.decay, 1 - 1 / (step + 1)) if self.warm_up else self.decay
        get_ema_multi_avg_fn(decay)(self._weights(), self._current(), 0)  # type: ignore[no-untyped-call]
        buffers = list(self.model.buffers())
        for own, value in zip(buffers, self._followed[0].buffers(), strict=True):
            # Equal values stay as they are: a mask may hold infinities.
            mean = torch.where(own == value, own, own.lerp(value.to(own), 1 - decay)) if _averages(own) else value
            own.copy_(mean)
        of_first(buffers)

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.model.parameters()]

    def _current(self) -> list[Tensor]:
        current = [parameter.detach() for parameter in self._followed[0].parameters()]
        whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in current]
        return [p.float() if p.dtype in _half else p for p in whole]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(lambda tensor: _kept_wide(fn(tensor), tensor), recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if self._shadow is not None:
            self.model.model.state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)

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
        own = {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}
        try:
            missing, unexpected = self.model.model.load_state_dict(own, strict=False)
        except RuntimeError as error:
            error_msgs.append(str(error))
            return
        missing_keys += [prefix + name for name in missing]
        if strict:
            unexpected_keys += [prefix + name for name in unexpected]
        self._begun = not missing

    def extra_repr(self) -> str:
        return f"student={self.student!r}, decay={self.decay}, warm_up={self.warm_up}"


class _Widened(nn.Module):
    """Inputs in at least float32: the shadow stays there when the student is cast to less."""

    def forward(self, inputs: Any) -> Any:
        return map_tensors(inputs, lambda tensor: tensor.float() if tensor.dtype in _half else tensor)


def _averages(buffer: Tensor) -> bool:
    return buffer.is_floating_point() or buffer.is_complex()


def _kept_wide(moved: Tensor, tensor: Tensor) -> Tensor:
    return tensor.to(moved.device) if moved.dtype in _half else moved
