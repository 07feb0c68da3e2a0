"""A network that teaches its own shallower parts, each of which has an exit."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import limbeck.losses  # noqa: F401  # registers them
from limbeck import registry
from limbeck.core import Address, Outputs, Tapped, Term
from limbeck.core.addresses import check_name
from limbeck.errors import ArgumentError, suggest
from limbeck.models._cut import trunk

__all__ = ["EarlyExit", "Exit", "WithExits", "exit_sections", "exit_terms"]

_own_outputs = ("logits", "features")
_squeeze = 4


class Exit(nn.Module):
    """A bottleneck that brings features to the shape of the deepest ones, and a classifier behind it.

    As long as the map is at least 1½ times as high as the deepest, a block of three convolutions (1×1, 3×3 with stride
    2, 1×1, each with batch normalization and ReLU) halves it; if it is not at all, one block without a stride. Channels
    grow by equal factors to those of the deepest. The classifier is the mean over positions and a linear layer.

    Args:
        given: channels, height and width of the features.
        wanted: those of the deepest features.
        classes: number of logits.

    >>> features, logits = Exit((4, 8, 8), (16, 2, 2), 3)(torch.zeros(1, 4, 8, 8))
    >>> features.shape, logits.shape
    (torch.Size([1, 16, 2, 2]), torch.Size([1, 3]))
    """

    def __init__(self, given: tuple[int, int, int], wanted: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        halvings = max(0, round(math.log2(given[1] / wanted[1])))
        blocks = max(1, halvings)
        growth = (wanted[0] / given[0]) ** (1 / blocks)
        widths = [round(given[0] * growth**number) for number in range(blocks)] + [wanted[0]]
        parts = [_block(one, other, 2 if halvings else 1) for one, other in pairwise(widths)]
        height, width = (math.ceil(side / 2**halvings) for side in given[1:])
        if (height, width) != wanted[1:]:
            parts.append(nn.AdaptiveAvgPool2d(wanted[1:]))
        self.bottleneck = nn.Sequential(*parts)
        self.head = nn.Linear(wanted[0], classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = self.bottleneck(features)
        return features, self.head(features.mean((2, 3)))


def _block(inputs: int, outputs: int, stride: int) -> nn.Module:
    inner = max(1, outputs // _squeeze)
    layers: list[nn.Module] = []
    for one, other, kernel, step in ((inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)):
        convolution = nn.Conv2d(one, other, kernel, step, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(other), nn.ReLU()]
    return nn.Sequential(*layers)


class EarlyExit(nn.Module):
    """A network that ends at an exit: images to logits, without the layers behind.

    Args:
        trunk: from images to the features that the exit reads.
        end: the exit.
    """

    def __init__(self, trunk: nn.Module, end: Exit) -> None:
        super().__init__()
        self.trunk = trunk
        self.end = end

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.end(self.trunk(images))[1]
        return logits


class WithExits(nn.Module):
    """A network of images with an exit at some of its modules, to be its own teacher.

    ``forward`` returns ``logits`` and ``features`` of the network itself, its deepest exit, and those of every exit by
    its name, of the same shapes: ``student.exit1.logits``, ``student.exit1.features``. `exit_terms` gives the objective
    of the paper.

    Args:
        model: from images ``[B, C, H, W]`` to logits ``[B, classes]``; it stands at ``model``, and is what is shipped
            when the exits are dropped.
        exits: name of the exit -> path of the module whose output, a map, it reads.
        features: the path of the module that gives the deepest map.
        example: images ``[B, C, H, W]``, from which the exits take their sizes.

    Raises:
        ArgumentError: if there is no exit, a name cannot stand in an address or a path names no module, or one gives no
            map ``[B, C, H, W]``.

    Source: Zhang, Song, Gao, Chen, Bao & Ma 2019, Be your own teacher: Improve the performance of convolutional neural
    networks via self distillation, arXiv:1905.08094.

    >>> from limbeck.models import ResNet
    >>> network = ResNet(channels=1, classes=10, size=(8, 8), width=4)
    >>> student = WithExits(network, {"exit1": "stage1"}, features="stage3", example=torch.zeros(1, 1, 8, 8))
    >>> outputs = student(torch.zeros(2, 1, 8, 8))
    >>> outputs["exit1"]["logits"].shape, outputs["exit1"]["features"].shape == outputs["features"].shape
    (torch.Size([2, 10]), True)
    >>> student.cut("exit1")(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, model: nn.Module, exits: Mapping[str, str], *, features: str, example: Tensor) -> None:
        super().__init__()
        if not exits:
            raise ArgumentError(
                "with_exits: a network needs at least one exit to be its own teacher", code="missing", path="exits"
            )
        for name in exits:
            check_name("exit", name)
            if name in _own_outputs:
                raise ArgumentError(
                    f"with_exits: {name!r} is an output of the network itself; choose another name",
                    code="in_use",
                    path=f"exits.{name}",
                )
        self.exits = dict(exits)
        self.body = Tapped(model, {**self.exits, "features": features})
        found = self._shapes(example)
        wanted, classes = found.pop("features"), found.pop("logits")[0]
        # nn.ModuleDict refuses names such as "keys": every stored name gets a prefix.
        self._ends = nn.ModuleDict({f"_{name}": Exit(shape, wanted, classes) for name, shape in found.items()})

    def _shapes(self, example: Tensor) -> dict[str, tuple[int, int, int]]:
        """Channels, height and width of every map, and of the logits the number of classes."""
        trial = copy.deepcopy(self.body).eval()
        with torch.no_grad():
            outputs = trial(example)
        shapes = {}
        for name in ("logits", "features", *self.exits):
            axes = 2 if name == "logits" else 4
            value = outputs.get(name)
            if not isinstance(value, Tensor) or value.ndim != axes:
                seen = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                expected = "logits [B, classes]" if name == "logits" else "a map [B, C, H, W]"
                raise ArgumentError(
                    f"with_exits: {name!r} reads {seen}; expected {expected}",
                    code="wrong_shape",
                    path={"logits": "model", "features": "features"}.get(name, f"exits.{name}"),
                )
            channels, height, width = (*value.shape[1:], 1, 1)[:3]
            shapes[name] = (channels, height, width)
        return shapes

    @property
    def model(self) -> nn.Module:
        """The network itself."""
        return self.body.model

    def forward(self, images: Tensor) -> Outputs:
        outputs = dict(self.body(images))
        for name in self.exits:
            features, logits = self._ends[f"_{name}"](outputs[name])
            outputs[name] = {"logits": logits, "features": features}
        return outputs

    def cut(self, name: str) -> EarlyExit:
        """A copy of the network that ends at an exit, to be measured and exported.

        Raises:
            ArgumentError: if there is no such exit, or the network's forward depends on values, so that nobody can tell
                what lies behind the exit.
        """
        if name not in self.exits:
            raise ArgumentError(
                f"with_exits: no exit {name!r}.{suggest(name, self.exits)}", code="unknown_name", path="name"
            )
        end = copy.deepcopy(self._ends[f"_{name}"])
        assert isinstance(end, Exit)
        return EarlyExit(trunk(self.model, self.exits[name]), end).train(self.training)


def exit_terms(
    exits: Iterable[str],
    *,
    alpha: float = 0.3,
    features: float = 0.03,
    temperature: float = 3.0,
    student: str = "student",
    where: Address | None = None,
) -> dict[str, Term]:
    r"""The objective of a network that is its own teacher.

    .. math::
        L = \mathrm{CE}(q^C, y) + \sum_i \left[ (1 - \alpha) \, \mathrm{CE}(q^i, y)
        + \alpha T^2 \, \mathrm{KL}(q^C \,\|\, q^i) + \lambda \, \overline{(F_i - F_C)^2} \right]

    over the exits i, with the deepest exit's outputs :math:`q^C` and :math:`F_C` detached. The paper has the sum of
    squares in the place of the mean, and leaves α, λ and T open; the defaults are those of published implementations.

    Args:
        exits: the names given to `WithExits`.
        alpha: α, 0 to 1.
        features: λ, at least 0.
        temperature: T of the divergence.
        student: the student's name.
        where: a mask for the terms that read labels, as in `Term`.

    Returns:
        The terms by name: ``deepest``, and ``<exit>_hard``, ``<exit>_soft`` and ``<exit>_features`` for each exit.

    Raises:
        ArgumentError: if α, λ or T is out of range.

    Source: Zhang, Song, Gao, Chen, Bao & Ma 2019, Be your own teacher: Improve the performance of convolutional neural
    networks via self distillation, arXiv:1905.08094, section 3.

    >>> sorted(exit_terms(["exit1"]))
    ['deepest', 'exit1_features', 'exit1_hard', 'exit1_soft']
    """
    sections = exit_sections(
        exits, alpha=alpha, features=features, temperature=temperature, student=student, where=where
    )
    return {name: _term(**section) for name, section in sections.items()}


def _term(*, loss: Mapping[str, Any], inputs: Mapping[str, Address], weight: float, where: Address | None) -> Term:
    options = {option: value for option, value in loss.items() if option != "use"}
    return Term(registry.lookup("loss", loss["use"])(**options), inputs, weight=weight, where=where)


def exit_sections(
    exits: Iterable[str],
    *,
    alpha: float = 0.3,
    features: float = 0.03,
    temperature: float = 3.0,
    student: str = "student",
    where: Address | None = None,
) -> dict[str, dict[str, Any]]:
    """The terms of `exit_terms` as a recipe writes them: ``{loss, inputs, weight, where}`` by name.

    Args:
        exits, alpha, features, temperature, student, where: as in `exit_terms`.

    Raises:
        ArgumentError: if α is out of range.

    >>> exit_sections(["exit1"])["exit1_hard"]["weight"]
    0.7
    """
    if not 0 <= alpha <= 1:
        raise ArgumentError(f"exit_terms: alpha is {alpha}; expected 0 to 1", path="alpha")
    hard, soft = {"use": "cross_entropy"}, {"use": "kl_divergence", "temperature": temperature}
    hint = {"use": "hint_mse", "project": False}

    def section(loss: Mapping[str, Any], weight: float, where: Address | None, **inputs: Address) -> dict[str, Any]:
        return {"loss": loss, "inputs": inputs, "weight": weight, "where": where}

    terms = {"deepest": section(hard, 1.0, where, student=f"{student}.logits")}
    for name in exits:
        own, maps = f"{student}.{name}.logits", f"{student}.{name}.features"
        terms[f"{name}_hard"] = section(hard, 1 - alpha, where, student=own)
        terms[f"{name}_soft"] = section(soft, alpha, None, student=own, teacher=f"{student}.logits")
        terms[f"{name}_features"] = section(hint, features, None, student=maps, teacher=f"{student}.features")
    return terms
