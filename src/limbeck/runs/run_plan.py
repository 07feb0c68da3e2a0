"""The stages of a run as a graph, and the protocols that add to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from limbeck.errors import ArgumentError, RecipeError
from limbeck.recipes.entry_spec import EntrySpec
from limbeck.runs.plan import TrainingSpec

__all__ = ["ROLES", "RunPlan", "RunProtocol", "StageKind", "StageSpec"]

ROLES = ("student", "control", "compressed")
"""The roles whose results have a meaning of their own in a run; those of all others are baselines."""

StageKind: TypeAlias = Literal["train", "merge", "select", "compress"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageSpec:
    """One stage of a run: what it makes, and of which other stages.

    Args:
        name: its name in events and checkpoints; with the seed it is unique in a run.
        seed: of its random draws.
        role: what its result stands for when the run is evaluated: ``student``, ``control``, ``compressed``, or a name
            of a baseline, a further student that the student is compared with. The last stage of a role is measured;
            the earlier ones are what it needs.
        kind: ``train`` trains the learners of ``training``; ``merge`` takes the weighted mean of the weights of
            ``needs``; ``select`` takes the one of ``needs`` that is best on validation rows; ``compress`` applies the
            ``compressor`` to the student of the one stage in ``needs``.
        training: what is trained, for the kind ``train``.
        like: the stage whose precision it computes in where its own settings leave that open.
        needs: the stages that come before.
        initial: the stage whose weights a learner begins from, by the learner's name; the others begin from initial
            weights.
        weights: of the stages in ``needs``, for the kind ``merge``; None for equal ones.
        compressor: for the kind ``compress``.

    Raises:
        ArgumentError: if a stage that trains has no training, or another one has.
    """

    name: str
    seed: int
    role: str
    kind: StageKind = "train"
    training: TrainingSpec | None = None
    like: StageSpec | None = None
    needs: tuple[StageSpec, ...] = ()
    initial: Mapping[str, StageSpec] = field(default_factory=dict)
    weights: Sequence[float] | None = None
    compressor: EntrySpec | None = None

    def __post_init__(self) -> None:
        if (self.kind == "train") != (self.training is not None):
            expected = "a training" if self.kind == "train" else "no training"
            raise ArgumentError(
                f"stage {self.name!r} of kind {self.kind!r}: expected {expected}",
                code="missing" if self.training is None else "conflict",
                path="training",
            )
        if self.kind != "train" and not self.needs:
            raise ArgumentError(
                f"stage {self.name!r} of kind {self.kind!r}: expected stages in needs, got none",
                code="missing",
                path="needs",
            )

    @property
    def upstream(self) -> tuple[StageSpec, ...]:
        """All stages that come before, each once."""
        return tuple(dict.fromkeys((*self.needs, *self.initial.values())))


class RunPlan:
    """The stages of a run, in an order in which each comes after all that it needs.

    Args:
        last: the last stage of each role and seed.

    Raises:
        RecipeError: if two stages have one name and seed, or two last stages one role and seed.
    """

    def __init__(self, last: Sequence[StageSpec]) -> None:
        self.last: dict[tuple[str, int], StageSpec] = {}
        self.stages: list[StageSpec] = []
        names: dict[tuple[str, int], StageSpec] = {}
        for stage in last:
            if self.last.setdefault((stage.role, stage.seed), stage) is not stage:
                raise RecipeError.at(
                    "protocol",
                    f"two last stages have the role {stage.role!r} and the seed {stage.seed}; let one of "
                    "them need the other",
                    code="duplicate",
                )
            for one in _in_order(stage, set(map(id, self.stages))):
                if names.setdefault((one.name, one.seed), one) is not one:
                    raise RecipeError.at(
                        "protocol",
                        f"two stages have the name {one.name!r} and the seed {one.seed}; rename one",
                        code="duplicate",
                    )
                self.stages.append(one)

    def of_role(self, role: str) -> list[StageSpec]:
        """The last stages of a role, in the order of the seeds."""
        return [stage for (name, _), stage in self.last.items() if name == role]

    @property
    def baselines(self) -> tuple[str, ...]:
        """The roles of further models that the student is compared with."""
        return tuple(dict.fromkeys(role for role, _ in self.last if role not in ROLES))


def _in_order(stage: StageSpec, done: set[int]) -> Iterator[StageSpec]:
    """The stage after all that it needs, without those that are done."""
    if id(stage) in done:
        return
    for one in stage.upstream:
        yield from _in_order(one, done)
    done.add(id(stage))
    yield stage


class RunProtocol(ABC):
    """Adds stages to a run: generations, federated rounds, streams of tasks. Registered under the kind ``protocol``."""

    @abstractmethod
    def stages(self, default: Sequence[StageSpec]) -> Sequence[StageSpec]:
        """The last stage of each role and seed.

        Args:
            default: these stages of a run without a protocol.
        """
