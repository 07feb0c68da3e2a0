"""Students that learn from each other, against loops written by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.toys import CE, KL, Squared, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import EMA, Ensemble, Frozen, Peer, PeerEnsemble, mutual_terms
from teachers import ranks as tasks
from teachers.oracles import confidence_weights, kdcl, softmax

BATCH = make_batch(7)
INPUTS, TARGET = BATCH["inputs"], BATCH["target"]
Z = np.random.default_rng(0).normal(scale=2.0, size=(3, 6, 4))
LABELS = np.array([0, 3, -100, 1, 1, 2])
METHODS = ["naive", "linear", "min_logit"]


def board(logits=Z, labels=LABELS):
    students = {name: {"logits": torch.as_tensor(z)} for name, z in zip("abcd", logits, strict=False)}
    return {"batch": {"target": torch.as_tensor(labels)}, **students}


def hard(names):
    return {f"hard_{name}": Term(CE(), {"student": f"{name}.logits"}) for name in names}


def train(distiller, optimizers, batches) -> None:
    for batch in batches:
        distiller.zero_grad()
        distiller(batch).loss().backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_mutual_learning_of_n_students(count, temperature):
    names = "abcd"[:count]
    terms = {**hard(names), **mutual_terms(names, temperature=temperature)}
    assert len(terms) == count + count * (count - 1)
    models = {name: mlp(seed, hidden=8 + seed) for seed, name in enumerate(names)}
    distiller = Distiller(models, terms).prepare([BATCH])
    distiller(BATCH).loss().backward()
    found = {name: gradients(distiller.students[name].model) for name in names}
    for seed, name in enumerate(names):
        model = mlp(seed, hidden=8 + seed)
        logits = model(INPUTS)
        loss = F.cross_entropy(logits, TARGET)
        for other in range(count):
            if other != seed:
                peer = mlp(other, hidden=8 + other)(INPUTS).detach()
                loss = loss + kl_by_hand(logits, peer, temperature) / (count - 1)
        loss.backward()
        torch.testing.assert_close(found[name], gradients(model), rtol=1e-5, atol=1e-7)


def test_one_optimizer_for_each_student_trains_what_one_for_all_trains():
    def make():
        return Distiller({"a": mlp(0), "b": mlp(1)}, {**hard("ab"), **mutual_terms("ab")})

    together, apart = make(), make()
    one = torch.optim.Adam(together.parameters(), lr=0.05)
    several = [torch.optim.Adam(apart.students[name].parameters(), lr=0.05) for name in "ab"]
    together.attach(one)
    apart.attach(*several)
    batches = [make_batch(7, seed=k) for k in range(4)]
    train(together, [one], batches)
    train(apart, several, batches)
    assert apart.step == together.step == 4
    torch.testing.assert_close(dict(apart.state_dict()), dict(together.state_dict()))


def test_a_teacher_that_trains_along():
    terms = {"hard": Term(CE()), "soft": Term(KL()), "teach": Term(CE(), {"student": "teacher.logits"})}
    distiller = Distiller({"student": mlp(0), "teacher": mlp(1, hidden=16)}, terms)
    distiller(BATCH).loss().backward()
    student, teacher = mlp(0), mlp(1, hidden=16)
    taught = teacher(INPUTS)
    F.cross_entropy(taught, TARGET).backward()
    (F.cross_entropy(student(INPUTS), TARGET) + kl_by_hand(student(INPUTS), taught.detach())).backward()
    for name, model in (("student", student), ("teacher", teacher)):
        torch.testing.assert_close(gradients(distiller.students[name].model), gradients(model), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_common_voice_of_students_as_in_the_paper(method, members):
    found = PeerEnsemble("abc"[:members], method=method)(board())["logits"].numpy()
    for row, label in enumerate(LABELS):
        logits = Z[:members, row]
        expected = kdcl(method, logits, label) if label >= 0 else logits.mean(0)
        np.testing.assert_allclose(softmax(found[row]), softmax(expected), atol=1e-4)
        if method == "naive" or label < 0:
            np.testing.assert_allclose(found[row], expected)


@pytest.mark.parametrize("scale", [1.0, 4.0, 30.0])
def test_the_linear_combination_is_as_good_as_the_best(scale):
    z = np.random.default_rng(1).normal(scale=scale, size=(4, 40, 10))
    labels = np.arange(40) % 10
    found = PeerEnsemble("abcd", method="linear")(board(z, labels))["logits"].numpy()
    best = np.stack([kdcl("linear", z[:, row], labels[row]) for row in range(40)])
    rows = np.arange(40)
    costs = [-np.log(softmax(one)[rows, labels]) for one in (found, best)]
    assert (costs[0] - costs[1]).max() < 1e-5
    naive = -np.log(softmax(z)[:, rows, labels]).min(0)
    assert (costs[0] <= naive + 1e-9).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_student_is_better_than_the_common_voice_and_equal_students_are_it(method):
    found = PeerEnsemble("abc", method=method)(board())["logits"].numpy()
    known = LABELS >= 0
    costs = -np.log(softmax(found)[known, LABELS[known]])
    alone = -np.log(softmax(Z)[:, known, LABELS[known]])
    assert (costs <= alone.min(0) + 1e-9).all()
    same = PeerEnsemble("abc", method=method)(board([Z[0]] * 3))["logits"].numpy()
    np.testing.assert_allclose(softmax(same), softmax(Z[0]))


@pytest.mark.parametrize("method", METHODS)
def test_sequences_extremes_and_half_precision(method):
    sequence = PeerEnsemble("ab", method=method)(board(Z[:2].reshape(2, 2, 3, 4), LABELS.reshape(2, 3)))["logits"]
    flat = PeerEnsemble("ab", method=method)(board(Z[:2]))["logits"]
    torch.testing.assert_close(sequence.view(6, 4), flat)
    extreme = PeerEnsemble("ab", method=method)(board([np.eye(4) * 1e4, -np.eye(4) * 1e4], [0, 1, 2, 0]))["logits"]
    assert extreme.isfinite().all()
    rounded = {name: {"logits": torch.as_tensor(z).bfloat16()} for name, z in zip("ab", Z, strict=False)}
    assert PeerEnsemble("ab", method=method)({**board(), **rounded})["logits"].dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_students_that_learn_from_their_common_voice(method):
    terms = hard("ab")
    for name in "ab":
        terms[f"soft_{name}"] = Term(KL(), {"student": f"{name}.logits"})
    distiller = Distiller({"a": mlp(0), "b": mlp(1)}, terms, {"teacher": PeerEnsemble("ab", method=method)})
    distiller.prepare([BATCH])(BATCH).loss().backward()
    logits = [mlp(seed)(INPUTS).detach() for seed in (0, 1)]
    rows = [kdcl(method, torch.stack(logits)[:, row].numpy(), TARGET[row].item()) for row in range(7)]
    voice = torch.as_tensor(np.stack(rows))
    for seed, name in enumerate("ab"):
        model = mlp(seed)
        (F.cross_entropy(model(INPUTS), TARGET) + kl_by_hand(model(INPUTS), voice)).backward()
        found = gradients(distiller.students[name].model)
        torch.testing.assert_close(found, gradients(model), rtol=1e-3, atol=1e-4)


def test_an_ensemble_of_peers_and_of_a_frozen_teacher():
    ensemble = Ensemble({"a": Peer("a"), "b": Peer("b"), "old": Frozen(mlp(5), {"hidden": "1"})}, weights="confidence")
    hint = {"student": "a.hidden", "teacher": "teacher.b.hidden"}
    terms = {**hard("ab"), "soft": Term(KL(), {"student": "a.logits"}), "hint": Term(Squared(), hint)}
    students = {name: Tapped(mlp(seed), {"hidden": "1"}) for seed, name in enumerate("ab")}
    distiller = Distiller(students, terms, {"teacher": ensemble}).prepare([BATCH])
    out = distiller(BATCH)
    logits = torch.stack([mlp(seed)(INPUTS).detach() for seed in (0, 1, 5)])
    weights = torch.as_tensor(confidence_weights(logits.numpy(), TARGET.numpy()))
    mean = (weights[..., None] * logits.softmax(-1)).sum(0)
    torch.testing.assert_close(out.outputs["teacher"]["logits"].softmax(-1), mean)
    assert not any(value.requires_grad for value in out.outputs["teacher"]["b"].values())
    distiller.zero_grad()
    out.terms["hint"].sum.backward()
    assert gradients(distiller.students["b"].model) == {}
    assert gradients(distiller.students["a"].model)["0.weight"].abs().sum() > 0


def test_online_and_self_together():
    """A mean teacher of one of two students that learn from each other, all in one step."""
    terms = {**hard("ab"), **mutual_terms("ab"), "mean": Term(KL(), {"student": "a.logits", "teacher": "ema.logits"})}
    distiller = Distiller({"a": mlp(0), "b": mlp(1)}, terms, {"ema": EMA("a", decay=0.5)}).prepare([BATCH])
    optimizers = [torch.optim.SGD(distiller.students[name].parameters(), lr=0.1) for name in "ab"]
    distiller.attach(*optimizers)
    before = distiller.students["a"].model[0].weight.detach().clone()
    train(distiller, optimizers, [BATCH])
    after = distiller.students["a"].model[0].weight.detach()
    torch.testing.assert_close(distiller.teachers["ema"].model.model[0].weight, (before + after) / 2)


def test_processes_and_micro_batches_train_what_one_process_trains(ranks):
    one, two = ranks(tasks.peers, 3)
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    torch.testing.assert_close(one, tasks.peers_of_whole_batches(3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_it_equals_the_eager_one(method):
    torch.compiler.reset()
    terms = {**hard("ab"), "soft": Term(KL(), {"student": "a.logits"})}
    distiller = Distiller({"a": mlp(0), "b": mlp(1)}, terms, {"teacher": PeerEnsemble("ab", method=method)})
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())
    assert not distiller.teachers["teacher"].state_dict()
    torch.testing.assert_close(copy.deepcopy(distiller)(BATCH).loss(), distiller(BATCH).loss())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mutual_terms(["a"]), r"mutual_terms: the students are \['a'\]; expected at least two"),
        (lambda: mutual_terms(["a", "a"]), "expected at least two different names"),
        (lambda: mutual_terms(["a", "B"]), "the student name 'B' must match"),
        (lambda: PeerEnsemble(["a"]), "peer_ensemble: the students are"),
        (lambda: PeerEnsemble("ab", method="general"), "method='general'; it is 'naive', 'linear' or 'min_logit'"),
        (lambda: PeerEnsemble("ab")(board(labels=np.zeros(6))), "expected one integer class for each of the rows"),
        (lambda: PeerEnsemble("ab")(board(labels=np.zeros((6, 4), dtype=int))), "expected one integer class"),
        (lambda: Peer("a.b"), r"the student name 'a\.b' must match"),
        (
            lambda: Distiller({"a": mlp(0)}, {"soft": Term(KL(), {"student": "a.logits"})}, {"teacher": Peer("b")}),
            "teacher 'teacher': no source 'b'",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_their_names():
    assert lookup("teacher", "peer") is Peer
    assert lookup("teacher", "peer_ensemble") is PeerEnsemble
