"""A model that was given in Python."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from limbeck.recipes.forms.form import OwnWeights, Section, Spec, Workshop
from limbeck.recipes.forms.outfit import behind

__all__ = ["OBJECT", "Given"]

OBJECT = "object"


class Given(OwnWeights):
    """``{object: NAME}``: a real object stands for it."""

    key = OBJECT

    def resolve(self, section: Section) -> dict[str, Any]:
        return {OBJECT: section.name, **section.read()}

    def initial(self, spec: Spec, workshop: Workshop, *, seed: int, path: str) -> nn.Module:
        # It stays as its owner left it.
        return behind(copy.deepcopy(workshop.objects[spec[OBJECT]]), spec, path)

    def architecture(self, spec: Spec, path: str) -> Spec | None:
        return None
