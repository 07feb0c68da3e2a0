"""Teachers whose classes are others than the student's, alone and joined."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from core.toys import CE, KL, Squared, gradients, kl_by_hand, make_batch, mlp
from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import Confidence, Ensemble, Frozen, MapClasses
from refusals import refused
from teachers.oracles import joined_by_cross_entropy, joined_by_least_squares, softmax
from teachers.test_ensemble import Given

NAMES = ["ant", "bee", "cat", "dog", "emu"]
BATCH = make_batch(7)
JOINED = {"probabilities": joined_by_cross_entropy, "logits": joined_by_least_squares}


def draw(*shape, seed=0, scale=1.5):
    return np.random.default_rng(seed).normal(scale=scale, size=shape)


def mapped(logits, classes, to=NAMES) -> MapClasses:
    return MapClasses(Given(logits), classes=classes, to=to)


def test_another_order():
    z = draw(6, 5)
    teacher = mapped(z, ["emu", "ant", "dog", "cat", "bee"])
    np.testing.assert_array_equal(teacher({})["logits"], z[:, [1, 4, 3, 2, 0]])
    assert teacher.known is None
    np.testing.assert_array_equal(teacher({})["hidden"], z * 2)


def test_classes_that_only_the_teacher_has_are_left_out():
    z = draw(6, 7)
    teacher = mapped(z, ["fox", "emu", "ant", "dog", "gnu", "cat", "bee"])
    assert teacher.known is None
    found = softmax(teacher({})["logits"].numpy())
    np.testing.assert_allclose(found, softmax(z)[:, [2, 6, 5, 3, 1]] / softmax(z)[:, [1, 2, 3, 5, 6]].sum(-1)[:, None])


def test_classes_that_the_teacher_lacks_have_no_logits():
    z = draw(6, 3)
    teacher = mapped(z, ["dog", "ant", "fox"])
    np.testing.assert_array_equal(teacher({})["logits"], z[:, [1, 0]])
    assert teacher.known == ((0, 3), 5)


def test_numbers_and_sequences():
    z = draw(2, 3, 3)
    np.testing.assert_array_equal(mapped(z, [2, 0, 1], range(3))({})["logits"], z[..., [1, 2, 0]])


@pytest.mark.parametrize(
    ("classes", "to", "message"),
    [
        (["ant", "ant"], NAMES, r"the teacher's classes name \['ant'\] twice"),
        (NAMES, ["bee", "ant", "bee"], r"the student's classes name \['bee'\] twice"),
        (["fox", "ant"], NAMES, r"1 of the student's 5 classes are among the teacher's \['fox', 'ant'\]"),
        ([0, 1, 2, 3, 4], NAMES, r"0 of the student's 5 .* write both as \['ant', 'bee', 'cat', 'dog', …\]"),
    ],
)
def test_maps_that_cannot_be_right_are_refused_when_built(classes, to, message):
    with pytest.raises(ArgumentError, match=message):
        mapped(draw(2, 5), classes, to)


def test_another_number_of_logits_is_refused():
    with refused(ArgumentError, "mismatch", "classes"):
        mapped(draw(2, 4), NAMES)({})


def partial(seed, classes) -> MapClasses:
    """A teacher of three logits for three of the student's four classes."""
    return MapClasses(Frozen(mlp(seed)), classes=[*classes, "other"], to=range(4))


def test_alone_it_is_compared_with_the_student_s_softmax_over_its_classes():
    teacher = partial(1, [3, 0, 2])
    distiller = Distiller(mlp(0), {"soft": Term(KL(), classes=teacher.known.classes)}, {"teacher": teacher})
    distiller.prepare([BATCH])(BATCH).loss().backward()
    model = mlp(0)
    kl_by_hand(model(BATCH["inputs"])[:, [0, 2, 3]], mlp(1)(BATCH["inputs"])[:, [1, 2, 0]].detach()).backward()
    torch.testing.assert_close(gradients(distiller.students["student"].model), gradients(model), rtol=1e-6, atol=1e-9)
    # The class that the teacher does not know learns nothing from it.
    assert distiller.students["student"].model[2].bias.grad[1] == 0


def test_a_wrapper_around_it_knows_what_it_knows():
    assert Confidence(partial(1, [3, 0, 2])).known == partial(1, [3, 0, 2]).known
    assert Confidence(Frozen(mlp(1))).known is None


def test_without_the_classes_the_shapes_do_not_fit():
    distiller = Distiller(mlp(0), {"soft": Term(KL())}, {"teacher": partial(1, [3, 0, 2])})
    with pytest.raises(RuntimeError, match="must match"):
        distiller.prepare([BATCH])


def test_it_moves_and_copies_with_the_distiller():
    teacher = partial(1, [3, 0, 2])
    terms = {"soft": Term(KL(), classes=teacher.known.classes)}
    distiller = Distiller(mlp(0), terms, {"teacher": teacher})
    assert not any("teacher" in name for name in distiller.state_dict())
    twin = copy.deepcopy(distiller).float()
    batch = {**BATCH, "inputs": BATCH["inputs"].float()}
    torch.testing.assert_close(twin(batch).loss().double(), distiller(BATCH).loss(), rtol=1e-4, atol=1e-5)


OVERLAPS = {
    "two": [[0, 1, 2], [2, 3, 4]],
    "chain": [[0, 1], [1, 2], [2, 3], [3, 4]],
    "nested": [[0, 1, 2, 3, 4], [1, 3]],
    "wide": [[0, 1, 2, 4], [0, 2, 3, 4], [1, 2, 3]],
    "all": [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
}


def joined(logits, classes, **options):
    members = {
        f"m{m}": mapped(z, [NAMES[c] for c in known]) for m, (z, known) in enumerate(zip(logits, classes, strict=True))
    }
    return Ensemble(members, **options)


def some(classes, rows=6, scale=1.5):
    return [draw(rows, len(known), seed=m, scale=scale) for m, known in enumerate(classes)]


def compare(found, mean, logits, classes, weights, temperature=1.0, tolerance=1e-5):
    for row in range(len(found)):
        ours = [z[row] / temperature for z in logits]
        expected = JOINED[mean](ours, classes, weights[:, row] if weights.ndim == 2 else weights, 5)
        np.testing.assert_allclose(softmax(found[row] / temperature), expected, atol=tolerance)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("mean", ["probabilities", "logits"])
@pytest.mark.parametrize("overlap", OVERLAPS)
def test_teachers_that_know_some_classes_are_joined_as_in_the_paper(overlap, mean, temperature):
    classes = OVERLAPS[overlap]
    logits = some(classes)
    weights = np.arange(1.0, len(classes) + 1) / sum(range(1, len(classes) + 1))
    named = {f"m{m}": weight for m, weight in enumerate(weights)}
    whole = joined(logits, classes, weights=named, mean=mean, temperature=temperature)
    assert whole.known is None
    # The mean of logits has no temperature: it is that of the logits as they are.
    temperature = temperature if mean == "probabilities" else 1.0
    compare(whole({})["logits"].numpy(), mean, logits, classes, weights, temperature)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_conditions_of_one_distribution_give_it_back(mean, scale):
    z = draw(50, 5, scale=scale)
    classes = OVERLAPS["chain"]
    shifted = [z[:, known] + shift for shift, known in enumerate(classes)]
    found = joined(shifted, classes, mean=mean)({})["logits"].numpy()
    np.testing.assert_allclose(softmax(found), softmax(z), atol=1e-6)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_where_all_know_all_it_is_the_plain_mean(mean):
    z, weights = draw(3, 6, 5), {"m0": 1.0, "m1": 2.0, "m2": 5.0}
    # A class that only one teacher has makes no difference to the others.
    whole = joined([*z, draw(6, 2)], [list(range(5))] * 3 + [[0, 1]], mean=mean, weights={**weights, "m3": 0.0})
    plain = Ensemble({f"m{m}": Given(one) for m, one in enumerate(z)}, weights, mean=mean)
    np.testing.assert_allclose(softmax(whole({})["logits"].numpy()), softmax(plain({})["logits"].numpy()), atol=1e-9)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_a_teacher_that_knows_all_joins_teachers_that_do_not(mean):
    classes, logits = [[0, 1, 2, 3, 4], [1, 2]], some([[0, 1, 2, 3, 4], [1, 2]])
    members = {"all": Given(logits[0]), "some": mapped(logits[1], ["bee", "cat"])}
    found = Ensemble(members, mean=mean)({})["logits"].numpy()
    compare(found, mean, logits, classes, np.ones(2) / 2)


def test_together_they_may_still_know_only_some():
    classes = [[0, 1], [1, 3]]
    whole = joined(some(classes), classes)
    assert whole.known == ((0, 1, 3), 5)
    assert whole({})["logits"].shape == (6, 3)
    outer = Ensemble({"inner": whole, "more": mapped(draw(6, 2), ["dog", "emu"])})
    assert outer.known == ((0, 1, 3, 4), 5)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_weights_by_confidence_where_a_teacher_does_not_know_the_label(mean):
    classes, target = OVERLAPS["two"], np.array([0, 2, 4, 2, -100, 3])
    logits = some(classes)
    outputs = joined(logits, classes, weights="confidence", mean=mean)({"batch": {"target": torch.as_tensor(target)}})
    weights = np.stack([w.numpy() for w in outputs["weights"].values()])
    for row, label in enumerate(target):
        if label in (0, 3, 4):
            # Only one of the two knows it.
            expected = [1.0, 0.0] if label == 0 else [0.0, 1.0]
        elif label == 2:
            costs = [1 / softmax(logits[0][row])[2], 1 / softmax(logits[1][row])[0]]
            expected = 1 - np.array(costs) / sum(costs)
        else:
            expected = [0.5, 0.5]
        np.testing.assert_allclose(weights[:, row], expected, atol=1e-12)
    assert outputs["logits"].isfinite().all()
    both = target == 2
    found = outputs["logits"].numpy()[both]
    compare(found, mean, [z[both] for z in logits], classes, weights[:, both])


def test_weights_by_entropy_of_what_each_knows():
    classes = OVERLAPS["two"]
    logits = some(classes)
    outputs = joined(logits, classes, weights="entropy")({})
    costs = np.stack([-(softmax(z) * np.log(softmax(z))).sum(-1) for z in logits])
    expected = 1 - np.exp(costs) / np.exp(costs).sum(0)
    np.testing.assert_allclose(np.stack([w.numpy() for w in outputs["weights"].values()]), expected, rtol=1e-10)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_learned_weights_have_the_gradient_of_finite_differences(mean):
    classes = OVERLAPS["wide"]
    whole = joined(some(classes), classes, weights="learned", mean=mean)
    whole.scores.data = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)

    def loss(scores):
        logits = torch.func.functional_call(whole, {"scores": scores}, ({},))["logits"]
        return logits.log_softmax(-1)[:, 1].sum()

    assert torch.autograd.gradcheck(loss, (whole.scores.detach().requires_grad_(),))


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_extreme_logits_and_float32_stay_finite(mean):
    classes = OVERLAPS["two"]
    logits = [np.eye(3)[[0, 1, 2]].astype(np.float32) * 1e4, -np.eye(3)[[0, 1, 2]].astype(np.float32) * 1e4]
    found = joined(logits, classes, mean=mean)({})["logits"]
    assert found.isfinite().all()


def test_teachers_without_a_common_class_are_refused():
    with refused(ArgumentError, "mismatch", "members"):
        joined(some([[0, 1], [2, 3]]), [[0, 1], [2, 3]])


def test_maps_to_other_students_are_refused():
    with refused(ArgumentError, "mismatch", "members"):
        Ensemble({"a": mapped(draw(6, 2), ["ant", "bee"]), "b": mapped(draw(6, 2), ["ant", "bee"], NAMES[:4])})


def test_a_member_with_another_number_of_logits_than_classes_is_refused():
    with refused(
        ArgumentError, "mismatch", "members.b", match=r"the member 'b' gives logits \[6, 3\]; it is to know 5 classes"
    ):
        Ensemble({"a": mapped(draw(6, 2), ["ant", "bee"]), "b": Given(draw(6, 3))})({})


def ensemble_of_two(mean="probabilities") -> Distiller:
    members = {
        "a": MapClasses(Frozen(mlp(1), {"hidden": "1"}), classes=[3, 0, 1, "other"], to=range(4)),
        "b": MapClasses(Frozen(mlp(2)), classes=["other", 2, 1, "more"], to=range(4)),
    }
    hint = {"student": "student.hidden", "teacher": "teacher.a.hidden"}
    terms = {"hard": Term(CE()), "soft": Term(KL()), "hint": Term(Squared(), hint)}
    student = Tapped(mlp(0), {"hidden": "1"})
    return Distiller(student, terms, {"teacher": Ensemble(members, mean=mean, temperature=2.0)}).prepare([BATCH])


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_a_step_with_teachers_joined_read_by_logits_and_features(mean):
    distiller = ensemble_of_two(mean)
    out = distiller(BATCH)
    out.loss().backward()
    model, inputs = mlp(0), BATCH["inputs"]
    one, two = (mlp(seed)(inputs).detach().numpy() for seed in (1, 2))
    logits = [one[:, [1, 2, 0]], two[:, [2, 1]]]
    temperature = 2.0 if mean == "probabilities" else 1.0
    q = np.stack(
        [JOINED[mean]([z[r] / temperature for z in logits], [[0, 1, 3], [1, 2]], [0.5, 0.5], 4) for r in range(7)]
    )
    soft = kl_by_hand(model(inputs), torch.as_tensor(np.log(q) * temperature))
    hint = (model[:2](inputs) - mlp(1)[:2](inputs).detach()).square().mean()
    (nn.functional.cross_entropy(model(inputs), BATCH["target"]) + soft + hint).backward()
    found = gradients(distiller.students["student"].model.get_submodule(""))
    torch.testing.assert_close(found, gradients(model), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
def test_compiled_it_equals_the_eager_one(mean):
    torch.compiler.reset()
    distiller = ensemble_of_two(mean)
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(BATCH).loss(), distiller(BATCH).loss())


def test_its_name():
    assert lookup("teacher", "map_classes") is MapClasses
