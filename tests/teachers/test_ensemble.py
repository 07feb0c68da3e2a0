from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from core.toys import KL, make_batch, mlp
from limbeck.core import Distiller, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import Ensemble, Frozen
from refusals import refused


class Given(nn.Module):
    """A member that gives these logits, and counts how often."""

    reads = ("batch.inputs",)

    def __init__(self, logits, reads=("batch.inputs",)) -> None:
        super().__init__()
        self.logits, self.reads, self.steps = torch.as_tensor(logits), reads, []

    def forward(self, board):
        return {"logits": self.logits, "hidden": self.logits * 2}

    def after_step(self, step):
        self.steps.append(step)


Z = np.random.default_rng(0).normal(scale=3.0, size=(3, 5, 4))
WEIGHTS = {"a": 2.0, "b": 1.0, "c": 5.0}
SHARES = np.array([2.0, 1.0, 5.0]) / 8


def ensemble(logits=Z, **options) -> Ensemble:
    return Ensemble({name: Given(z) for name, z in zip("abc", logits, strict=False)}, **options)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
@pytest.mark.parametrize(("weights", "shares"), [(None, np.ones(3) / 3), (WEIGHTS, SHARES)], ids=["equal", "weighted"])
def test_the_mean_of_softened_probabilities(temperature, weights, shares):
    logits = ensemble(weights=weights, temperature=temperature)({})["logits"].numpy()
    expected = np.einsum("m,mbc->bc", shares, softmax(Z / temperature))
    np.testing.assert_allclose(softmax(logits / temperature), expected, rtol=1e-12)


@pytest.mark.parametrize(("weights", "shares"), [(None, np.ones(3) / 3), (WEIGHTS, SHARES)], ids=["equal", "weighted"])
def test_the_mean_of_logits_is_the_geometric_mean_of_probabilities(weights, shares):
    logits = ensemble(weights=weights, mean="logits")({})["logits"].numpy()
    np.testing.assert_allclose(logits, np.einsum("m,mbc->bc", shares, Z), rtol=1e-12)
    geometric = np.exp(np.einsum("m,mbc->bc", shares, np.log(softmax(Z))))
    np.testing.assert_allclose(softmax(logits), geometric / geometric.sum(-1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_one_member_and_equal_members_are_their_member(mean):
    alone = Ensemble({"a": Given(Z[0])}, mean=mean, temperature=2.0)({})["logits"].numpy()
    np.testing.assert_allclose(softmax(alone), softmax(Z[0]), rtol=1e-12)
    twice = ensemble([Z[0], Z[0]], mean=mean, temperature=2.0, weights={"a": 1, "b": 9})({})["logits"].numpy()
    np.testing.assert_allclose(softmax(twice), softmax(Z[0]), rtol=1e-12)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_a_member_of_weight_0_counts_for_nothing_whatever_it_says(mean):
    spoilt = np.stack([Z[0], Z[1], np.full_like(Z[2], np.nan)])
    found = ensemble(spoilt, mean=mean, weights={"a": 1, "b": 3, "c": 0})({})["logits"]
    torch.testing.assert_close(found, ensemble(Z[:2], mean=mean, weights={"a": 1, "b": 3})({})["logits"])


def test_extreme_logits_stay_finite():
    found = ensemble(np.stack([np.eye(4) * 1e4, -np.eye(4) * 1e4]))({})["logits"]
    assert found.isfinite().all()
    np.testing.assert_allclose(found.softmax(-1).sum(-1), 1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_half_precision_is_combined_in_float32(dtype, mean):
    rounded = torch.as_tensor(Z).to(dtype)
    found = ensemble(rounded, mean=mean, weights=WEIGHTS, temperature=2.0)({})["logits"]
    exact = ensemble(rounded.double(), mean=mean, weights=WEIGHTS, temperature=2.0)({})["logits"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


def test_sequences():
    z = Z[:, :, None].repeat(3, axis=2)
    found = ensemble(z)({})["logits"]
    torch.testing.assert_close(found, ensemble()({})["logits"][:, None].expand(-1, 3, -1))


def test_outputs_of_members_stand_under_their_names():
    outputs = ensemble()({})
    np.testing.assert_array_equal(outputs["b"]["hidden"], Z[1] * 2)
    term = Term(KL(), {"student": "student.logits", "teacher": "teacher.c.logits"})
    board = {"batch": {}, "student": {"logits": torch.as_tensor(Z[0])}, "teacher": outputs}
    torch.testing.assert_close(term(board).sum, KL()(torch.as_tensor(Z[0]), torch.as_tensor(Z[2])).sum())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Ensemble({}), "at least one member"),
        (lambda: ensemble(weights={"a": 1, "b": 1, "d": 1}), r"the ensemble has no member 'd'"),
        (lambda: ensemble(weights={"a": 1, "b": 1}), r"no weight for \['c'\]; give one for every member"),
        (lambda: ensemble(weights={"a": 1, "b": -1, "c": 1}), "at least 0 and not all 0"),
        (lambda: ensemble(weights={"a": 0, "b": 0, "c": 0}), "at least 0 and not all 0"),
        (lambda: ensemble(weights={"a": float("nan"), "b": 0, "c": 0}), "at least 0 and not all 0"),
        (lambda: ensemble(temperature=0.0), "temperature=0.0; it must be a finite number above 0"),
        (lambda: ensemble(temperature=float("inf")), "finite number above 0"),
        (lambda: ensemble(mean="votes"), "mean='votes'; it is 'probabilities' or 'logits'"),
        (lambda: Ensemble({"logits": Given(Z[0])}), "'logits' is the name of the ensemble's own output"),
        (lambda: Ensemble({"a.b": Given(Z[0])}), r"the member name 'a\.b' must match"),
    ],
)
def test_what_cannot_be_right_is_refused_when_built(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_logits_of_unequal_shapes_are_refused():
    with refused(ArgumentError, "mismatch", "members"):
        ensemble([Z[0], Z[1][:, :3]])({})


def test_it_reads_what_its_members_read():
    members = {"a": Given(Z[0], ("batch.x", "batch.y")), "b": Given(Z[1], ("student.logits", "batch.x"))}
    assert Ensemble(members).reads == ("batch.x", "batch.y", "student.logits")


def test_members_follow_the_ensemble():
    whole = Ensemble({"a": Frozen(mlp(1)), "b": Frozen(mlp(2))})
    assert list(whole.parameters()) == list(whole.state_dict()) == []
    whole.float()
    batch = make_batch(5, dtype=torch.float32)
    assert whole({"batch": batch})["logits"].dtype == torch.float32
    twin = copy.deepcopy(whole)
    twin.members["a"].model.model[0].weight.zero_()
    assert not torch.equal(twin({"batch": batch})["logits"], whole({"batch": batch})["logits"])
    twin.double()
    assert next(twin.members["a"].model.parameters()).dtype == torch.float64
    assert next(whole.members["a"].model.parameters()).dtype == torch.float32


def test_members_hear_of_the_step():
    whole = Ensemble({"a": Given(Z[0]), "b": Frozen(mlp(2))})
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": whole})
    distiller.after_step()
    assert whole.members["a"].steps == [1]


def test_its_name():
    assert lookup("teacher", "ensemble") is Ensemble
