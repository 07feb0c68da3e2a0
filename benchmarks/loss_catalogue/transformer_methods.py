"""The rows of the second table: losses between the layers of two encoders."""

from __future__ import annotations

from loss_catalogue.methods import CONTROL, PLAIN, Method

__all__ = ["HEADS", "LAYERS", "TEACHER_LAYERS", "TRANSFORMER_METHODS"]

LAYERS, TEACHER_LAYERS = 2, 6
# Of both, as the papers on attention have it.
HEADS = 4

TRANSFORMER_METHODS: tuple[Method, ...] = (CONTROL, PLAIN)
