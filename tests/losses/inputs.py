"""Random inputs of losses: tensors for single tests, and arrays for the conformance table.

Those of the table have six rows each, so that they also stand as two rows of three positions.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from losses.conformance import Arrays

ROWS = 6
CLASSES = 5


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draw_float32(*shape: int, seed: int = 0) -> Tensor:
    return draw(*shape, seed=seed, dtype=torch.float32)


def draw_logits(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Logits of the student, which require grad, and of the teacher."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (2 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.to(dtype).requires_grad_(), teacher.to(dtype)


def logits_and_logits(rng: np.random.Generator) -> Arrays:
    return {name: 2 * rng.standard_normal((ROWS, CLASSES)) for name in ("student", "teacher")}


def logits_and_labels(rng: np.random.Generator) -> Arrays:
    return {"student": 2 * rng.standard_normal((ROWS, CLASSES)), "target": rng.integers(0, CLASSES, ROWS)}


def features(student: tuple[int, ...], teacher: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Features of these shapes behind the axis of rows."""

    def of_rows(rng: np.random.Generator) -> Arrays:
        return {"student": rng.standard_normal((ROWS, *student)), "teacher": rng.standard_normal((ROWS, *teacher))}

    return of_rows
