"""Weights that are learned, and weights that differ from row to row."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.toys import CE, KL, Squared, gradients, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.functional import SparseLogits
from limbeck.teachers import Cached, Ensemble, Frozen, MapClasses, RandomTeacher, Renormalize, Resize
from refusals import refused
from teachers import ranks as tasks
from teachers.oracles import confidence_weights, entropy_weights, softmax
from teachers.test_ensemble import Given

Z = np.random.default_rng(0).normal(scale=3.0, size=(3, 6, 4))
TARGET = np.array([0, 3, -100, 1, 1, 2])
BOARD = {"batch": {"target": torch.as_tensor(TARGET)}}
BATCH = make_batch(7)


def ensemble(logits=Z, **options) -> Ensemble:
    return Ensemble({name: Given(z) for name, z in zip("abc", logits, strict=False)}, **options)


def expected_weights(kind, logits=Z):
    return confidence_weights(logits, TARGET) if kind == "confidence" else entropy_weights(logits)


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("kind", ["confidence", "entropy"])
def test_weights_for_each_row(kind, members):
    outputs = ensemble(Z[:members], weights=kind)(BOARD)
    found = np.stack([w.numpy() for w in outputs["weights"].values()])
    np.testing.assert_allclose(found, expected_weights(kind, Z[:members]), rtol=1e-10)
    np.testing.assert_allclose(found.sum(0), 1, rtol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("kind", ["confidence", "entropy"])
def test_the_mean_under_them(kind, temperature):
    weights = expected_weights(kind)
    found = ensemble(weights=kind, temperature=temperature)(BOARD)["logits"].numpy()
    mean = np.einsum("mb,mbc->bc", weights, softmax(Z / temperature))
    np.testing.assert_allclose(softmax(found / temperature), mean, rtol=1e-10)
    found = ensemble(weights=kind, mean="logits")(BOARD)["logits"].numpy()
    np.testing.assert_allclose(found, np.einsum("mb,mbc->bc", weights, Z), rtol=1e-10)


@pytest.mark.parametrize("kind", ["confidence", "entropy"])
def test_the_better_member_counts_for_more_however_sure_the_others_are(kind):
    sure, right = np.eye(4)[TARGET.clip(0)] * 1e4, np.eye(4)[TARGET.clip(0)] * 5
    found = ensemble([right, -sure], weights=kind)(BOARD)
    assert all(w.isfinite().all() for w in found["weights"].values())
    assert found["logits"].isfinite().all()
    assert (found["weights"]["a"][TARGET >= 0] > 0.5).all()


@pytest.mark.parametrize("kind", ["confidence", "entropy"])
def test_one_member_alone_has_weight_1(kind):
    found = ensemble(Z[:1], weights=kind)(BOARD)
    np.testing.assert_array_equal(found["weights"]["a"], 1.0)


def test_sequences_are_weighed_at_every_position():
    board = {"batch": {"target": torch.as_tensor(TARGET).view(2, 3)}}
    for kind in ("confidence", "entropy"):
        found = ensemble(Z.reshape(3, 2, 3, 4), weights=kind)(board)
        torch.testing.assert_close(found["logits"].view(6, 4), ensemble(weights=kind)(BOARD)["logits"])
        assert found["weights"]["b"].shape == (2, 3)


def test_confidence_reads_the_label_where_it_is_told():
    assert ensemble(weights="confidence", target="batch.coarse").reads == ("batch.inputs", "batch.coarse")
    assert "batch.target" not in ensemble(weights="entropy").reads


def test_no_gradient_flows_through_weights_of_rows():
    logits = torch.as_tensor(Z).clone().requires_grad_()
    for kind in ("confidence", "entropy"):
        outputs = Ensemble({name: Given(Z[0]) for name in "abc"}, weights=kind)
        for member, z in zip(outputs.members.values(), logits, strict=True):
            member.logits = z
        assert not outputs(BOARD)["weights"]["a"].requires_grad
        assert outputs(BOARD)["logits"].requires_grad


def test_a_target_that_is_no_class_is_refused():
    for target in (torch.rand(6), torch.zeros(6, 4, dtype=torch.int64)):
        with refused(ArgumentError, "wrong_shape", "target"):
            ensemble(weights="confidence")({"batch": {"target": target}})


def test_confidence_aware_distillation_of_logits_and_features():
    """Zhang et al. 2022: the divergence from the members and the hints, each by the member's weight for the row."""
    members = {"a": Frozen(mlp(1), {"hidden": "1"}), "b": Frozen(mlp(2), {"hidden": "1"})}
    terms = {"soft": Term(KL())}
    for name in members:
        inputs = {"student": "student.hidden", "teacher": f"teacher.{name}.hidden"}
        terms[f"hint_{name}"] = Term(Squared(), inputs, scale=f"teacher.weights.{name}")
    teacher = Ensemble(members, weights="confidence", temperature=2.0)
    student = Tapped(mlp(0), {"hidden": "1"})
    distiller = Distiller(student, terms, {"teacher": teacher}).prepare([BATCH])
    distiller(BATCH).loss().backward()

    model, inputs = mlp(0), BATCH["inputs"]
    hidden, logits = model[:2](inputs), model(inputs)
    taught = [mlp(seed)(inputs).detach() for seed in (1, 2)]
    weights = torch.as_tensor(confidence_weights(torch.stack(taught).numpy(), BATCH["target"].numpy()))
    loss = torch.zeros(())
    for z, weight, seed in zip(taught, weights, (1, 2), strict=True):
        # Cross-entropy instead of divergence: the same gradient.
        cross = -((z / 2).softmax(-1) * (logits / 2).log_softmax(-1)).sum(-1) * 4
        squared = (hidden - mlp(seed)[:2](inputs).detach()).square().mean(-1)
        loss = loss + (weight * (cross + squared)).mean()
    loss.backward()
    torch.testing.assert_close(gradients(student.model), gradients(model), rtol=1e-6, atol=1e-9)


def learned() -> Distiller:
    members = {"a": Frozen(mlp(1)), "b": Frozen(mlp(2)), "c": Frozen(mlp(3))}
    terms = {
        "soft": Term(KL()),
        "weights": Term(CE(), {"student": "teacher.logits"}, where="batch.admitted"),
    }
    return Distiller(mlp(0), terms, {"teacher": Ensemble(members, weights="learned")})


def test_learned_weights_begin_equal():
    outputs = ensemble(weights="learned")({})
    torch.testing.assert_close(outputs["logits"], ensemble()({})["logits"])
    assert [w.item() for w in outputs["weights"].values()] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_learned_weights_are_a_softmax_of_parameters(mean):
    whole = ensemble(weights="learned", mean=mean)
    whole.scores.data = torch.tensor([0.0, np.log(2.0), np.log(5.0)])
    fixed = ensemble(weights={"a": 1, "b": 2, "c": 5}, mean=mean)
    torch.testing.assert_close(whole({})["logits"], fixed({})["logits"], rtol=1e-6, atol=1e-6)


def test_learned_weights_learn_from_the_labels_alone():
    distiller = learned().prepare([BATCH])
    distiller(BATCH).loss().backward()
    scores = torch.zeros(3, requires_grad=True)
    chosen = BATCH["admitted"]
    members = torch.stack([mlp(seed)(BATCH["inputs"]).softmax(-1).detach() for seed in (1, 2, 3)])
    mean = torch.einsum("m,mbc->bc", scores.double().softmax(0), members)
    F.nll_loss(mean.log()[chosen], BATCH["target"][chosen]).backward()
    torch.testing.assert_close(distiller.teachers["teacher"].scores.grad, scores.grad)
    assert all(p.grad is not None for p in distiller.parameters())


def test_learned_weights_are_trained_with_the_student_and_kept_in_the_state():
    distiller = learned().prepare([BATCH])
    optimizer = torch.optim.SGD(distiller.parameters(), lr=1.0)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        out = distiller(BATCH)
        losses.append(out.terms["weights"].value.item())
        out.loss().backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    fresh = learned()
    fresh.load_state_dict(copy.deepcopy(distiller.state_dict()))
    torch.testing.assert_close(fresh(BATCH).loss(), distiller(BATCH).loss())


def test_weights_that_no_term_trains_are_refused_before_the_first_step():
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": ensemble(weights="learned")})
    with refused(ArgumentError, "no_effect", "teachers.teacher"):
        distiller.prepare([{**BATCH}])


def test_processes_learn_the_same_weights(ranks):
    one, two = ranks(tasks.learned_weights, 3)
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    whole = tasks.learned_weights_of_whole_batches(3)
    torch.testing.assert_close(one, whole)
    assert one["scores"].abs().max() > 0


@pytest.mark.parametrize("weights", ["learned", "confidence", "entropy"])
def test_compiled_it_equals_the_eager_one(weights):
    torch.compiler.reset()
    members = {"a": Frozen(mlp(1)), "b": Frozen(mlp(2))}
    terms = {"soft": Term(KL()), "weights": Term(CE(), {"student": "teacher.logits"})}
    distiller = Distiller(mlp(0), terms, {"teacher": Ensemble(members, weights=weights)}).prepare([BATCH])
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())


def test_members_of_another_size_normalization_and_layer():
    small, large = nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    normalized = Renormalize(mean=[0.5], std=[0.25], to_mean=[0.1], to_std=[2.0])
    images = torch.rand(5, 1, 4, 4)
    whole = Ensemble(
        {
            "small": Frozen(small, {"flat": "0"}, preprocess=normalized),
            "large": Frozen(large, {"spread": "0"}, preprocess=Resize(size=(8, 8)), inputs="batch.other"),
        },
        mean="logits",
    )
    assert whole.reads == ("batch.inputs", "batch.other")
    outputs = whole({"batch": {"inputs": images, "other": images * 2}})
    plain = images * 0.25 + 0.5
    resized = F.interpolate(images * 2, (8, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(outputs["small"]["flat"], ((plain - 0.1) / 2).flatten(1))
    torch.testing.assert_close(outputs["large"]["spread"], resized.flatten(1))
    torch.testing.assert_close(outputs["logits"], (small((plain - 0.1) / 2) + large(resized)).detach() / 2)


@pytest.mark.parametrize("whole", [Ensemble, RandomTeacher])
def test_each_member_is_live_or_cached_on_its_own(whole):
    teachers = {"a": Frozen(mlp(1), {"hidden": "1"}), "b": Frozen(mlp(2), {"hidden": "1"})}
    said = teachers["b"]({"batch": BATCH})
    batch = {**BATCH, "cached": {"b": {name: value.half() for name, value in said.items()}}}
    live, cached = whole(teachers), whole({"a": teachers["a"], "b": Cached("b")})
    assert cached.reads == ("batch.inputs", "batch.cached.b")
    for step in range(4):
        for teacher in (live, cached):
            if whole is RandomTeacher:
                teacher.follow_step(step)
        expected, found = live({"batch": batch})["logits"], cached({"batch": batch})["logits"]
        torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=2e-3)


def test_logits_of_which_only_some_were_kept_are_refused():
    sparse = SparseLogits(torch.zeros(7, 2, dtype=torch.int64), torch.zeros(7, 2), torch.zeros(7), classes=4)
    board = {"batch": {**BATCH, "cached": {"b": {"logits": sparse}}}}
    with refused(ArgumentError, "unsupported", "logits"):
        Ensemble({"a": Frozen(mlp(1)), "b": Cached("b")})(board)
    with refused(ArgumentError, "unsupported", "logits"):
        MapClasses(Cached("b"), classes=[1, 0], to=[0, 1])(board)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ensemble(weights="best"), "weights='best'; they are numbers, 'learned', 'confidence' or 'entropy'"),
        (lambda: Ensemble({"weights": Given(Z[0])}), "'weights' is the name of the ensemble's own output"),
    ],
)
def test_what_cannot_be_right_is_refused_when_built(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()
