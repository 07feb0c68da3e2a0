"""Students that are each other's teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from limbeck.core import Address, Board, Outputs, Term, resolve
from limbeck.core.addresses import check_name, map_tensors
from limbeck.errors import ArgumentError
from limbeck.losses import KLDivergence
from limbeck.registry import register
from limbeck.teachers._simplex import best_mixture

__all__ = ["Peer", "PeerEnsemble", "mutual_terms"]

_unknown = -100


@register("teacher", "peer")
class Peer:
    """What another student gives, detached: to be a member of an `Ensemble`.

    Args:
        student: its name.

    Raises:
        ArgumentError: if no address can hold the name.

    Recipe: ``models: {peer: {use: mlp, train: together}}``.

    >>> Peer("a")({"a": {"logits": torch.ones(1, 2, requires_grad=True)}})["logits"].requires_grad
    False
    """

    def __init__(self, student: str) -> None:
        self.student = check_name("student", student)

    @property
    def reads(self) -> tuple[Address, ...]:
        return (f"{self.student}.logits",)

    def __call__(self, board: Board) -> Outputs:
        outputs: Outputs = map_tensors(board[self.student], Tensor.detach)
        return outputs


@register("teacher", "peer_ensemble")
class PeerEnsemble(nn.Module):
    r"""The common voice of students that train together, by what each of them makes of the label y.

    .. math::
        \text{naive:}\quad & z = z_k, \quad k = \arg\min_m \mathrm{CE}(z_m, y) \\
        \text{linear:}\quad & z = \sum_m \alpha_m z_m, \quad \alpha = \arg\min_\alpha \mathrm{CE}(z, y)
        \;\text{ with }\; \alpha_m \ge 0, \; \sum_m \alpha_m = 1 \\
        \text{min\_logit:}\quad & z_c = \min_m \, (z_{m,c} - z_{m,y})

    for every row, with the students' logits :math:`z_m`, detached. Where the label is −100, it is their mean. The
    linear combination is found by a barrier method: to 10⁻⁵ for logits within ±100, and never worse than the naive one.

    Every student learns from the labels and from this: a term ``KLDivergence`` with ``teacher="teacher.logits"`` for
    each. The paper's fourth way weighs the students by their error on validation data, and is not here. For weights
    that come from the label softly, or from none, take an `Ensemble` of `Peer`.

    Args:
        students: the names of at least two.
        method: ``"naive"``, ``"linear"`` or ``"min_logit"``.
        target: the address of the label, integers ``[B]`` or ``[B, T]``.

    Raises:
        ArgumentError: if there are fewer than two students, one is named twice, or the method is unknown; when it runs,
            if the target is no class for each row.

    Recipe: ``models: {teacher: {peers: [student, peer], method: min_logit}}``.

    Source: Guo, Wang, Wu, Yu, Liang, Hu & Luo 2020, Online knowledge distillation via collaborative learning,
    doi:10.1109/CVPR42600.2020.01103 (KDCL-Naive, -Linear and -MinLogit).

    >>> board = {"batch": {"target": torch.tensor([0])}}
    >>> board |= {"a": {"logits": torch.tensor([[3.0, 1.0]])}, "b": {"logits": torch.tensor([[0.0, -4.0]])}}
    >>> PeerEnsemble(["a", "b"])(board)["logits"]
    tensor([[ 0., -4.]])
    """

    exclusive: ClassVar = True

    section: ClassVar = "peers"
    section_option: ClassVar = "students"
    may_need_student: ClassVar = True
    learns: ClassVar = False

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The students."""
        return tuple(options["students"])

    co_trained = needs

    def __init__(
        self,
        students: Sequence[str],
        *,
        method: Literal["naive", "linear", "min_logit"] = "min_logit",
        target: Address = "batch.target",
    ) -> None:
        super().__init__()
        _check_students("peer_ensemble", students)
        if method not in ("naive", "linear", "min_logit"):
            raise ArgumentError(
                f"peer_ensemble: method={method!r}; it is 'naive', 'linear' or 'min_logit'", path="method"
            )
        self.students = tuple(students)
        self.method = method
        self.target = target

    @property
    def reads(self) -> tuple[Address, ...]:
        return (*(f"{name}.logits" for name in self.students), self.target)

    def forward(self, board: Board) -> Outputs:
        logits = torch.stack([resolve(board, f"{name}.logits").detach() for name in self.students])
        # Half precision would round the mean before any softmax sees it.
        logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        target = resolve(board, self.target)
        if target.is_floating_point() or target.shape != logits.shape[1:-1]:
            raise ArgumentError(
                f"peer_ensemble: {self.target!r} is {target.dtype} {list(target.shape)}; expected one integer class "
                f"for each of the rows {list(logits.shape[1:-1])} of the logits",
                code="wrong_shape",
                path="target",
            )
        known = target != _unknown
        places = target.where(known, 0).expand(logits.shape[:-1])[..., None]
        margins = logits - logits.gather(-1, places)
        joined = _joined[self.method](logits, margins)
        return {"logits": joined.where(known[..., None], logits.mean(0))}

    def extra_repr(self) -> str:
        return f"students={list(self.students)}, method={self.method!r}"


def mutual_terms(students: Sequence[str], *, temperature: float = 1.0, weight: float = 1.0) -> dict[str, Term]:
    r"""What students that learn from each other need beside their terms on labels.

    .. math:: \frac{w T^2}{N - 1} \sum_{l \ne k} \mathrm{KL}(p_l \,\|\, p_k) \quad \text{for each student k of N}

    with the softened distributions p of all students of the same step, of which :math:`p_l` is detached. The paper has
    T = 1, and updates the students in turns, each from new predictions of the others.

    Args:
        students: the names of at least two.
        temperature: T of the divergences.
        weight: w, at least 0.

    Returns:
        N (N − 1) terms by name: ``a_from_b`` pulls a towards b.

    Raises:
        ArgumentError: if there are fewer than two students, one is named twice, or T or w is out of range.

    Source: Zhang, Xiang, Hospedales & Lu 2018, Deep mutual learning, arXiv:1706.00384.

    >>> terms = mutual_terms(["a", "b", "c"])
    >>> sorted(terms), terms["a_from_b"].weight.item()
    (['a_from_b', 'a_from_c', 'b_from_a', 'b_from_c', 'c_from_a', 'c_from_b'], 0.5)
    """
    _check_students("mutual_terms", students)
    return {
        f"{one}_from_{other}": Term(
            KLDivergence(temperature=temperature),
            {"student": f"{one}.logits", "teacher": f"{other}.logits"},
            weight=weight / (len(students) - 1),
        )
        for one in students
        for other in students
        if other != one
    }


def _check_students(user: str, students: Sequence[str]) -> None:
    for name in students:
        check_name("student", name)
    if len(students) < 2 or len(set(students)) < len(students):
        raise ArgumentError(
            f"{user}: the students are {list(students)}; expected at least two different names",
            code="too_few" if len(students) < 2 else "duplicate",
            path="students",
        )


def _naive(logits: Tensor, margins: Tensor) -> Tensor:
    best = margins.logsumexp(-1).argmin(0)
    return logits.gather(0, best[None, ..., None].expand(1, *logits.shape[1:])).squeeze(0)


def _min_logit(logits: Tensor, margins: Tensor) -> Tensor:
    return margins.amin(0)


def _linear(logits: Tensor, margins: Tensor) -> Tensor:
    return (best_mixture(margins)[..., None] * logits).sum(0)


_joined = {"naive": _naive, "linear": _linear, "min_logit": _min_logit}
