"""A tiny generator and discriminator of images, their objective as a Distiller, and the same loop by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Distiller, Tapped, Term
from limbeck.teachers import Live

LATENT = 3


class Critic(nn.Module):
    """Images to one logit each, called with real ones, made ones, or both."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 2, stride=2), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(16, 1)
        )

    def forward(self, real: Tensor | None = None, made: Tensor | None = None) -> dict[str, Tensor]:
        given = {"real": real, "made": made}
        return {name: self.net(images).squeeze(1) for name, images in given.items() if images is not None}


def players(seed: int = 0) -> tuple[nn.Module, Critic]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        maker = nn.Sequential(
            nn.Linear(LATENT, 16), nn.Unflatten(1, (4, 2, 2)), nn.BatchNorm2d(4), nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 2, stride=2), nn.Tanh(),
        )  # fmt: skip
        return maker.double(), Critic().double()


class Accepted(nn.Module):
    """−log sigmoid(logit)."""

    def forward(self, student: Tensor) -> Tensor:
        return F.softplus(-student)


class Rejected(nn.Module):
    """−log (1 − sigmoid(logit))."""

    def forward(self, student: Tensor) -> Tensor:
        return F.softplus(student)


def game(seed: int = 0, maker: str = "maker") -> Distiller:
    """Both players as students: the critic reads detached images, and the maker learns from a live critic."""
    model, critic = players(seed)
    students = {
        maker: Tapped(model, inputs="batch.latent", output="images"),
        "critic": Tapped(critic, inputs={"real": "batch.inputs", "made": f"{maker}.images"}, detach_inputs=True),
    }
    terms = {
        "real": Term(Accepted(), {"student": "critic.real"}),
        "made": Term(Rejected(), {"student": "critic.made"}),
        "fool": Term(Accepted(), {"student": "live.made"}),
    }
    return Distiller(students, terms, {"live": Live("critic", inputs={"made": f"{maker}.images"})})


def batches(steps: int, rows: int = 6) -> Iterator[dict[str, Tensor]]:
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        yield {
            "inputs": torch.rand(rows, 1, 4, 4, dtype=torch.float64, generator=generator) * 2 - 1,
            "latent": torch.randn(rows, LATENT, dtype=torch.float64, generator=generator),
            "row": torch.arange(rows) + step * rows,
        }


def critic_loss(maker: nn.Module, critic: Critic, batch: dict[str, Tensor]) -> Tensor:
    real = critic.net(batch["inputs"])
    made = critic.net(maker(batch["latent"]).detach())
    return F.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + F.binary_cross_entropy_with_logits(
        made, torch.zeros_like(made)
    )


def maker_loss(maker: nn.Module, critic: Critic, batch: dict[str, Tensor]) -> Tensor:
    made = critic.net(maker(batch["latent"]))
    return F.binary_cross_entropy_with_logits(made, torch.ones_like(made))


def parameters(modules: Iterable[nn.Module]) -> list[Tensor]:
    return [parameter.detach() for module in modules for parameter in module.parameters()]
