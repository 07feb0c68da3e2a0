"""Teacher outputs on disk: the outputs of a frozen teacher for each view of each row, computed once."""

from limbeck.cache.builder import BuildResult, build
from limbeck.cache.codecs import Codec, Float16, Float32, Int8, Sampled, TopK
from limbeck.cache.fingerprints import fingerprint_model, library_versions
from limbeck.cache.manifest import Field, Manifest, fields_of
from limbeck.cache.reader import CacheReader
from limbeck.cache.rows import CachedRows, as_kept, placed
from limbeck.cache.verification import Verified, verify

__all__ = [
    "BuildResult",
    "CacheReader",
    "CachedRows",
    "Codec",
    "Field",
    "Float16",
    "Float32",
    "Int8",
    "Manifest",
    "Sampled",
    "TopK",
    "Verified",
    "as_kept",
    "build",
    "fields_of",
    "fingerprint_model",
    "library_versions",
    "placed",
    "verify",
]
