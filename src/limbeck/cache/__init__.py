"""Teacher outputs on disk: what a frozen teacher says of each view of each row, computed once."""

from limbeck.cache.builder import Built, build
from limbeck.cache.codecs import Codec, Float16, Float32, Int8, Sampled, TopK
from limbeck.cache.fingerprints import fingerprint_model, library_versions
from limbeck.cache.manifest import Field, Manifest, fields_of
from limbeck.cache.rows import CachedRows, as_kept, placed
from limbeck.cache.store import Store
from limbeck.cache.verification import Verified, verify

__all__ = [
    "Built",
    "CachedRows",
    "Codec",
    "Field",
    "Float16",
    "Float32",
    "Int8",
    "Manifest",
    "Sampled",
    "Store",
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
