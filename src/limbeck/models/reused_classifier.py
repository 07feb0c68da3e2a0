"""A student that ends in its teacher's classifier."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core import Tapped
from limbeck.errors import ArgumentError
from limbeck.models._cut import rest, trunk
from limbeck.models.sharing import keep_frozen_

__all__ = ["ReusedClassifier"]


class ReusedClassifier(nn.Module):
    r"""The student of SimKD: its own encoder, a projector, and the teacher's classifier, frozen.

    .. math:: L = \overline{\left(f_T(x) - P(f_S(x))\right)^2}

    is all that it learns from: the feature map in front of the teacher's classifier. A tap of ``projector`` names
    :math:`P(f_S)`, and with a tap of ``teacher_features`` in the teacher the term is
    ``Term(HintMSE(project=False), {"student": "student.features", "teacher": "teacher.features"})``.

    The projector is a 1×1, a 3×3 and a 1×1 convolution, each with batch normalization and ReLU; a larger map of the
    student is averaged to the teacher's size before it. The classifier is everything that comes after
    ``teacher_features``. It is a copy that is not trained and stays in eval mode.

    Args:
        student: the model whose layers up to ``student_features`` are copied as the encoder.
        teacher: the trained model.
        student_features: the path of the module that gives the student's map ``[B, C, H, W]``.
        teacher_features: the path of the module that gives the teacher's.
        example: images ``[B, C, H, W]`` that both models take, for the sizes.
        reduction: by what the teacher's channels are divided inside the projector.

    Raises:
        ArgumentError: if a path names no module, a model cannot be cut there, the features are no maps, the student's
            map is smaller than the teacher's, or the reduction leaves no channel.

    Source: Chen, Mei, Zhang, Wang, Feng & Chen 2022, Knowledge distillation with the reused teacher classifier,
    arXiv:2203.14001.

    >>> from limbeck.models import ResNet
    >>> small, large = (ResNet(channels=1, classes=10, size=(8, 8), width=width) for width in (4, 16))
    >>> paths = {"student_features": "stage3", "teacher_features": "stage3"}
    >>> student = ReusedClassifier(small, large, **paths, example=torch.zeros(1, 1, 8, 8))
    >>> student(torch.zeros(2, 1, 8, 8)).shape, torch.equal(student.classifier.head.weight, large.head.weight)
    (torch.Size([2, 10]), True)
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        student_features: str,
        teacher_features: str,
        example: Tensor,
        reduction: int = 2,
    ) -> None:
        super().__init__()
        given = _map(student, student_features, "student", example)
        wanted = _map(teacher, teacher_features, "teacher", example)
        if given[1] < wanted[1] or given[2] < wanted[2]:
            raise ArgumentError(
                f"reused classifier: the student's map at {student_features!r} is {given[1]}×{given[2]}, the teacher's "
                f"{wanted[1]}×{wanted[2]}; choose an earlier module of the student",
                code="mismatch",
                path="student_features",
            )
        inner = wanted[0] // reduction if reduction > 0 else 0
        if inner < 1:
            raise ArgumentError(
                f"reused classifier: reduction={reduction} leaves none of {wanted[0]} channels", path="reduction"
            )
        self.encoder = trunk(student, student_features)
        self.projector = _projector(given[0], inner, wanted[0])
        self.classifier = keep_frozen_(rest(teacher, teacher_features))
        self._size = None if given[1:] == wanted[1:] else (wanted[1], wanted[2])

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images)
        if self._size is not None:
            features = F.adaptive_avg_pool2d(features, self._size)
        logits: Tensor = self.classifier(self.projector(features))
        return logits


def _projector(given: int, inner: int, wanted: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for one, other, kernel in ((given, inner, 1), (inner, inner, 3), (inner, wanted, 1)):
        convolution = nn.Conv2d(one, other, kernel, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(other), nn.ReLU()]
    return nn.Sequential(*layers)


def _map(model: nn.Module, path: str, whose: str, example: Tensor) -> tuple[int, int, int]:
    """Channels, height and width of what a module gives."""
    trial = Tapped(copy.deepcopy(model).eval(), {"features": path})
    with torch.no_grad():
        features = trial(example)["features"]
    if not isinstance(features, Tensor) or features.ndim != 4:
        seen = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ArgumentError(
            f"reused classifier: the {whose}'s {path!r} gives {seen}; expected a map [B, C, H, W]",
            code="wrong_shape",
            path=f"{whose}_features",
        )
    channels, height, width = features.shape[1:]
    return channels, height, width
