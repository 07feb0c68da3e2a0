from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from limbeck.errors import ArgumentError
from limbeck.measure import Floats, Interval, Resamples, interval
from limbeck.measure.intervals import student_t
from measure.many_seeds import SEEDS, Recipes, train_recipes
from measure.one_metric import metric_named, table
from refusals import refused


def test_every_draw_takes_as_many_rows_as_there_are() -> None:
    counts = Resamples(37, draws=200).counts
    assert counts.shape == (200, 37)
    assert (counts.sum(axis=1) == 37).all()
    # Var of a multinomial count with N trials over N rows is 1 − 1/N.
    assert counts.var() == pytest.approx(1 - 1 / 37, rel=0.05)


def test_means_are_those_of_the_resampled_rows() -> None:
    statistics = np.random.default_rng(0).normal(size=(50_000, 3))
    resamples = Resamples(50_000, draws=100)
    for draw in (0, 79, 80, 99):  # 80 draws fit in a chunk
        expected = np.repeat(statistics, resamples.counts[draw], axis=0).mean(axis=0)
        np.testing.assert_allclose(resamples.means(statistics)[draw], expected, rtol=1e-9, atol=1e-12)


def test_units_are_drawn_with_all_of_their_rows() -> None:
    random = np.random.default_rng(0)
    units, statistics = random.choice([7, 3, 90], size=40), random.normal(size=(40, 2))
    resamples = Resamples(40, units=units, draws=200)
    weights = np.concatenate(list(resamples.weights()))
    order = random.permutation(40)
    np.testing.assert_array_equal(np.concatenate(list(resamples.weights(order))), weights[:, order])
    for draw, drawn in enumerate(weights):
        counts = {unit: set(drawn[units == unit]) for unit in (3, 7, 90)}
        assert all(len(one) == 1 for one in counts.values())
        assert sum(one.pop() for one in counts.values()) == 3
        expected = np.repeat(statistics, drawn.astype(int), axis=0).mean(axis=0)
        np.testing.assert_allclose(resamples.means(statistics)[draw], expected, rtol=1e-12)


def test_weights_of_rows_are_the_counts_in_chunks_of_draws() -> None:
    resamples = Resamples(50_000, draws=100)
    chunks = list(resamples.weights())
    assert [len(chunk) for chunk in chunks] == [80, 20]
    np.testing.assert_array_equal(np.concatenate(chunks), resamples.counts)


def test_refuses_units_of_other_rows() -> None:
    with refused(ArgumentError, "wrong_shape", "units"):
        Resamples(4, units=np.zeros(3, int), draws=100)


def test_draws_in_which_a_metric_is_not_defined_are_left_out() -> None:
    draws = np.random.default_rng(0).normal(size=(2, 400))
    holes = draws.copy()
    holes[0, :7] = np.nan
    assert interval(np.zeros(1), holes[:1]) == interval(np.zeros(1), draws[:1, 7:])
    assert np.isfinite([interval(np.zeros(2), holes).low, interval(np.zeros(2), holes).high]).all()
    undefined = interval(np.array([np.nan, 0.5]), draws)
    assert np.isnan([undefined.value, undefined.low, undefined.high]).all()


def test_the_seed_decides_the_draws() -> None:
    assert (Resamples(20, draws=100, seed=3).counts == Resamples(20, draws=100, seed=3).counts).all()
    assert (Resamples(20, draws=100, seed=3).counts != Resamples(20, draws=100, seed=4).counts).any()


@pytest.mark.parametrize(("rows", "draws"), [(0, 2000), (10, 99)])
def test_refuses_what_leaves_no_interval(rows: int, draws: int) -> None:
    with pytest.raises(ArgumentError, match=f"{rows} rows and {draws} draws"):
        Resamples(rows, draws=draws)


@pytest.mark.parametrize("freedom", [1, 2, 4, 9, 30])
def test_quantiles_agree_with_scipy(freedom: int) -> None:
    probability = np.linspace(0.005, 0.995, 199)
    np.testing.assert_allclose(
        student_t(freedom, probability), scipy.stats.t.ppf(probability, freedom), rtol=1e-5, atol=1e-5
    )


def over_rows(table: Floats, draws: int = 2000) -> Interval:
    """The interval of the mean of a table `[S, N]`."""
    return interval(table.mean(axis=1), Resamples(table.shape[1], draws=draws).means(table.T).T)


def test_of_one_seed_agrees_with_scipy_bootstrap() -> None:
    rows = np.random.default_rng(0).exponential(size=400)
    expected = scipy.stats.bootstrap((rows,), np.mean, n_resamples=20_000, method="percentile", random_state=0)
    found = over_rows(rows[None], draws=20_000)
    low, high = expected.confidence_interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))
    assert (found.value, found.scope) == (pytest.approx(rows.mean()), "rows")


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_seeds_that_alone_differ_is_the_t_interval(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = over_rows(np.repeat(values[:, None], 100, axis=1))
    expected = scipy.stats.t.interval(0.95, seeds - 1, values.mean(), scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=0.02)
    assert found.scope == "rows+seeds"


def test_stays_within_bounds_and_holds_its_value() -> None:
    found = interval(np.array([0.99, 0.60]), np.full((2, 100), 0.795), bounds=(0.0, 1.0))
    assert (found.low, found.high) == (0.0, 1.0)
    metric = metric_named("expected_calibration_error")
    logits = np.random.default_rng(0).normal(size=(300, 10))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = (shares.cumsum(axis=1) < np.random.default_rng(1).random((300, 1))).sum(axis=1)
    rows = table(metric, logits, target)
    drawn = metric.of_means(Resamples(300).means(rows))
    found = interval(np.array([metric.of_means(rows.mean(axis=0))]), drawn[None], bounds=metric.bounds)
    assert drawn.mean() > found.value + drawn.std() / 2
    assert found.low < found.value < found.high


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("seed_noise", "row_noise", "rest"), [(1, 0, 0), (1, 1, 1), (1, 0, 1), (0.5, 1, 1), (0, 0, 1), (0, 3, 1)]
)
def test_misses_the_truth_rarely_whatever_the_noise(
    seeds: int, seed_noise: float, row_noise: float, rest: float
) -> None:
    random, rows, tries = np.random.default_rng(0), 200, 1000
    tables = seed_noise / math.sqrt(rows) * random.normal(size=(rows, tries, seeds))[:1]
    tables = tables + row_noise * random.normal(size=(rows, tries, 1)) + rest * random.normal(size=(rows, tries, seeds))
    drawn = Resamples(rows, draws=400).means(tables.reshape(rows, -1)).reshape(400, tries, seeds)
    found = [interval(tables[:, at].mean(axis=0), drawn[:, at].T) for at in range(tries)]
    assert np.mean([not one.low <= 0 <= one.high for one in found]) <= 0.08


@pytest.fixture(scope="module")
def recipes() -> Recipes:
    return train_recipes()


def measured(logits: NDArray[np.float64], target: NDArray[np.int64], name: str) -> tuple[Floats, Floats]:
    """A metric of each model `[SEEDS]`, and in each draw of the rows `[SEEDS, draws]`."""
    metric = metric_named(name)
    resamples = Resamples(len(target), draws=500)
    rows = [table(metric, one, target) for one in logits]
    return (
        np.array([metric.of_means(one.mean(axis=0)) for one in rows]),
        np.stack([metric.of_means(resamples.means(one)) for one in rows]),
    )


@pytest.mark.parametrize("rows", [150, 797])
@pytest.mark.parametrize("name", ["accuracy", "negative_log_likelihood", "expected_calibration_error"])
def test_a_recipe_against_itself_is_rarely_a_difference(recipes: Recipes, name: str, rows: int) -> None:
    values, draws = measured(recipes.few[:, :rows], recipes.target[:rows], name)
    random, tries = np.random.default_rng(0), 1000
    for seeds in (2, 3, 5):
        false = 0
        for _ in range(tries):
            a, b = random.choice(SEEDS, size=(2, seeds), replace=False)
            found = interval(values[a] - values[b], draws[a] - draws[b])
            false += found.low > 0 or found.high < 0
        assert false / tries <= 0.08, seeds


def test_rows_alone_would_call_a_recipe_different_from_itself(recipes: Recipes) -> None:
    values, draws = measured(recipes.few, recipes.target, "accuracy")
    random = np.random.default_rng(0)
    pairs = [random.choice(SEEDS, size=2, replace=False) for _ in range(1000)]
    found = [interval(values[[a]] - values[[b]], draws[[a]] - draws[[b]]) for a, b in pairs]
    assert np.mean([one.low > 0 or one.high < 0 for one in found]) > 0.2


def test_a_real_difference_is_found_and_its_size_is_in_the_interval(recipes: Recipes) -> None:
    few, many = (measured(one, recipes.target, "accuracy") for one in (recipes.few, recipes.many))
    values, draws = many[0] - few[0], many[1] - few[1]
    random, tries = np.random.default_rng(0), 500
    for seeds, power in ((3, 0.75), (5, 0.95)):
        found = [
            interval(values[picked], draws[picked])
            for picked in (random.choice(SEEDS, size=seeds, replace=False) for _ in range(tries))
        ]
        assert np.mean([one.low > 0 for one in found]) >= power
        assert np.mean([one.low <= values.mean() <= one.high for one in found]) >= 0.92
