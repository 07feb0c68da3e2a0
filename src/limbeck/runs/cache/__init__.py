"""Outputs of frozen teachers, cached on disk for the trainings of a recipe."""

from limbeck.runs.cache.caches import Cache, Caches, cached_outputs
from limbeck.runs.cache.plan import CachePlan, plan_of

__all__ = ["Cache", "CachePlan", "Caches", "cached_outputs", "plan_of"]
