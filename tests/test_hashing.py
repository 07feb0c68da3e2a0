"""The hash of torch tensors against Python's integers, and the statistics of its draws."""

import numpy as np
import pytest
import torch
from scipy import stats

from limbeck.hashing import bits, derive, draw_below, hash_tensors, permutation, uniform

WORD = 2**64
ROWS = torch.arange(20_000)


def mixed(state: int) -> int:
    state %= WORD
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % WORD
    return state ^ (state >> 31)


def hashed(*words: int) -> int:
    state = 0
    for position, word in enumerate(words):
        state = mixed(word + 0x9E3779B97F4A7C15 if position == 0 else state + 0x9E3779B97F4A7C15 * word)
    return state


def test_mixing_gives_the_published_first_output_of_splitmix64():
    assert derive(0) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31, 2**63, 2**64 - 1, -(2**63)])
def test_bits_equal_those_of_python_integers(seed):
    row = torch.tensor([0, 1, 59_999, 2**40, 2**63 - 1, -1])
    view = torch.tensor([0, 7, 2**33, 1, 3, 2])
    for draw in (0, 1, 7, -1):
        expected = [hashed(seed, draw, v, r) for r, v in zip(row.tolist(), view.tolist(), strict=True)]
        assert (bits(seed, row, view, draw).numpy().astype(np.uint64) == np.array(expected, dtype=np.uint64)).all()
        numbers = [(word >> 40) / 2**24 for word in expected]
        assert uniform(seed, row, view, draw).tolist() == numbers


def test_derive_equals_python_integers_and_depends_on_every_word():
    assert derive(5, 1, -2, 3) == hashed(5, 1, -2, 3)
    assert len({derive(seed, *words) for seed in range(4) for words in [(), (0,), (1,), (0, 1), (1, 0)]}) == 20


def test_views_broadcast_over_rows():
    row, view = torch.arange(4)[:, None], torch.arange(3)
    table = bits(0, row, view, 2)
    assert table.shape == (4, 3)
    assert torch.equal(table[:, 1], bits(0, torch.arange(4), torch.ones(4, dtype=torch.int64), 2))


@pytest.mark.parametrize(("seed", "view", "draw"), [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (123, 45, 6)])
def test_draws_are_uniform(seed, view, draw):
    numbers = uniform(seed, ROWS, torch.full_like(ROWS, view), draw)
    assert numbers.dtype == torch.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.chisquare(np.bincount((numbers * 100).long().numpy(), minlength=100)).pvalue > 1e-3


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["seed", "view", "draw"])
def test_draws_of_two_addresses_are_independent(other):
    def cells(seed: int, view: int, draw: int) -> np.ndarray:
        return (uniform(seed, ROWS, torch.full_like(ROWS, view), draw) * 10).long().numpy()

    table = np.zeros((10, 10))
    np.add.at(table, (cells(0, 0, 0), cells(*other)), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_neighbouring_rows_are_independent():
    cells = (uniform(0, ROWS, torch.zeros_like(ROWS), 0) * 10).long().numpy()
    table = np.zeros((10, 10))
    np.add.at(table, (cells[:-1], cells[1:]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_changing_one_bit_changes_half_of_the_others():
    row = torch.arange(512)
    before = bits(0, row, torch.zeros_like(row), 0)
    for place in (0, 5, 20, 62):
        flipped = (before ^ bits(0, row ^ (1 << place), torch.zeros_like(row), 0)).numpy().astype(np.uint64)
        share = np.unpackbits(flipped.view(np.uint8)).mean()
        assert abs(share - 0.5) < 0.02


def test_permutation_is_the_order_of_hashed_keys():
    keys = [hashed(3, -1, 2, row) for row in range(200)]
    signed = [key - WORD if key >= WORD // 2 else key for key in keys]
    assert permutation(3, 2, 200).tolist() == sorted(range(200), key=signed.__getitem__)


def test_permutations_hold_each_number_once_and_differ_by_seed_and_epoch():
    orders = [permutation(seed, epoch, 50) for seed in range(3) for epoch in range(3)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 9
    assert permutation(0, 0, 0).tolist() == []


def test_every_place_is_equally_likely_in_a_permutation():
    places = torch.stack([permutation(0, epoch, 6) for epoch in range(3000)])
    for column in places.T:
        assert stats.chisquare(np.bincount(column.numpy(), minlength=6)).pvalue > 1e-4


def test_draws_are_those_of_the_data() -> None:
    for seed, step in ((0, 0), (7, 123), (2**40, 10**6)):
        drawn = draw_below(1000, 50, seed, torch.tensor(step))
        assert drawn.tolist() == [derive(seed, step, k) % 2**63 % 1000 for k in range(50)]


def test_every_number_is_as_likely_in_every_step() -> None:
    counts = torch.zeros(10)
    for step in range(20):
        drawn = draw_below(10, 1000, 0, torch.tensor(step))
        counts += drawn.bincount(minlength=10)
    # 2000 of each are expected; the 99.9% quantile of chi-square with 9 degrees of freedom is 27.9.
    assert ((counts - 2000).square() / 2000).sum() < 27.9


def test_torchs_random_state_has_no_part() -> None:
    torch.manual_seed(0)
    before, first = torch.get_rng_state(), draw_below(100, 20, 3, torch.tensor(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(draw_below(100, 20, 3, torch.tensor(5)), first)
    assert not torch.equal(draw_below(100, 20, 3, torch.tensor(6)), first)
    assert not torch.equal(draw_below(100, 20, 4, torch.tensor(5)), first)


def test_hashes_of_tensors_differ_in_every_part() -> None:
    base = {"a": torch.arange(4.0), "b": torch.zeros(2, 2)}
    others = [
        {"a": torch.arange(4.0), "c": torch.zeros(2, 2)},
        {"a": torch.arange(4.0), "b": torch.zeros(4)},
        {"a": torch.arange(4.0), "b": torch.zeros(2, 2, dtype=torch.float64)},
        {"a": torch.arange(4.0) + 1e-6, "b": torch.zeros(2, 2)},
    ]
    hashes = {hash_tensors(one) for one in (base, *others)}
    assert len(hashes) == 5
    assert hash_tensors({"a": torch.arange(8.0)[::2] / 2, "b": torch.zeros(2, 2)}) == hash_tensors(base)
