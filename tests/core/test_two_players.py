"""A generator and a discriminator in one Distiller, against loops written by hand."""

from __future__ import annotations

import copy

import torch

from core.players import batches, critic_loss, game, maker_loss, parameters, players
from limbeck.core import Distiller


def models(distiller: Distiller) -> list[torch.nn.Module]:
    return [student.model for student in distiller.students.values()]


def optimizers(modules: list[torch.nn.Module]) -> list[torch.optim.Optimizer]:
    return [torch.optim.Adam(module.parameters(), lr=0.01, betas=(0.5, 0.999)) for module in modules]


def test_each_player_gets_the_gradient_of_its_own_loss():
    distiller = game()
    (batch,) = batches(1)
    distiller(batch).loss().backward()
    maker, critic = players()
    expected = [
        *torch.autograd.grad(maker_loss(maker, critic, batch), list(maker.parameters())),
        *torch.autograd.grad(critic_loss(maker, critic, batch), list(critic.parameters())),
    ]
    found = [parameter.grad for module in models(distiller) for parameter in module.parameters()]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_both_step_at_once():
    distiller = game().prepare(list(batches(1)))
    stepping = optimizers(models(distiller))
    distiller.attach(*stepping)
    maker, critic = players()
    by_hand = optimizers([maker, critic])
    for batch in batches(20):
        distiller(batch).loss().backward()
        losses = maker_loss(maker, critic, batch), critic_loss(maker, critic, batch)
        for loss, module in zip(losses, (maker, critic), strict=True):
            for parameter, gradient in zip(
                module.parameters(), torch.autograd.grad(loss, list(module.parameters())), strict=True
            ):
                parameter.grad = gradient
        for optimizer in (*stepping, *by_hand):
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(parameters(models(distiller)), parameters([maker, critic]), rtol=1e-6, atol=1e-6)
    assert distiller.step == 20


def test_they_take_turns_with_a_forward_for_each_as_in_the_paper():
    """The critic steps first; the maker learns from the critic that has stepped."""
    distiller = game().prepare(list(batches(1)))
    of_maker, of_critic = optimizers(models(distiller))
    distiller.attach(of_critic, of_maker)
    maker, critic = players()
    maker_by_hand, critic_by_hand = optimizers([maker, critic])
    for batch in batches(20):
        for optimizer, by_hand, loss in (
            (of_critic, critic_by_hand, critic_loss),
            (of_maker, maker_by_hand, maker_loss),
        ):
            distiller(batch).loss().backward()
            optimizer.step()
            distiller.zero_grad()
            loss(maker, critic, batch).backward()
            by_hand.step()
            maker.zero_grad()
            critic.zero_grad()
    torch.testing.assert_close(parameters(models(distiller)), parameters([maker, critic]), rtol=1e-6, atol=1e-6)
    assert distiller.step == 20
    start = parameters(players())
    assert all(not torch.equal(now, before) for now, before in zip(parameters([maker, critic]), start, strict=True))


def test_a_copy_plays_its_own_game():
    distiller = game()
    twin = copy.deepcopy(distiller)
    (batch,) = batches(1)
    for parameter in twin.students["critic"].parameters():
        parameter.data.zero_()
    twin(batch).terms["fool"].sum.backward()
    assert all((parameter.grad == 0).all() for parameter in twin.students["maker"].parameters())
    distiller(batch).terms["fool"].sum.backward()
    assert any((parameter.grad != 0).any() for parameter in distiller.students["maker"].parameters())
