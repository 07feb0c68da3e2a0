"""Several teachers combined into one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from limbeck.core import Address, Board, Outputs, Teacher, resolve
from limbeck.errors import ArgumentError
from limbeck.registry import register
from limbeck.teachers._members import check_members, shares_of, whole_logits
from limbeck.teachers._unify import linked, unified_logits, unified_probabilities
from limbeck.teachers._weighing import by_confidence, by_entropy
from limbeck.teachers.map_classes import Known, known_by

__all__ = ["Ensemble"]

_reserved_outputs = ("logits", "weights")
_least_weight = 1e-6  # Of a member that alone may know a class.
_half = (torch.float16, torch.bfloat16)


@register("teacher", "ensemble")
class Ensemble(nn.Module):
    r"""The weighted mean of the members' probabilities or logits.

    .. math::
        \text{probabilities:}\quad z = T \log \sum_m w_m \, \mathrm{softmax}(z_m / T)
        \qquad \text{logits:}\quad z = \sum_m w_m z_m

    with :math:`\sum_m w_m = 1`. In the first case ``softmax(z / T)`` is the mean of the softened probabilities, so the
    terms that read it must have the same temperature; the second is their geometric mean and has none.

    The weights are fixed numbers, or ``"learned"``: :math:`w = \mathrm{softmax}(s)` with parameters s that begin at 0.
    Terms detach what they read as ``teacher…``, so s learns only from a term that reads the ensemble otherwise, best
    from the labels: ``Term(CrossEntropy(), {"student": "teacher.logits"})``. Or they differ from row to row,

    .. math:: w_m = \frac{1}{M - 1} \left(1 - \frac{\exp c_m}{\sum_n \exp c_n}\right)

    with the member's cross-entropy with the label as its cost c (``"confidence"``; equal weights where the label is
    −100), or its entropy (``"entropy"``, without labels); both in nats at temperature 1.

    Members may differ in architecture, in what they read, and in their classes (`MapClasses`). If some know only a part
    of the classes, the ensemble's distribution q is the one of which each member's is a condition, as nearly as can be:
    it minimises :math:`\sum_m w_m \mathrm{KL}(p_m \,\|\, q \mid L_m)` over the classes :math:`L_m` that the member
    knows, or the weighted squared distance of the logits up to a shift of each member. With all classes known to all
    these are the means above. If all together know only some, ``known`` names them, as in `MapClasses`.

    The output holds ``logits`` ``[*, C]``, every member's own outputs under its name (``teacher.a.logits``), and unless
    the weights are fixed, ``weights`` by name (``scale="teacher.weights.a"`` weighs a term that reads features of a).

    Args:
        members: name -> teacher.
        weights: name -> weight, at least 0, divided by their sum; or ``"learned"``, ``"confidence"``, ``"entropy"``;
            equal by default.
        mean: of what: ``"probabilities"`` or ``"logits"``.
        temperature: T of the mean of probabilities.
        target: the address of the label, for ``"confidence"``.

    Raises:
        ArgumentError: if there is no member, a weight is unknown, missing, negative or all are 0, T is not above 0, or
            members that know some of the classes have none in common that would join them; when it runs, if their
            logits differ in shape.

    Recipe: ``models: {teacher: {ensemble: {a: 1, b: 2}, mean: logits}}``.

    Source: Hansen & Salamon 1990, Neural network ensembles, doi:10.1109/34.58871; Hinton, Vinyals & Dean 2015,
    Distilling the knowledge in a neural network, arXiv:1503.02531 (arithmetic and geometric mean, section 1); Zhang,
    Chen & Wang 2022, Confidence-aware multi-teacher knowledge distillation, arXiv:2201.00007; Kwon, Na, Lee & Kim 2020,
    Adaptive knowledge distillation based on entropy, doi:10.1109/ICASSP40776.2020.9054698; Vongkulbhisal,
    Vinayavekhin & Visentini-Scarzanella 2019, Unifying heterogeneous classifiers with distillation, arXiv:1904.06062.

    >>> from limbeck.teachers import Frozen
    >>> ensemble = Ensemble({"a": Frozen(nn.Linear(3, 2)), "b": Frozen(nn.Linear(3, 2))}, weights={"a": 3, "b": 1})
    >>> ensemble({"batch": {"inputs": torch.zeros(4, 3)}})["logits"].shape
    torch.Size([4, 2])
    """

    _log_shares: Tensor
    _mask: Tensor
    _columns: Tensor

    def __init__(
        self,
        members: Mapping[str, Teacher],
        weights: Mapping[str, float] | Literal["learned", "confidence", "entropy"] | None = None,
        *,
        mean: Literal["probabilities", "logits"] = "probabilities",
        temperature: float = 1.0,
        target: Address = "batch.target",
    ) -> None:
        super().__init__()
        check_members("the ensemble", members, _reserved_outputs)
        _check(mean, temperature)
        self.members = dict(members)
        self._modules_of_members = nn.ModuleList(m for m in members.values() if isinstance(m, nn.Module))
        self.mean = mean
        self.temperature = temperature
        self.target = target
        self.weighing = weights if isinstance(weights, str) else "fixed"
        if self.weighing not in ("fixed", "learned", "confidence", "entropy"):
            raise ArgumentError(
                f"weights={weights!r}; they are numbers, 'learned', 'confidence' or 'entropy'", path="weights"
            )
        self.weights = shares_of("the ensemble", members, None if isinstance(weights, str) else weights)
        # A member of weight 0 changes nothing, whatever its outputs.
        self._weighted = [name for name, weight in self.weights.items() if weight > 0]
        shares = torch.tensor([self.weights[name] for name in self._weighted], dtype=torch.float64)
        self.register_buffer("_log_shares", shares.log(), persistent=False)
        self.scores = nn.Parameter(torch.zeros(len(members))) if self.weighing == "learned" else None
        self._join_classes([known_by(members[name]) for name in self._weighted])

    def _join_classes(self, known: Sequence[Known | None]) -> None:
        """Which columns of the common logits each member fills; buffers of no length if all members know all."""
        parts = [part for part in known if part is not None]
        self.known: Known | None = None
        mask, columns = torch.zeros(0, 0, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)
        if parts:
            total = _total(parts)
            classes = [range(total) if part is None else part.classes for part in known]
            union = sorted(set().union(*classes))
            if not linked([set(one) for one in classes]):
                classes_of = dict(zip(self._weighted, map(list, classes), strict=True))
                raise ArgumentError(
                    f"the members know the classes {classes_of}: without a common one, those of one member cannot "
                    "be compared with those of another; give each member a term of its own, with classes=…",
                    code="mismatch",
                    path="members",
                )
            mask = torch.tensor([[column in one for column in union] for one in classes])
            columns = torch.full((total,), -1).index_put((torch.tensor(union),), torch.arange(len(union)))
            self.known = Known(tuple(union), total) if len(union) < total else None
        self._counts = mask.sum(-1).tolist()
        self.register_buffer("_mask", mask, persistent=False)
        self.register_buffer("_columns", columns, persistent=False)

    @property
    def exclusive(self) -> bool | None:
        """Whether it averages or weighs softmaxes; None if any logits will do."""
        return True if self.mean == "probabilities" or self.weighing in ("confidence", "entropy") else None

    @property
    def reads(self) -> tuple[Address, ...]:
        own = (self.target,) if self.weighing == "confidence" else ()
        read = [address for member in self.members.values() for address in member.reads]
        return tuple(dict.fromkeys((*read, *own)))

    def forward(self, board: Board) -> Outputs:
        outputs: dict[str, Any] = {name: member(board) for name, member in self.members.items()}
        logits = self._stacked({n: whole_logits(f"the ensemble, of {n!r},", outputs[n]) for n in self._weighted})
        log_weights = self._log_weights(logits, board)
        if self.weighing != "fixed":
            outputs["weights"] = dict(zip(self._weighted, log_weights.exp(), strict=True))
        return {"logits": self._combined(logits, log_weights), **outputs}

    def _stacked(self, logits: Mapping[str, Tensor]) -> Tensor:
        """[M, *, C]; −∞ for what a member does not know."""
        # Half precision would round the mean before any softmax sees it.
        logits = {name: z.float() if z.dtype in _half else z for name, z in logits.items()}
        if self._mask.numel():
            logits = {
                name: _fill_classes(name, z, known, count)
                for (name, z), known, count in zip(logits.items(), self._mask, self._counts, strict=True)
            }
        shapes = {name: list(z.shape) for name, z in logits.items()}
        if len({tuple(shape) for shape in shapes.values()}) > 1:
            raise ArgumentError(
                f"the members of an ensemble give logits of unequal shapes: {shapes}", code="mismatch", path="members"
            )
        return torch.stack(list(logits.values()))

    def _log_weights(self, logits: Tensor, board: Board) -> Tensor:
        """[M] if they are the same for all rows, else [M, *]."""
        if self.scores is not None:
            return self.scores.to(logits.dtype).log_softmax(0)
        if self.weighing == "fixed":
            return self._log_shares.to(logits.dtype)
        log_p = logits.detach().log_softmax(-1)
        if self.weighing == "entropy":
            return by_entropy(log_p).log()
        target = resolve(board, self.target)
        if self._mask.numel():
            # A label that no member knows gives all members the same weight.
            target = self._columns[target.clamp(min=0)].where(target >= 0, -100)
            target = target.where(target >= 0, -100)
        return by_confidence(log_p, target).log()

    def _combined(self, logits: Tensor, log_weights: Tensor) -> Tensor:
        per_row = log_weights.reshape(log_weights.shape + (1,) * (logits.ndim - 1 - log_weights.ndim))
        if not self._mask.numel():
            if self.mean == "logits":
                return (per_row[..., None].exp() * logits).sum(0)
            softened = torch.log_softmax(logits / self.temperature, dim=-1)
            return self.temperature * (softened + per_row[..., None]).logsumexp(0)
        weights = per_row.exp().clamp(min=_least_weight).expand(logits.shape[:-1])
        weights = weights / weights.sum(0)
        if self.mean == "logits":
            return unified_logits(logits.where(logits > -torch.inf, 0), self._mask, weights)
        softened = torch.log_softmax(logits / self.temperature, dim=-1)
        return self.temperature * unified_probabilities(softened, self._mask, weights)


def _fill_classes(name: str, logits: Tensor, known: Tensor, count: int) -> Tensor:
    """The logits [*, K] of the K known among the C classes, as [*, C]."""
    if logits.shape[-1] != count:
        raise ArgumentError(
            f"the member {name!r} gives logits {list(logits.shape)}; it is to know {count} classes",
            code="mismatch",
            path=f"members.{name}",
        )
    spread = logits.new_full((*logits.shape[:-1], len(known)), -torch.inf)
    return spread.masked_scatter(known.expand_as(spread), logits)


def _total(parts: Sequence[Known]) -> int:
    totals = {part.total for part in parts}
    if len(totals) > 1:
        raise ArgumentError(
            f"the members are mapped to {sorted(totals)} classes; expected the student's, for all",
            code="mismatch",
            path="members",
        )
    return totals.pop()


def _check(mean: str, temperature: float) -> None:
    if mean not in ("probabilities", "logits"):
        raise ArgumentError(f"mean={mean!r}; it is 'probabilities' or 'logits'", path="mean")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ArgumentError(f"temperature={temperature}; it must be a finite number above 0", path="temperature")
