"""The forms that a model of a recipe may have, one file for each.

A new form is a subclass of `Form`, or of `OwnWeights`, in a file of its own, and stands in the line below.
"""

from limbeck.recipes.forms.built import Built
from limbeck.recipes.forms.dynamic import Pace
from limbeck.recipes.forms.ema import FromAverage
from limbeck.recipes.forms.ensemble import FromMembers
from limbeck.recipes.forms.form import (
    Form,
    OwnWeights,
    Parts,
    Section,
    Workshop,
    add_forms,
    bare,
    form_of,
    forms,
    has_weights,
    own_form,
)
from limbeck.recipes.forms.from_run import FromRun
from limbeck.recipes.forms.given import Given
from limbeck.recipes.forms.peers import FromPeers
from limbeck.recipes.forms.random import FromDraw
from limbeck.recipes.forms.resolve import resolve_model
from limbeck.recipes.forms.shrunk import Shrunk
from limbeck.recipes.forms.teacher_free import Virtual

__all__ = [
    "Form",
    "OwnWeights",
    "Parts",
    "Section",
    "Workshop",
    "bare",
    "form_of",
    "forms",
    "has_weights",
    "own_form",
    "resolve_model",
]

add_forms(
    Built(), FromRun(), FromMembers(), FromAverage(), FromDraw(), FromPeers(), Virtual(), Pace(), Shrunk(), Given()
)
