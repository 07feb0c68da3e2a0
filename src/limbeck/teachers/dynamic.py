"""A weight and a temperature for each row, from the student's outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Address, Board, Outputs, resolve, source_of
from limbeck.core.processes import summed
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["Dynamic"]


@register("teacher", "dynamic")
class Dynamic(nn.Module):
    r"""A weight and a temperature for each row, which follow how sure the student is.

    .. math::
        \text{weight}_i = \frac{H(\mathrm{softmax}(z_i))}{\log C}, \qquad \text{certainty}_i = 1 - \text{weight}_i,
        \qquad T_i = \max\Big(T_{low},\; T_0 + \beta \Big(1 - \frac{\omega_i}{\bar\omega}\Big)\Big)

    with the student's logits :math:`z_i`, and the confusion :math:`\omega_i`, which is
    :math:`1 / \max_c \mathrm{softmax}(z_i)_c` by ``"confidence"``, and
    :math:`(1 - \cos(z_i, t_i))^\gamma` with the teacher's logits :math:`t_i` by ``"agreement"``. A row that confuses
    the student gets a weight near 1 and a low temperature, so a sharp teacher; one that it has learned a weight near 0.

    A term takes the weight by ``scale="dynamic.weight"``, a loss between softmaxes the temperature by
    ``inputs={"temperature": "dynamic.temperature"}``, in place of its own. No gradient flows through either.
    ``certainty`` is for a second supervision that is to take over as the student learns.

    The mean :math:`\bar\omega` is that of the optimizer step before, over the rows of all micro-batches and processes,
    so that no row's temperature depends on how a batch is split; in the first step every row has :math:`T_0`. Rows
    whose logits are not finite do not count.

    Args:
        student: the address of the student's logits, ``[B, C]`` or ``[B, T, C]``.
        teacher: that of the teacher's; read by ``"agreement"`` only.
        by: what confusion is: ``"confidence"`` or ``"agreement"``.
        temperature: T₀, a number above 0.
        spread: β, at least 0; 0 gives every row T₀.
        lowest: of all temperatures, above 0 and at most T₀.
        power: γ, above 0.
        where: the mask, in the batch, of the rows that make up the mean; all by default.

    Raises:
        ArgumentError: if a number is out of range, or ``where`` is not in the batch; when it runs, if there are fewer
            than two classes, or the teacher's logits are sparse or of another shape than the student's.

    Recipe: ``models: {certainty: {dynamic: {by: confidence, temperature: 4.0}}}``.

    Source: Li, Lin, Ren, Li, Zhou & Sun 2021, Dynamic knowledge distillation for pre-trained language models,
    arXiv:2109.11295 (the weight, and its complement for a second supervision; logarithms are exact here, where the
    authors' code adds 10⁻⁶). Wen, Lai & Qian 2019, Preparing lessons: improve knowledge distillation with better
    supervision, arXiv:1911.07471 (the temperature: ``"agreement"`` is its FLSW, ``"confidence"`` its CWSM). Chosen
    here: confusion relative to its mean, so that β is a difference of temperatures whatever the batch and the measure;
    that mean of the step before, where the paper has that of the batch; the lower bound.

    >>> dynamic = Dynamic(temperature=4.0)
    >>> outputs = dynamic({"student": {"logits": torch.tensor([[0.0, 0.0], [9.0, 0.0]])}})
    >>> outputs["weight"], outputs["temperature"]
    (tensor([1.0000, 0.0018]), tensor([4., 4.]))
    """

    exclusive: ClassVar = True
    centre: Tensor

    section: ClassVar = "dynamic"
    nested: ClassVar = True
    may_need_student: ClassVar = True
    learns: ClassVar = False

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The models whose logits it reads."""
        addresses = [options["student"], *([options["teacher"]] if options["by"] == "agreement" else [])]
        return tuple(dict.fromkeys(map(source_of, addresses)))

    def __init__(
        self,
        *,
        student: Address = "student.logits",
        teacher: Address = "teacher.logits",
        by: Literal["confidence", "agreement"] = "confidence",
        temperature: float = 4.0,
        spread: float = 1.0,
        lowest: float = 1.0,
        power: float = 1.0,
        where: Address | None = None,
    ) -> None:
        super().__init__()
        if by not in ("confidence", "agreement"):
            raise ArgumentError(f"dynamic: by={by!r}; it is 'confidence' or 'agreement'", path="by")
        if not 0 < lowest <= temperature < math.inf:
            raise ArgumentError(
                f"dynamic: lowest is {lowest} and temperature {temperature}; expected 0 < lowest ≤ temperature",
                path="lowest",
            )
        if not 0 <= spread < math.inf:
            raise ArgumentError(f"dynamic: spread is {spread}; expected a finite number of at least 0", path="spread")
        if not 0 < power < math.inf:
            raise ArgumentError(f"dynamic: power is {power}; expected a finite number above 0", path="power")
        if where is not None and source_of(where) != "batch":
            raise ArgumentError(
                f"dynamic: where={where!r}; the mask is read from the batch, as in 'batch.labelled'",
                path="where",
                code="unsupported",
            )
        self.student, self.teacher = student, teacher
        self.by = by
        self.temperature, self.spread, self.lowest, self.power = temperature, spread, lowest, power
        self.where = where
        self.register_buffer("centre", torch.zeros(()))
        # A sum and a number of rows. Not a buffer: each process has its own, and those of the first are broadcast.
        self._staged = torch.zeros(2)

    @property
    def reads(self) -> tuple[Address, ...]:
        return (self.student, *([self.teacher] if self.by == "agreement" else []), *filter(None, [self.where]))

    def forward(self, board: Board) -> Outputs:
        counts = self.training and torch.is_grad_enabled()
        with torch.no_grad():
            return self._outputs(board, counts)

    def _outputs(self, board: Board, counts: bool) -> Outputs:
        logits = at_least_float32(resolve(board, self.student))
        if logits.shape[-1] < 2:
            raise ArgumentError(
                f"dynamic: {self.student!r} is {list(logits.shape)}; expected at least 2 classes",
                code="wrong_shape",
                path=self.student,
            )
        weight = torch.special.entr(logits.softmax(-1)).sum(-1) / math.log(logits.shape[-1])
        confusion = self._confusion(logits, board)
        if counts:
            self._stage(confusion, board)
        return {"weight": weight, "certainty": 1 - weight, "temperature": self._temperature(confusion)}

    def _confusion(self, logits: Tensor, board: Board) -> Tensor:
        if self.by == "confidence":
            return 1 / logits.softmax(-1).amax(-1)
        teacher = resolve(board, self.teacher)
        if isinstance(teacher, SparseLogits):
            raise ArgumentError(
                f"dynamic: by='agreement' needs all logits, and those of {self.teacher!r} are sparse",
                code="unsupported",
                path="by",
            )
        if teacher.shape != logits.shape:
            raise ArgumentError(
                f"dynamic: {self.student!r} is {list(logits.shape)} and {self.teacher!r} {list(teacher.shape)}; by "
                "agreement they need one shape",
                code="mismatch",
                path="by",
            )
        # Rounding gives a cosine just above 1, and a root of what is below 0 is none.
        return (1 - F.cosine_similarity(logits, at_least_float32(teacher), dim=-1)).clamp(min=0) ** self.power

    def _stage(self, confusion: Tensor, board: Board) -> None:
        mask = confusion.isfinite()
        if self.where is not None:
            chosen = resolve(board, self.where) != 0
            mask = mask & chosen.reshape(chosen.shape + (1,) * (confusion.ndim - chosen.ndim))
        totals = torch.stack([confusion.where(mask, 0).sum(), mask.sum()])
        self._staged = self._staged + totals.to(self._staged.dtype)

    def _temperature(self, confusion: Tensor) -> Tensor:
        relative = (confusion / self.centre).where(self.centre > 0, torch.ones_like(confusion))
        return (self.temperature + self.spread * (1 - relative)).clamp(min=self.lowest)

    def after_step(self, step: int) -> None:
        """Take the mean of this step, of all micro-batches and processes."""
        total, rows = summed(self._staged).unbind()
        self.centre.copy_((total / rows.clamp(min=1)).where(rows > 0, self.centre))

    def follow_step(self, step: int) -> None:
        """Forget what was staged before this optimizer step."""
        self._staged = torch.zeros_like(self._staged)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        centre = self.centre
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # It moves to another device, but a model that is cast to half precision must not round it.
        if not centre.is_meta:
            self.centre = centre.to(self.centre.device)
            self._staged = self._staged.to(self.centre.device)
        return self

    def extra_repr(self) -> str:
        return f"by={self.by!r}, temperature={self.temperature}, spread={self.spread}, lowest={self.lowest}"
