"""Losses between the hidden states of transformers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._checks import shape
from limbeck.losses._layer_map import LayerRule, Layers, mean_over_layers, pair_layers
from limbeck.losses._layer_pairs import LayerPairs, LayerProjections
from limbeck.losses._unit import unit_vectors
from limbeck.losses.precision import at_least_float32
from limbeck.registry import register

__all__ = ["CosineHidden", "HiddenStatesMSE", "PatientKD", "cosine_hidden", "hidden_states_mse", "patient_kd"]


def hidden_states_mse(student: Layers, teacher: Layers) -> Tensor:
    """Squared difference of the hidden states, averaged over the features and the pairs of layers.

    (1 / P) Σ_l (1 / D) ‖h_l(teacher) − h_l(student)‖² for P pairs of layers, for each token. The student's states are
    already projected to the teacher's width. The paper sums over the layers; multiply its weights by P.

    Args:
        student: states `[*, D]`, such as `[B, T, D]`, of one layer, or a sequence of them; float16 and bfloat16 inputs
            are computed in float32.
        teacher: states `[*, D]` of the paired layers.

    Returns:
        One value per token, `[*]`, in at least float32.

    Raises:
        ArgumentError: if the shapes or the numbers of layers do not fit.

    Knowledge: transformers.
    Cost: O(B T D) operations, O(B T D) memory, for each pair of layers.

    Example:
        >>> import torch
        >>> hidden_states_mse(torch.zeros(1, 2, 3), torch.ones(1, 2, 3))
        tensor([[1., 1.]])
        >>> hidden_states_mse([torch.zeros(2, 3), torch.zeros(2, 5)], [torch.ones(2, 3), torch.zeros(2, 5)])
        tensor([0.5000, 0.5000])

    Jiao, Yin, Shang, Jiang, Chen, Li, Wang and Liu, 2020, "TinyBERT: Distilling BERT for Natural Language
    Understanding", arXiv:1909.10351.
    """
    pairs = _states("hidden_states_mse", student, teacher)
    return mean_over_layers([F.mse_loss(*pair, reduction="none").mean(dim=-1) for pair in pairs])


def cosine_hidden(student: Layers, teacher: Layers) -> Tensor:
    """One minus the cosine of the angle between the hidden states, averaged over the pairs of layers.

    (1 / P) Σ_l (1 − cos(h_l(student), h_l(teacher))) for each token, computed as ½ ‖u − v‖² with both states at length
    1, so that it is exactly 0 where they agree. A state of zeros has the distance ½ from every other state.

    Args:
        student: states `[*, D]`, such as `[B, T, D]`, of one layer, or a sequence of them; float16 and bfloat16 inputs
            are computed in float32.
        teacher: states `[*, D]` of the paired layers.

    Returns:
        One value per token, `[*]`, in at least float32; it does not change when a state is scaled.

    Raises:
        ArgumentError: if the shapes or the numbers of layers do not fit.

    Knowledge: transformers.
    Cost: O(B T D) operations, O(B T D) memory, for each pair of layers.

    Example:
        >>> import torch
        >>> cosine_hidden(torch.tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
        tensor([1., 0.])

    Sanh, Debut, Chaumond and Wolf, 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and
    lighter", arXiv:1910.01108.
    """
    pairs = _states("cosine_hidden", student, teacher)
    return mean_over_layers([(unit_vectors(s) - unit_vectors(t)).square().sum(dim=-1) / 2 for s, t in pairs])


def patient_kd(student: Layers, teacher: Layers) -> Tensor:
    """Squared difference of the first token's normalized states, averaged over the features and the pairs of layers.

    (1 / P) Σ_l (1 / D) ‖h_l(student) / ‖h_l(student)‖ − h_l(teacher) / ‖h_l(teacher)‖‖², with h_l the state of the
    first token ([CLS]) of layer l. The equation sums over features and layers; the authors' code, with which they chose
    the weights, takes the mean, as here. A state of zeros stays 0.

    Args:
        student: states `[B, T, D]`, or those of the first token alone, `[B, D]`, of one layer, or a sequence of them;
            float16 and bfloat16 inputs are computed in float32.
        teacher: states of the paired layers, of the same D.

    Returns:
        One value per sample, `[B]`, in at least float32; it does not change when a state is scaled.

    Raises:
        ArgumentError: if the shapes or the numbers of layers do not fit.

    Knowledge: transformers.
    Cost: O(B D) operations, O(B D) memory, for each pair of layers.

    Example:
        >>> import torch
        >>> patient_kd(torch.tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
        tensor([1., 0.])

    Sun, Cheng, Gan and Liu, 2019, "Patient Knowledge Distillation for BERT Model Compression", arXiv:1908.09355.
    """
    firsts = [
        [_first(layer) for layer in layers] for layers in zip(*pair_layers("patient_kd", student, teacher), strict=True)
    ]
    pairs = _states("patient_kd", *firsts)
    return mean_over_layers(
        [F.mse_loss(unit_vectors(s), unit_vectors(t), reduction="none").mean(dim=-1) for s, t in pairs]
    )


def _first(states: Tensor) -> Tensor:
    if states.ndim not in (2, 3):
        raise ArgumentError(
            f"patient_kd: states have shape {shape(states)}, expected [B, T, D] or [B, D]",
            code="wrong_shape",
            path="states",
        )
    return states[:, 0] if states.ndim == 3 else states


def _states(operation: str, student: Layers, teacher: Layers) -> list[tuple[Tensor, Tensor]]:
    """Pairs of states of one shape, in at least float32."""
    pairs = pair_layers(operation, student, teacher)
    for s, t in pairs:
        if s.ndim < 2 or s.shape != t.shape:
            raise ArgumentError(
                f"{operation}: student has shape {shape(s)} and teacher {shape(t)}, expected one shape [*, D] "
                f"for both; give both the same tokens, and project the student's states first, as the module in "
                f"limbeck.losses does",
                code="wrong_shape",
                path="student",
            )
        if not (s.is_floating_point() and t.is_floating_point()):
            raise ArgumentError(
                f"{operation}: student is {s.dtype} and teacher {t.dtype}, expected floating states for "
                f"both; cast them by .float()",
                code="wrong_type",
                path="student",
            )
    return [(at_least_float32(s), at_least_float32(t)) for s, t in pairs]


class _HiddenStates(nn.Module, ABC):
    """Pairs layers, and projects the student's states where widths differ. A subclass implements `compare`."""

    def __init__(self, operation: str, layers: LayerRule, embeddings: bool) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.pairs = LayerPairs(operation, layers, skip_first=int(embeddings))
        self.projections = LayerProjections(operation)

    def prepare(self, samples: Sequence[Mapping[str, Any]], masks: Sequence[Tensor | None] | None = None) -> None:
        """Choose the layers (`auto`) from all samples, size projections from the first, and check the widths of all.

        Args:
            samples: for each batch, the arguments of `forward` by name.
            masks: for each batch, which tokens count, `[B]` or `[B, T]`; all if None.

        Raises:
            ArgumentError: if the layers do not fit the map, or the widths differ from those given before.
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
    """Module for `limbeck.functional.hidden_states_mse`, with a layer map and, where widths differ, projections.

    Student and teacher are states of one layer or a sequence of them, such as `student.hidden_states`. Each pair of
    layers of unequal width has its own linear projection (the paper has one for all layers, and one for the
    embeddings).

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in the given layers; negative
            positions count from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. Named rules then count the layers after it, and pair the student's embeddings with
            the teacher's, as in the paper. Position i in `hidden_states` is then layer i, and position 0 the
            embeddings.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations and O(B T D) memory in addition, for each pair of layers of a
        student of width S.

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
        return hidden_states_mse(student, teacher)

    def _chosen(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        students, teachers = super()._chosen(student, teacher)
        if not self.pairs.skip_first or isinstance(student, Tensor) or isinstance(teacher, Tensor):
            return students, teachers
        return [student[0], *students], [teacher[0], *teachers]


@register("loss", "cosine_hidden")
class CosineHidden(_HiddenStates):
    """Module for `limbeck.functional.cosine_hidden`, with a layer map and, where widths differ, projections.

    Student and teacher are states of one layer or a sequence of them, such as `student.hidden_states`. The paper
    compares the last layers, of equal width.

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in the given layers; negative
            positions count from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. Named rules leave it out.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations and O(B T D) memory in addition, for each pair of layers of a
        student of width S.

    Example:
        >>> import torch
        >>> states = torch.eye(3).expand(2, 3, 3)
        >>> CosineHidden()([states, states], [states, 2 * states]).sum()
        tensor(0.)
    """

    def __init__(self, *, layers: LayerRule = ((-1, -1),), embeddings: bool = True) -> None:
        super().__init__("cosine_hidden", layers, embeddings)

    def compare(self, student: Layers, teacher: Layers) -> Tensor:
        return cosine_hidden(student, teacher)


@register("loss", "patient_kd")
class PatientKD(_HiddenStates):
    """Module for `limbeck.functional.patient_kd`, with a layer map and, where widths differ, projections.

    Student and teacher are states of one layer or a sequence of them, such as `student.hidden_states`. As in the paper,
    named rules leave out the student's last layer, which the loss on the logits trains: a student of 6 layers gets
    layers 2, 4, 6, 8 and 10 of 12 (`skip`) or 7 to 11 (`last`). The paper has equal widths and no projection.

    Args:
        layers: `uniform`, `last`, `skip`, `auto` (the largest sum of linear CKA, chosen by `prepare`), as in
            `limbeck.functional.layer_map`, or pairs of positions (student, teacher) in the given layers; negative
            positions count from the end.
        embeddings: whether the first of several tensors is the output of the embeddings, as in the `hidden_states` of
            Hugging Face's models. Named rules leave it out.

    Raises:
        ArgumentError: if the layer map is unknown.

    Cost: where widths differ, O(B T S D) operations and O(B T D) memory in addition, for each pair of layers of a
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
        return patient_kd(student, teacher)

    def _chosen(self, student: Layers, teacher: Layers) -> tuple[list[Tensor], list[Tensor]]:
        students, teachers = super()._chosen(student, teacher)
        if isinstance(self.pairs.rule, str) and len(students) > 1:
            return students[:-1], teachers[:-1]
        return students, teachers
