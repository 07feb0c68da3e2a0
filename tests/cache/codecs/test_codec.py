import re
from typing import Any

import pytest
import torch

from limbeck.cache import Float16, Int8, Sampled, TopK
from limbeck.cache.codecs import codec_of, section_of
from limbeck.errors import ArgumentError, CacheError
from limbeck.recipes.options import construct, resolve_options
from limbeck.registry import lookup, names
from refusals import refused

CODECS = [Float16(), Int8(axis=-1), TopK(k=5, temperature=2.0), Sampled(size=50, seed=3)]


@pytest.mark.parametrize("codec", CODECS, ids=repr)
def test_a_section_gives_the_codec_again(codec: Float16 | Int8 | TopK | Sampled) -> None:
    assert codec_of(section_of(codec)) == codec


def test_settings_are_a_recipes() -> None:
    assert names("codec") == ("float16", "float32", "int8", "sampled", "topk")
    for name in names("codec"):
        entry = lookup("codec", name)
        options = resolve_options(entry, {}, path="cache.logits", name=name)
        assert {"use": name, **options} == section_of(construct(entry, options, path="cache.logits"))


def test_what_is_unknown_is_refused_with_the_nearest_name() -> None:
    with refused(ArgumentError, "unknown_name", "name", match=r"no codec 'topc'. Did you mean 'topk'?"):
        codec_of({"use": "topc"})
    with refused(
        ArgumentError,
        "unknown_name",
        "temprature",
        match=r"codec topk: it has no setting 'temprature'. Did you mean 'temperature'?",
    ):
        codec_of({"use": "topk", "temprature": 2.0})
    with refused(ArgumentError, "missing", "use"):
        codec_of({"k": 2})


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"use": "topk", "k": 2.5}, "codec topk: k is 2.5, expected int"),
        ({"use": "topk", "k": True}, "codec topk: k is True, expected int"),
        ({"use": "sampled", "temperature": "2"}, "codec sampled: temperature is '2', expected float"),
        ({"use": "int8", "axis": "0"}, "codec int8: axis is '0', expected int"),
        ({"use": "int8", "axis": 1.0}, "codec int8: axis is 1.0, expected int"),
        ({"use": "sampled", "size": None}, "codec sampled: size is None, expected int"),
        ({"use": "sampled", "seed": 0.5}, "codec sampled: seed is 0.5, expected int"),
        ({"use": "topk", "temperature": [1.0]}, "codec topk: temperature is [1.0], expected float"),
    ],
)
def test_settings_of_another_kind_are_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(told)):
        codec_of(section)
    entry = lookup("codec", section["use"])
    with pytest.raises(ArgumentError, match=re.escape(told)):
        entry(**{setting: value for setting, value in section.items() if setting != "use"})


def test_a_whole_number_is_a_float() -> None:
    """Not only equal but written alike, as the key of a manifest is made of what is written."""
    assert repr(section_of(TopK(temperature=2))) == repr(section_of(codec_of({"use": "topk", "temperature": 2.0})))


@pytest.mark.parametrize("codec", [TopK(k=3), TopK(k=3, temperature=0.01), Sampled(size=12, temperature=1e-300)])
def test_logits_that_overflow_are_refused(codec: TopK | Sampled) -> None:
    wide = torch.tensor([[0.0, 1e39, -1e39, 1e38]], dtype=torch.float64)
    with refused(CacheError, "not_finite", "temperature"):
        codec.encode(wide.repeat(2, 2), 0)
