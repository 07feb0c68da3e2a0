"""A student that ends in its teacher's classifier, against the same written by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from limbeck.core import Distiller, Tapped, Term
from limbeck.errors import ArgumentError
from limbeck.export import Session, export_onnx
from limbeck.losses import CrossEntropy, HintMSE
from limbeck.measure import parameters
from limbeck.models import MLP, Normalized, ResNet, ReusedClassifier, load_weights, save_weights
from limbeck.teachers import Frozen

PATHS = {"student_features": "net.stage3", "teacher_features": "net.stage3"}
INPUTS = {"student": "student.features", "teacher": "teacher.features"}


def images(rows, seed=0):
    return torch.rand(rows, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def network(seed, width, mean=0.5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Normalized(ResNet(channels=1, classes=5, size=(8, 8), width=width), [mean], [0.5])


def make(seed=0, **options) -> tuple[ReusedClassifier, Normalized]:
    teacher = network(1, 8, mean=0.1)
    # Statistics that a student's training would spoil.
    teacher.train()(images(16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = ReusedClassifier(network(seed, 4), teacher, **{**PATHS, **options}, example=images(1))
    return student, teacher.eval()


def distilled(student, teacher) -> Distiller:
    taught = Frozen(teacher, {"features": "net.stage3"})
    terms = {"features": Term(HintMSE(project=False), INPUTS)}
    return Distiller(Tapped(student, {"features": "projector"}), terms, {"teacher": taught})


def test_a_step_of_simkd():
    student, teacher = make()
    batch = {"inputs": images(6)}
    distiller = distilled(student, teacher).prepare([batch])
    loss = distiller(batch).loss()
    loss.backward()
    by_hand, _ = make()
    wanted = Tapped(teacher, {"f": "net.stage3"})(images(6))["f"].detach()
    encoded = by_hand.encoder(images(6))
    expected = (by_hand.projector(encoded) - wanted).square().mean()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for part in ("encoder", "projector"):
        for (name, one), (_, other) in zip(
            getattr(student, part).named_parameters(), getattr(by_hand, part).named_parameters(), strict=True
        ):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert all(p.grad is None and not p.requires_grad for p in student.classifier.parameters())


def test_with_the_teacher_s_features_it_is_the_teacher():
    student, teacher = make()
    features = Tapped(teacher, {"f": "net.stage3"})(images(6))["f"]
    torch.testing.assert_close(student.train().classifier(features), teacher(images(6)))


def test_the_encoder_is_the_student_up_to_its_features_with_its_own_normalization():
    student, _ = make()
    expected = Tapped(network(0, 4).eval(), {"f": "net.stage3"})(images(3))["f"]
    torch.testing.assert_close(student.eval().encoder(images(3)), expected)


def test_training_changes_neither_the_classifier_nor_the_teacher():
    student, teacher = make(student_features="net.stage2", teacher_features="net.stage2")
    assert any("running_mean" in name for name in student.classifier.state_dict())
    before = copy.deepcopy((student.classifier.state_dict(), teacher.state_dict()))
    # Even with a term on labels, whose gradient flows through the classifier.
    terms = {"features": Term(HintMSE(project=False), INPUTS), "hard": Term(CrossEntropy())}
    taught = Frozen(teacher, {"features": "net.stage2"})
    distiller = Distiller(Tapped(student, {"features": "projector"}), terms, {"teacher": taught})
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        batch = {"inputs": images(16, seed=step % 2), "target": torch.arange(16) % 5}
        loss = distiller.train()(batch).loss()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for state, kept in zip((student.classifier.state_dict(), teacher.state_dict()), before, strict=True):
        torch.testing.assert_close(dict(state), dict(kept), rtol=0, atol=0)


def test_a_larger_map_is_averaged_to_the_teacher_s_size():
    student, _ = make(student_features="net.stage1")
    encoded = student.eval().encoder(images(2))
    assert encoded.shape == (2, 4, 8, 8)
    taps = Tapped(student, {"features": "projector"})(images(2))
    torch.testing.assert_close(taps["features"], student.projector(F.avg_pool2d(encoded, 4)))
    assert taps["logits"].shape == (2, 5)


def test_what_is_shipped_is_one_model(tmp_path):
    student, teacher = make()
    student.eval()
    own = parameters(student.encoder) + parameters(student.projector)
    assert parameters(student) == own + parameters(teacher.net.head)
    path = tmp_path / "student.onnx"
    export_onnx(
        student, path, example=images(2), outputs={"logits": ("batch",)}, names={"logits": list("abcde")}, metadata={}
    )
    found = torch.as_tensor(Session(path)(images(3))["logits"])
    torch.testing.assert_close(found, student(images(3)).detach(), rtol=1e-4, atol=1e-5)
    save_weights(student, tmp_path / "student.safetensors")
    other, _ = make(seed=7)
    load_weights(other, tmp_path / "student.safetensors")
    torch.testing.assert_close(other.eval()(images(3)), student(images(3)), rtol=0, atol=0)


def test_copies_and_compile():
    torch.compiler.reset()
    student, teacher = make()
    distiller = distilled(student, teacher).train()
    batch = {"inputs": images(6)}
    compiled = torch.compile(copy.deepcopy(distiller), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch).loss(), distiller(batch).loss())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"student_features": "net.stage4"}, "no module 'net.stage4'"),
        ({"teacher_features": "net.stage1"}, "the student's map at 'net.stage3' is 2×2, the teacher's 8×8; choose an"),
        ({"student_features": "net.head"}, r"the student's 'net.head' gives \[1, 5\]; expected a map"),
        ({"reduction": 0}, "reduction=0 leaves none of 32 channels"),
        ({"reduction": 64}, "reduction=64 leaves none of 32 channels"),
    ],
)
def test_what_cannot_be_right_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        make(**options)


def test_a_model_without_maps_is_refused():
    mlp = MLP(channels=1, classes=5, size=(8, 8))
    path = [name for name, _ in mlp.named_modules() if name][-1]
    with pytest.raises(ArgumentError, match="expected a map"):
        ReusedClassifier(mlp, network(1, 8), student_features=path, teacher_features="net.stage3", example=images(1))
