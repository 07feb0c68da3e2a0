"""Federated averaging: in each round every client trains on its own rows, from the merged weights of the last round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from limbeck.registry import register
from limbeck.runs import RunProtocol, StageSpec
from limbeck.tasks import TrainingRows


@register("protocol", "federated_averaging")
class FederatedAveraging(RunProtocol):
    """The student is the mean of clients that each see a part of the labelled rows, weighted by their rows.

    Args:
        shares: the numbers of rows of the clients.
        rounds: of training and merging.
    """

    def __init__(self, *, shares: tuple[int, ...], rounds: int = 2) -> None:
        self.shares = shares
        self.rounds = rounds

    def stages(self, default: Sequence[StageSpec]) -> Sequence[StageSpec]:
        return [self._merged(stage) if stage.role == "student" else stage for stage in default]

    def _merged(self, stage: StageSpec) -> StageSpec:
        merged = stage
        for number in range(self.rounds):
            initial = {"student": merged} if number else {}
            clients = tuple(
                replace(client, name=f"round{number}_{client.name}", initial=initial) for client in self._clients(stage)
            )
            merged = StageSpec(
                name=f"round{number}", seed=stage.seed, role="student", kind="merge", needs=clients, weights=self.shares
            )
        return merged

    def _clients(self, stage: StageSpec) -> Sequence[StageSpec]:
        assert stage.training is not None
        rows = stage.training.rows.rows
        labelled = rows.labelled.nonzero().flatten()
        clients = []
        for number, part in enumerate(torch.split(labelled, list(self.shares))):
            training = replace(
                stage.training,
                rows=TrainingRows(rows.subset(part), labelled_only=True),
                train=replace(stage.training.train, batch_size=len(part)),
            )
            clients.append(replace(stage, name=f"client{number}", training=training))
        return clients
