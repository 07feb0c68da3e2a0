import math

import numpy as np
import pytest

from limbeck.cache.codecs.sparse_records import (
    index_bits,
    index_bytes,
    pack_indices,
    pack_logs,
    unpack_indices,
    unpack_logs,
)


@pytest.mark.parametrize("classes", [1, 2, 3, 100, 128, 129, 4096, 50_257, 131_072, 131_073, 2**25])
@pytest.mark.parametrize("k", [1, 2, 7, 8, 25])
def test_class_numbers_come_back_and_lie_without_gaps(classes: int, k: int) -> None:
    indices = np.random.default_rng(0).integers(0, classes, (30, k))
    indices[0], indices[1] = 0, classes - 1
    packed = pack_indices(indices, classes)
    bits = max(1, math.ceil(math.log2(classes)))
    assert index_bits(classes) == bits
    assert packed.shape == (30, math.ceil(k * bits / 8)) == (30, index_bytes(k, classes))
    assert (unpack_indices(packed, k, classes) == indices).all()
    for row, numbers in zip(packed, indices, strict=True):
        whole = sum(int(number) << (place * bits) for place, number in enumerate(numbers))
        assert int.from_bytes(row.tobytes(), "little") == whole


def test_logarithms_are_within_half_a_step() -> None:
    logs = np.concatenate([-np.geomspace(1e-6, 31.9, 1000), [0.0, 1e-9]])
    assert np.abs(unpack_logs(pack_logs(logs)) - logs).max() <= 2**-12 * 1.001


def test_below_the_floor_stands_the_floor_and_nothing_stays_nothing() -> None:
    found = unpack_logs(pack_logs(np.array([-32.5, -1e4, -np.inf])))
    assert found.tolist() == [-65534 / 2048, -65534 / 2048, -math.inf]
