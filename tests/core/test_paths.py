"""How a tap names a place, and what a wrong name gets."""

from __future__ import annotations

import pytest
from torch import nn

from limbeck.core import Tapped, split_path
from limbeck.errors import ArgumentError
from refusals import refused

MODEL = nn.ModuleDict({"layer": nn.Identity(), "last": nn.Identity()})


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        ({"hidden": "blocks.0"}, r"tap 'hidden': the model has no module 'blocks\.0'"),
        ({"hidden": "layr"}, r"no module 'layr'\. Did you mean 'layer'\?"),
        ({"Hidden": "layer"}, r"the tap name 'Hidden' must match"),
        ({"hidden": "layr:input"}, r"no module 'layr'\. Did you mean 'layer:input'\?"),
        ({"hidden": "layer:inputs"}, r"no module 'layer:inputs'\. Did you mean 'layer:input'\?"),
        ({"hidden": ["last", "layr"]}, r"tap 'hidden\.1': the model has no module 'layr'\. Did you mean 'layer'\?"),
        ({"hidden": "zz.q"}, r"no module 'zz\.q'\. The model has 'layer', 'last'\."),
        ({"hidden": []}, r"tap 'hidden' names no module"),
        ({"parameters": "layer"}, r"tap 'parameters': .* choose another"),
    ],
)
def test_bad_taps_are_refused_when_built(taps, message):
    with pytest.raises(ArgumentError, match=message):
        Tapped(MODEL, taps)


def test_a_path_that_is_like_none_gets_what_stands_where_its_way_ends():
    model = nn.ModuleDict({"encoder": nn.Sequential(*(nn.Identity() for _ in range(10)))})
    with refused(
        ArgumentError,
        "unknown_name",
        "taps.hidden",
        match=r"'encoder\.pooling_of_tokens'\. 'encoder' has 'encoder\.0', .*'encoder\.7', …",
    ):
        Tapped(model, {"hidden": "encoder.pooling_of_tokens"})


def test_a_module_with_a_colon_in_its_name_is_itself():
    assert split_path("odd:input", ["", "odd", "odd:input"]) == ("odd:input", "output")
    assert split_path(":input", ["", "odd"]) == ("", "input")
