"""Where knowledge comes from."""

from limbeck.teachers.cached import Cached
from limbeck.teachers.confidence import Confidence
from limbeck.teachers.ensemble import Ensemble
from limbeck.teachers.frozen import Frozen

__all__ = ["Cached", "Confidence", "Ensemble", "Frozen"]
