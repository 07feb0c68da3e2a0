"""Boards of random logits."""

from __future__ import annotations

import torch

ROWS, CLASSES = 6, 4

ADMITTED = torch.tensor([True, False, True, True, False, True])


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make_board(student=None, teacher=None, **batch):
    student = randn(ROWS, CLASSES, seed=1) if student is None else student
    teacher = randn(ROWS, CLASSES, seed=2) if teacher is None else teacher
    return {"batch": batch, "student": {"logits": student}, "teacher": {"logits": teacher}}
