"""What teachers say, kept on disk for the trainings of a recipe."""

from limbeck.recipes.caching.caches import Cache, Caches, kept_of
from limbeck.recipes.caching.plan import CachePlan, plan_of

__all__ = ["Cache", "CachePlan", "Caches", "kept_of", "plan_of"]
