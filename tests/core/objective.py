"""One objective with masks, a scale and unequal denominators, as a Distiller and by hand over the whole batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.toys import CE, KL, Relation, Squared, kl_by_hand, make_batch, mlp, rows_of_batch
from limbeck.core import Distiller, Tapped, Term, Weights
from limbeck.teachers import Frozen

ROWS = 24
HIDDEN = {"student": "student.hidden", "teacher": "teacher.hidden"}
# Rows of each micro-batch: those of process 0, then those of process 1.
PARTS = ((0, 5), (5, 7), (7, 13)), ((13, 14), (14, 20), (20, 24))


class Penalty(nn.Module):
    """Constant factors, and a penalty with a gradient of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def forward(self, means, board) -> Weights:
        return Weights(dict.fromkeys(means, 1.5), self.level.square())


def whole_batch() -> dict[str, Tensor]:
    batch = make_batch(ROWS, seed=11)
    batch["target"][8] = -100
    batch["confidence"] = torch.rand(ROWS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    batch["chosen"] = torch.arange(ROWS) % 3 == 0
    # No label at all in the second and third micro-batch of process 0; process 1 sees two chosen rows only.
    batch["admitted"][5:13] = False
    batch["chosen"][14:] = False
    return batch


def micro_batches(rank: int) -> list[dict[str, Tensor]]:
    return [rows_of_batch(whole_batch(), start, stop) for start, stop in PARTS[rank]]


def pointwise() -> Distiller:
    terms = {
        "hard": Term(CE(), weight=0.3, where="batch.admitted"),
        "soft": Term(KL(), weight=0.5),
        "hint": Term(Squared(), HIDDEN, weight=0.2, where="batch.chosen", scale="batch.confidence"),
    }
    teachers = {"teacher": Frozen(mlp(1), {"hidden": "1"})}
    return Distiller(Tapped(mlp(0), {"hidden": "1"}), terms, teachers, balance=Penalty())


def by_hand() -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of the whole batch; gradients by the names of the student's parameters, and of the level."""
    batch, student, teacher = whole_batch(), mlp(0), mlp(1)
    level = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    hidden, expected = student[:2](batch["inputs"]), teacher[:2](batch["inputs"]).detach()
    logits, chosen = student[2](hidden), batch["chosen"]
    labelled = batch["admitted"] & (batch["target"] != -100)
    hard = F.cross_entropy(logits[labelled], batch["target"][labelled])
    soft = kl_by_hand(logits, teacher(batch["inputs"]).detach())
    squared = (hidden[chosen] - expected[chosen]).square().mean(-1)
    hint = (squared * batch["confidence"][chosen]).mean()
    loss = 1.5 * (0.3 * hard + 0.5 * soft + 0.2 * hint) + level.square()
    loss.backward()
    return loss.detach(), {**{name: p.grad for name, p in student.named_parameters()}, "level": level.grad}


def found(distiller: Distiller) -> dict[str, Tensor]:
    """The gradients of a Distiller under the names of `by_hand`."""
    model = distiller.students["student"].model
    level = distiller.balance.level.grad
    return {**{name: p.grad for name, p in model.named_parameters()}, "level": level}


def relational(gather: bool) -> Distiller:
    term = Term(Relation(), where="batch.chosen", gather=gather)
    return Distiller(mlp(0), {"relation": term}, {"teacher": Frozen(mlp(1))})


def relation_by_hand(rows: Tensor) -> dict[str, Tensor]:
    """Gradients of the mean over all pairs of these rows of the whole batch."""
    inputs, student, teacher = whole_batch()["inputs"][rows], mlp(0), mlp(1)
    gram, expected = (model(inputs) @ model(inputs).T for model in (student, teacher))
    squared = (gram - expected.detach()).square()
    loss = (squared.sum() - squared.diagonal().sum()) / (len(inputs) * (len(inputs) - 1))
    loss.backward()
    return {name: p.grad for name, p in student.named_parameters()}
