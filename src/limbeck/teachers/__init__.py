"""Where knowledge comes from."""

from limbeck.teachers.confidence import Confidence
from limbeck.teachers.ensemble import Ensemble
from limbeck.teachers.frozen import Frozen

__all__ = ["Confidence", "Ensemble", "Frozen"]
