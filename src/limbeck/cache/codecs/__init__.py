"""How a teacher's outputs become bytes: one idea per file."""

from limbeck.cache.codecs.codec import Bytes, Codec, Encoded, Shape, codec_of, section_of
from limbeck.cache.codecs.floats import Float16, Float32
from limbeck.cache.codecs.int8 import Int8
from limbeck.cache.codecs.sampled import Sampled
from limbeck.cache.codecs.topk import TopK

__all__ = [
    "Bytes",
    "Codec",
    "Encoded",
    "Float16",
    "Float32",
    "Int8",
    "Sampled",
    "Shape",
    "TopK",
    "codec_of",
    "section_of",
]
