"""Optimizers that take turns, through the loop, against the same loop by hand."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from core.players import batches, critic_loss, game, maker_loss, parameters, players
from limbeck.errors import ArgumentError
from limbeck.training.loop import Job
from limbeck.training.settings import Settings
from training.toys import Place, StoppedError, settings, stopping

STEPS = 12


class Games:
    """The batches of the toy game, by step."""

    reads_student = False

    def iterate(self, start_step: int, stop_step: int) -> Iterator[dict[str, Any]]:
        return itertools.islice(batches(stop_step), start_step, None)


def job(maker: Settings, critic: Settings) -> Job:
    return Job(
        stage="student",
        seed=0,
        distiller=game(maker="student"),
        batches=Games(),
        steps_per_epoch=STEPS // 2,
        settings=maker,
        validate=None,
        own={"critic": critic},
    )


def by_hand(maker_turn: tuple[int, int], critic_turn: tuple[int, int], clip: float | None) -> list[torch.Tensor]:
    """Adam for each player; one that rests in a step keeps its state."""
    models = players()
    losses = (maker_loss, critic_loss)
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4) for model in models]
    for step, batch in enumerate(batches(STEPS)):
        gradients = [
            torch.autograd.grad(loss(*models, batch), list(model.parameters()))
            for loss, model in zip(losses, models, strict=True)
        ]
        stepping = []
        for (every, offset), model, optimizer, found in zip(
            (maker_turn, critic_turn), models, optimizers, gradients, strict=True
        ):
            if (step - offset) % every == 0:
                for parameter, gradient in zip(model.parameters(), found, strict=True):
                    parameter.grad = gradient
                stepping.append(optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_([p for model in models for p in model.parameters()], clip)
        for optimizer in stepping:
            optimizer.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
    return parameters(models)


def train(turn: tuple[int, int] = (1, 0), **changes: Any) -> Settings:
    options = {"optimizer": "adam", "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0}
    return settings(turn=turn[0], turn_offset=turn[1], **{**options, **changes})


@pytest.mark.parametrize(
    ("maker", "critic", "clip"),
    [
        ((1, 0), (1, 0), None),
        ((2, 1), (2, 0), None),
        ((3, 2), (1, 0), None),
        ((3, 2), (1, 0), 0.1),
        ((2, 0), (3, 1), None),
    ],
)
def test_the_loop_written_by_hand(tmp_path, maker, critic, clip):
    playing = job(train(maker, clip=clip), train(critic))
    Place(tmp_path).fit(playing)
    found = parameters(student.model for student in playing.distiller.students.values())
    torch.testing.assert_close(found, by_hand(maker, critic, clip), rtol=1e-6, atol=1e-6)
    # Once for every step of the loop, also for those in which one of them, or both, have rested.
    assert playing.distiller.step == STEPS


@pytest.mark.parametrize("step", [1, 4, 7])
def test_turns_go_on_after_a_resume(tmp_path, step):
    def playing() -> Job:
        return job(train((2, 1), checkpoint_every=0), train((2, 0)))

    expected = Place(tmp_path / "whole").fit(playing())
    broken = Place(tmp_path / "broken")
    with pytest.raises(StoppedError):
        broken.fit(stopping(playing(), step))
    torch.testing.assert_close(broken.fit(playing()), expected, rtol=0, atol=0)


def test_an_optimizer_that_rests_keeps_its_state(tmp_path):
    """A weight of 0 would not do: Adam moves on by its momentum."""
    playing = job(train((STEPS, 0)), train((1, 0)))
    one_step = dataclasses.replace(job(train(), train()), steps_per_epoch=1, settings=train(epochs=1))
    for place, one in (("resting", playing), ("once", one_step)):
        Place(tmp_path / place).fit(one)
    found, expected = (parameters([one.distiller.students["student"].model]) for one in (playing, one_step))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turn": 0}, "turn is 0; it must be at least 1"),
        ({"turn_offset": 1}, "turn_offset is 1; it must be from 0 to below turn=1"),
        ({"turn": 3, "turn_offset": 3}, "turn_offset is 3; it must be from 0 to below turn=3"),
        ({"turn": 3, "turn_offset": -1}, "turn_offset is -1; it must be from 0 to below turn=3"),
    ],
)
def test_turns_that_cannot_be_right_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Settings(**options)
