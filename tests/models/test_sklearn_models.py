from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.models import (
    SklearnModule,
    TfIdf,
    Trees,
    WordCounts,
    decision_tree,
    decision_tree_of_words,
    fit_classifier,
    logistic_regression,
    logistic_regression_of_words,
    random_forest,
    random_forest_of_words,
    sklearn_part,
)
from refusals import refused


def counts(rows: int = 60, words: int = 12) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    found = random.poisson(0.4, size=(rows, words)).astype(np.float32)
    found[3] = 0
    found[:, 5] = 0
    return found


def shares(rows: int = 60, classes: int = 3) -> NDArray[np.float64]:
    found: NDArray[np.float64] = softmax(np.random.default_rng(1).normal(size=(rows, classes)), axis=1)
    found[10:20] = 0
    return found


def test_tf_idf_is_that_of_scikit_learn() -> None:
    features = counts()
    net = TfIdf(12)
    net.fit_(csr_matrix(features[:40]))
    expected = TfidfTransformer().fit(features[:40]).transform(features).toarray()
    np.testing.assert_allclose(net(torch.from_numpy(features)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_rarity_is_learnt_from_all_rows_and_classes_from_those_that_have_some(sparse: bool) -> None:
    features, target = counts(), shares()
    net = SklearnModule(nn.Linear(12, 3), lambda seed: LogisticRegression(max_iter=1000), scaling=TfIdf(12))
    net.fit_(csr_matrix(features) if sparse else features, target)
    scaled = TfidfTransformer().fit(features).transform(features).toarray()
    used = target.sum(1) > 0
    expected = fit_classifier(LogisticRegression(max_iter=1000), scaled[used], target[used])
    found, wanted = net(torch.from_numpy(features)), expected(torch.from_numpy(scaled).float())
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    others = fit_classifier(LogisticRegression(max_iter=1000), scaled, np.maximum(target, 0.3))
    assert (others(torch.from_numpy(scaled).float()) - wanted).abs().max() > 0.01


def test_logits_are_for_temperature_1() -> None:
    features, target = counts(), shares()
    nets = [SklearnModule(nn.Linear(12, 3), lambda seed: LogisticRegression(max_iter=1000)) for _ in range(2)]
    nets[0].fit_(features, target)
    nets[1].fit_(features, target, temperature=4.0)
    rows = torch.from_numpy(features)
    torch.testing.assert_close(nets[1](rows), 4 * nets[0](rows))


def test_a_class_without_a_row_is_a_logit() -> None:
    target = np.zeros((60, 3))
    target[:30, 0] = target[30:, 1] = 1.0
    for build in (logistic_regression_of_words, decision_tree_of_words, random_forest_of_words):
        net = build(classes=3, vocabulary=12)
        part = sklearn_part(net)
        assert part is not None
        part.fit_(counts(), target)
        logits = net(torch.tensor([[1, 2, 4]]))
        assert logits.shape == (1, 3)
        assert logits[0, 2] < logits[0, :2].max()


@pytest.mark.parametrize("trees", [1, 3])
def test_trees_take_smaller_ones(trees: int) -> None:
    features, target = counts(), shares()
    forest = RandomForestClassifier(trees, max_leaf_nodes=5, max_depth=3, random_state=0)
    small = fit_classifier(forest, features, target)
    large = Trees(trees=trees, nodes=31, depth=8, classes=3, probabilities=True)
    assert isinstance(small, Trees)
    large.take(small)
    rows = torch.from_numpy(np.random.default_rng(2).normal(1, 2, size=(100, 12))).float()
    torch.testing.assert_close(large(rows), small(rows), atol=0, rtol=0)
    with pytest.raises(ArgumentError, match=r"trees of 31 nodes, 8 deep do not fit into"):
        small.take(large)


@pytest.mark.parametrize("build", [decision_tree, random_forest, logistic_regression])
def test_a_seed_decides_everything(build: Any) -> None:
    nets = [build(channels=1, classes=3, size=(3, 4)) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        part = sklearn_part(net)
        assert part is not None
        part.fit_(counts(), shares(), seed=seed)
    first, again, other = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], again[name]) for name in first)
    # A linear model has one best fit, whatever is drawn.
    assert all(torch.equal(first[name], other[name]) for name in first) == (build is logistic_regression)


def test_an_unfitted_model_gives_logits_and_has_something_to_learn() -> None:
    for build in (logistic_regression_of_words, decision_tree_of_words, random_forest_of_words):
        net = build(classes=2, vocabulary=9, words="counts")
        assert isinstance(net, WordCounts)
        logits = net(input_ids=torch.tensor([[3, 4, 0]]), attention_mask=torch.tensor([[1, 1, 0]]))
        logits.sum().backward()
        assert logits.shape == (1, 2)
        assert any(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("share", [float("nan"), float("inf"), -0.1])
def test_shares_that_cannot_be_are_refused(share: float) -> None:
    shares = np.full((60, 3), 1 / 3)
    shares[7, 1] = share
    with refused(
        ArgumentError,
        "out_of_range",
        "shares",
        match="a share is negative or not finite; look at the outputs of the teacher",
    ):
        SklearnModule(nn.Linear(12, 3), lambda seed: LogisticRegression()).fit_(counts(), shares)


def test_sizes_that_cannot_be_are_refused() -> None:
    with refused(ArgumentError, "out_of_range", "leaves", match=r"leaves is 1; expected at least 2"):
        decision_tree(channels=1, classes=2, size=(2, 2), leaves=1)
    with refused(ArgumentError, "out_of_range", "l2", match=r"l2 is 0; expected a number above 0"):
        logistic_regression_of_words(classes=2, vocabulary=9, l2=0)
    with refused(ArgumentError, "out_of_range", "trees"):
        random_forest(channels=1, classes=2, size=(2, 2), trees=0)
    with refused(ArgumentError, "missing", "shares"):
        SklearnModule(nn.Linear(12, 3), lambda seed: LogisticRegression()).fit_(counts(), np.zeros((60, 3)))
