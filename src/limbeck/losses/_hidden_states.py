"""Losses between the hidden states of transformers, as modules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from limbeck import functional
from limbeck.functional._layer_maps import LayerRule, Layers
from limbeck.losses._layers import LayerPairs, LayerProjections
from limbeck.registry import register

__all__ = ["CosineHidden", "HiddenStatesMSE", "PatientKD"]


class _HiddenStates(nn.Module, ABC):
    """Pairs layers, and projects the student's states where widths differ. A subclass implements `compare`."""

    def __init__(self, operation: str, layers: LayerRule, embeddings: bool) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.pairs = LayerPairs(operation, layers, after=int(embeddings))
        self.projections = LayerProjections(operation)

    def prepare(self, samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None = None) -> None:
        """Choose the layers (`auto`) from all samples, size projections from the first, and check the widths of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.
            masks: for each batch, which tokens count, `[B]` or `[B, T]`; all if None.

        Raises:
            ArgumentError: if layers do not fit the map, or widths are not those given before.
        """
        masks = masks or [None] * len(samples)
        sides = [(sample["student"], sample["teacher"]) for sample in samples]
        self.pairs.choose((*pair, mask) for pair, mask in zip(sides, masks, strict=True))
        for student, teacher in sides:
            self.projections.prepare(*self._chosen(student, teacher))

    def _chosen(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        chosen: tuple[list[Tensor], list[Tensor]] = self.pairs(student, teacher)
        return chosen

    def forward(self, student: Layers, teacher: Layers) -> Tensor:
        students, teachers = self._chosen(student, teacher)
        return self.compare(self.projections(students, teachers), teachers)

    @abstractmethod
    def compare(self, student: Layers, teacher: Layers) -> Tensor:
        """The value for pairs of layers of equal width."""

    def extra_repr(self) -> str:
        return f"embeddings={self.embeddings}"


@register("loss", "hidden_states_mse")
class HiddenStatesMSE(_HiddenStates):
    """Keeps a layer map and, where widths differ, projections for `limbeck.functional.hidden_states_mse`.

    Student and teacher are states of one layer or a sequence of them, as `student.hidden_states`. Each pair of layers
    of unequal width has a linear projection of its own (the paper has one for all layers, and one for the embeddings).

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in what is given, from 0 or, if
            negative, from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. The rules with a name then count the layers after it, and pair the embeddings with
            the teacher's (as the paper does). So position i in `hidden_states` is layer i, and 0 the embeddings.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations more, O(B T D) memory more, for each pair of layers of a student of
        width S.

    Example:
        >>> import torch
        >>> student, teacher = [torch.zeros(2, 5, 3)] * 3, [torch.ones(2, 5, 4)] * 5
        >>> loss = HiddenStatesMSE(layers="uniform")
        >>> loss.prepare([{"student": student, "teacher": teacher}])
        >>> loss(student, teacher).shape, len(loss.projections.projections)
        (torch.Size([2, 5]), 3)
    """

    def __init__(self, *, layers: LayerRule = "uniform", embeddings: bool = True) -> None:
        super().__init__("hidden_states_mse", layers, embeddings)

    def compare(self, student: Layers, teacher: Layers) -> Tensor:
        return functional.hidden_states_mse(student, teacher)

    def _chosen(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        students, teachers = super()._chosen(student, teacher)
        if not self.pairs.after or isinstance(student, Tensor) or isinstance(teacher, Tensor):
            return students, teachers
        return [student[0], *students], [teacher[0], *teachers]


@register("loss", "cosine_hidden")
class CosineHidden(_HiddenStates):
    """Keeps a layer map and, where widths differ, projections for `limbeck.functional.cosine_hidden`.

    Student and teacher are states of one layer or a sequence of them, as `student.hidden_states`. The paper compares
    the last layers, of equal width.

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in what is given, from 0 or, if
            negative, from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. The rules with a name leave it out.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations more, O(B T D) memory more, for each pair of layers of a student of
        width S.

    Example:
        >>> import torch
        >>> states = torch.eye(3).expand(2, 3, 3)
        >>> CosineHidden()([states, states], [states, 2 * states]).sum()
        tensor(0.)
    """

    def __init__(self, *, layers: LayerRule = ((-1, -1),), embeddings: bool = True) -> None:
        super().__init__("cosine_hidden", layers, embeddings)

    def compare(self, student: Layers, teacher: Layers) -> Tensor:
        return functional.cosine_hidden(student, teacher)


@register("loss", "patient_kd")
class PatientKD(_HiddenStates):
    """Keeps a layer map and, where widths differ, projections for `limbeck.functional.patient_kd`.

    Student and teacher are states of one layer or a sequence of them, as `student.hidden_states`. As in the paper, the
    rules with a name leave out the student's last layer, which answers for the logits: of 12 layers, a student of 6
    gets 2, 4, 6, 8 and 10 (`skip`) or 7 to 11 (`last`). The paper has equal widths and no projection.

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in what is given, from 0 or, if
            negative, from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. The rules with a name leave it out.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations more, O(B T D) memory more, for each pair of layers of a
        student of width S.

    Example:
        >>> import torch
        >>> student, teacher = [torch.ones(2, 5, 4)] * 3, [torch.ones(2, 5, 4)] * 5
        >>> PatientKD()(student, teacher)
        tensor([0., 0.])
    """

    def __init__(self, *, layers: LayerRule = "skip", embeddings: bool = True) -> None:
        super().__init__("patient_kd", layers, embeddings)

    def compare(self, student: Layers, teacher: Layers) -> Tensor:
        return functional.patient_kd(student, teacher)

    def _chosen(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        students, teachers = super()._chosen(student, teacher)
        if isinstance(self.pairs.rule, str) and len(students) > 1:
            return students[:-1], teachers[:-1]
        return students, teachers
