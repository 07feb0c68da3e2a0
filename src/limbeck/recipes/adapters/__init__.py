"""Adapters, which change a student while it trains, one file for each kind. The control has none.

A new kind is a subclass of `Adapter` in a file of its own, added in the last line of this module.
"""

from limbeck.recipes.adapters.adapter import (
    Adapter,
    AdapterContext,
    add_adapters,
    parse_adapter,
    take_adapter_options,
)
from limbeck.recipes.adapters.exits import Exits
from limbeck.recipes.adapters.rebuilding import REBUILDING_OPTIONS, rebuilt
from limbeck.recipes.adapters.reuse import Reuse, added_taps
from limbeck.recipes.adapters.share import Share, is_tied

__all__ = [
    "REBUILDING_OPTIONS",
    "Adapter",
    "AdapterContext",
    "Exits",
    "Reuse",
    "Share",
    "added_taps",
    "is_tied",
    "parse_adapter",
    "rebuilt",
    "take_adapter_options",
]

add_adapters(Exits(), Share(), Reuse())
