"""Making a trained model smaller: each compressor is a frozen configuration that plans and applies a change."""

from limbeck.compress.plan import CompressionPlan, Compressor, LayerPlan

__all__ = ["CompressionPlan", "Compressor", "LayerPlan"]
