import pytest

from limbeck.cache import Float16, Int8, Sampled, TopK
from limbeck.cache.codecs import codec_of, section_of
from limbeck.errors import ArgumentError
from limbeck.recipes.options import construct, resolve_options
from limbeck.registry import lookup, names

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
    with pytest.raises(ArgumentError, match=r"no codec 'topc'. Did you mean 'topk'?"):
        codec_of({"use": "topc"})
    with pytest.raises(ArgumentError, match=r"codec topk: it has no setting 'temprature'. Did you mean 'temperature'?"):
        codec_of({"use": "topk", "temprature": 2.0})
    with pytest.raises(ArgumentError, match="it needs 'use', one of float16, float32, int8, sampled, topk"):
        codec_of({"k": 2})
