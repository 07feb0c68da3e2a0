"""The two settings: a residual network taught by a wider one, and an encoder taught by a deeper one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from limbeck.models import ResNet
from loss_catalogue.encoder import Encoder
from loss_catalogue.methods import METHODS, Method
from loss_catalogue.transformer_methods import HEADS, LAYERS, TEACHER_LAYERS, TRANSFORMER_METHODS

__all__ = ["SETTINGS", "Setting"]


@dataclass(frozen=True)
class Setting:
    """A student, a teacher, and the methods that are tried between them.

    Args:
        title: one line on both.
        student: makes an untrained one.
        teacher: makes an untrained one.
        student_taps: name -> module path, for what a method may read beside the model's own outputs; a run installs
            those that it needs.
        teacher_taps: the same for the teacher.
        teacher_rate: the teacher's learning rate.
        rates: learning rates of the students; the one that is best for the control serves every method.
        methods: the first is the control, the second plain distillation.
    """

    title: str
    student: Callable[[], nn.Module]
    teacher: Callable[[], nn.Module]
    student_taps: Mapping[str, str]
    teacher_taps: Mapping[str, str]
    teacher_rate: float
    rates: tuple[float, ...]
    methods: tuple[Method, ...]


def _resnet(width: int) -> nn.Module:
    # 2×2 pixels as channels: nothing is lost, and a step takes a third of the time.
    net = ResNet(channels=4, classes=10, size=(14, 14), width=width)
    net.head = nn.Sequential(OrderedDict(pooled=nn.Identity(), linear=net.head))  # type: ignore[assignment]
    return nn.Sequential(OrderedDict(fold=nn.PixelUnshuffle(2), net=net))


_taps = {
    "stem": "net.stem",
    "pooled": "net.head.pooled",
    **{f"stage{number}": f"net.stage{number}" for number in (1, 2, 3)},
    **{f"inner{number}": f"net.stage{number}.0.bn1" for number in (1, 2, 3)},
}

SETTINGS = {
    "resnet": Setting(
        "ResNet of width 8 from one of width 32",
        lambda: _resnet(8),
        lambda: _resnet(32),
        _taps,
        _taps,
        4e-3,
        (5e-3, 1e-2, 2e-2, 4e-2),
        METHODS,
    ),
    "encoder": Setting(
        f"Encoder of {LAYERS} layers from one of {TEACHER_LAYERS}",
        lambda: Encoder(layers=LAYERS, width=32, heads=HEADS),
        lambda: Encoder(layers=TEACHER_LAYERS, width=96, heads=HEADS),
        {},
        {},
        1e-3,
        (2e-3, 4e-3, 8e-3, 1.6e-2),
        TRANSFORMER_METHODS,
    ),
}
