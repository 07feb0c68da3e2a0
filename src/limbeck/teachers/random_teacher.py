"""One of several teachers, drawn anew for every step."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from limbeck.core import Address, Board, Outputs, Teacher
from limbeck.core.addresses import tensors
from limbeck.errors import ArgumentError
from limbeck.registry import register
from limbeck.teachers._members import check_members, shares_of
from limbeck.teachers.map_classes import known_by

__all__ = ["RandomTeacher"]


@register("teacher", "random")
class RandomTeacher(nn.Module):
    r"""Gives at one address the outputs of one member, drawn for each optimizer step; the others are not run.

    .. math:: P(\text{member } m \text{ at step } t) = w_m

    The draw is a function of (seed, step) alone: equal on all processes and in all micro-batches of a step, and again
    after a resume.

    Members may differ in everything but the names and shapes of what the terms read; ``Distiller.prepare`` runs all of
    them and checks that. Under ``torch.compile`` there is one graph for each member, compiled when it is first drawn.

    Args:
        members: name -> teacher.
        weights: name -> weight, at least 0, divided by their sum; equal by default.
        seed: of the draws.

    Raises:
        ArgumentError: if there is no member, a weight is unknown, missing, negative or all are 0, or members know other
            classes; in prepare, if their outputs have other names or shapes.

    Recipe: ``models: {teacher: {random: {a: 3, b: 1}, seed: 0}}``.

    Source: Fukuda, Suzuki, Kurata, Thomas, Cui & Ramabhadran 2017, Efficient knowledge distillation from an ensemble of
    teachers, doi:10.21437/Interspeech.2017-614 (teachers switched from minibatch to minibatch).

    >>> from limbeck.teachers import Frozen
    >>> teacher = RandomTeacher({"a": Frozen(nn.Linear(3, 2)), "b": Frozen(nn.Linear(3, 2))}, seed=1)
    >>> names = []
    >>> for step in range(5):
    ...     teacher.follow_step(step)
    ...     names.append(teacher.drawn)
    >>> names
    ['b', 'b', 'b', 'a', 'b']
    """

    section: ClassVar = "random"
    section_option: ClassVar = "weights"
    learns: ClassVar = False

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The members."""
        return tuple(options["weights"])

    def __init__(
        self, members: Mapping[str, Teacher], weights: Mapping[str, float] | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        check_members("the random teacher", members)
        if len({known_by(member) for member in members.values()}) > 1:
            raise ArgumentError(
                "the members of a random teacher know different classes; one address gives those of all",
                code="mismatch",
                path="members",
            )
        self.members = dict(members)
        self._modules_of_members = nn.ModuleList(m for m in members.values() if isinstance(m, nn.Module))
        self.weights = shares_of("the random teacher", members, weights)
        self.known = known_by(next(iter(members.values())))
        self.seed = seed
        self.drawn = self._draw(0)

    def _draw(self, step: int) -> str:
        # Python promises the same random() for the same seed in every version, and choices() not.
        position = random.Random(f"{self.seed} {step}").random()
        chosen = ""
        for name, weight in self.weights.items():
            if weight > 0 and position >= 0:
                chosen = name
            position -= weight
        return chosen

    @property
    def reads(self) -> tuple[Address, ...]:
        return tuple(dict.fromkeys(address for member in self.members.values() for address in member.reads))

    def forward(self, board: Board) -> Outputs:
        return self.members[self.drawn](board)

    def prepare(self, boards: Sequence[Board]) -> None:
        """Try every member on these boards.

        Raises:
            ArgumentError: if one gives other names or shapes than the first.
        """
        for board in boards:
            shapes_of = {name: _shapes(member(board)) for name, member in self.members.items()}
            (first, expected), *others = shapes_of.items()
            for name, shapes in others:
                if shapes != expected:
                    raise ArgumentError(
                        f"a random teacher needs members with equal outputs: {first!r} gives {expected}, {name!r} "
                        f"gives {shapes}; read others with terms of their own",
                        code="mismatch",
                        path=f"members.{name}",
                    )

    def follow_step(self, step: int) -> None:
        """Draw the member of this step."""
        self.drawn = self._draw(step)

    def extra_repr(self) -> str:
        return f"members={list(self.members)}, seed={self.seed}"


def _shapes(outputs: Outputs) -> dict[str, list[list[int]]]:
    return {name: [list(tensor.shape) for tensor in tensors(value)] for name, value in outputs.items()}
