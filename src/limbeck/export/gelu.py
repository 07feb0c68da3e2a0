"""GELU as onnxruntime recognizes it."""

from __future__ import annotations

from typing import Any

__all__ = ["with_fusible_gelu"]


def with_fusible_gelu(graph: Any) -> Any:
    """The graph with each GELU written as (x · ½) · (1 + erf(x / √2)), which onnxruntime computes as one operator.

    torch writes x · (½ · (1 + erf(x / √2))), which it takes for five. The operators stay those of ONNX, and the
    numbers are the same: a product with ½ is exact.
    """
    from onnxscript.rewriter import pattern, rewrite

    return rewrite(graph, [pattern.RewriteRule(_written_by_torch, _fusible)])


def _written_by_torch(op: Any, x: Any, half: Any, one: Any, root: Any) -> Any:
    return op.Mul(x, op.Mul(half, op.Add(op.Erf(op.Div(x, root)), one)))


def _fusible(op: Any, x: Any, half: Any, one: Any, root: Any) -> Any:
    return op.Mul(op.Mul(x, half), op.Add(op.Erf(op.Div(x, root)), one))
