"""Losses between the hidden states of transformers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ArgumentError
from limbeck.functional._checks import shape
from limbeck.functional._layer_maps import Layers, mean_over_layers, paired
from limbeck.functional._pairs import unit
from limbeck.functional._precision import at_least_float32

__all__ = ["cosine_hidden", "hidden_states_mse", "patient_kd"]


def hidden_states_mse(student: Layers, teacher: Layers) -> Tensor:
    """Squared difference of the hidden states, averaged over the features and the pairs of layers.

    (1 / P) Σ_l (1 / D) ‖h_l(teacher) − h_l(student)‖² for P pairs of layers, for each token. The student's states are
    already projected to the teacher's width. The paper adds the layers up, so its weights are to be multiplied by P.

    Args:
        student: states `[*, D]`, as `[B, T, D]`, of one layer, or a sequence of them; float16 and bfloat16 are computed
            in float32.
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
    return mean_over_layers([F.mse_loss(mine, theirs, reduction="none").mean(dim=-1) for mine, theirs in pairs])


def cosine_hidden(student: Layers, teacher: Layers) -> Tensor:
    """One minus the cosine of the angle between the hidden states, averaged over the pairs of layers.

    (1 / P) Σ_l (1 − cos(h_l(student), h_l(teacher))) for each token, computed as ½ ‖u − v‖² with both states at length
    1, so that it is exactly 0 where they agree. A state of zeros is at the distance ½ of every other.

    Args:
        student: states `[*, D]`, as `[B, T, D]`, of one layer, or a sequence of them; float16 and bfloat16 are computed
            in float32.
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
    return mean_over_layers([(unit(mine) - unit(theirs)).square().sum(dim=-1) / 2 for mine, theirs in pairs])


def patient_kd(student: Layers, teacher: Layers) -> Tensor:
    """Squared difference of the first token's normalized states, averaged over the features and the pairs of layers.

    (1 / P) Σ_l (1 / D) ‖h_l(student) / ‖h_l(student)‖ − h_l(teacher) / ‖h_l(teacher)‖‖², with h_l the state of the
    first token ([CLS]) of layer l. The equation adds features and layers up; the authors' code, with which the weights
    were found, takes the mean, as here. A state of zeros stays 0.

    Args:
        student: states `[B, T, D]`, or those of the first token alone, `[B, D]`, of one layer, or a sequence of them;
            float16 and bfloat16 are computed in float32.
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
        [_first(layer) for layer in layers] for layers in zip(*paired("patient_kd", student, teacher), strict=True)
    ]
    pairs = _states("patient_kd", *firsts)
    return mean_over_layers(
        [F.mse_loss(unit(mine), unit(theirs), reduction="none").mean(dim=-1) for mine, theirs in pairs]
    )


def _first(states: Tensor) -> Tensor:
    if states.ndim not in (2, 3):
        raise ArgumentError(f"patient_kd: states have shape {shape(states)}, expected [B, T, D] or [B, D]")
    return states[:, 0] if states.ndim == 3 else states


def _states(operation: str, student: Layers, teacher: Layers) -> list[tuple[Tensor, Tensor]]:
    """Pairs of states of one shape, in at least float32."""
    pairs = paired(operation, student, teacher)
    for mine, theirs in pairs:
        if mine.ndim < 2 or mine.shape != theirs.shape:
            raise ArgumentError(
                f"{operation}: student has shape {shape(mine)} and teacher {shape(theirs)}, expected one shape [*, D] "
                f"for both; give both the same tokens, and project the student's states first, as the module in "
                f"limbeck.losses does"
            )
        if not (mine.is_floating_point() and theirs.is_floating_point()):
            raise ArgumentError(
                f"{operation}: student is {mine.dtype} and teacher {theirs.dtype}, expected floating states for "
                f"both; cast them by .float()"
            )
    return [(at_least_float32(mine), at_least_float32(theirs)) for mine, theirs in pairs]
