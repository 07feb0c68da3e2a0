"""What a student may wear while it learns, one file for each kind. The control wears nothing.

A new kind is a subclass of `Equipment` in a file of its own, and stands in the line below.
"""

from limbeck.recipes.equipment.equipment import (
    Bench,
    Equipment,
    add_equipment,
    bare,
    equipment_of,
    needed,
    resolve_equipment,
    take_equipment,
)
from limbeck.recipes.equipment.exits import Exits
from limbeck.recipes.equipment.rebuilding import rebuilt
from limbeck.recipes.equipment.reuse import Reuse, added_taps
from limbeck.recipes.equipment.share import Share, is_tied

__all__ = [
    "Bench",
    "Equipment",
    "Exits",
    "Reuse",
    "Share",
    "added_taps",
    "bare",
    "equipment_of",
    "is_tied",
    "needed",
    "rebuilt",
    "resolve_equipment",
    "take_equipment",
]

add_equipment(Exits(), Share(), Reuse())
