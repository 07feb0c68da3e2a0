"""A network with exits as its own teacher, against the same written by hand."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from limbeck.core import Distiller, Tapped
from limbeck.errors import ArgumentError
from limbeck.export import Session, export_onnx
from limbeck.measure import flops, parameters
from limbeck.models import Exit, Normalized, ResNet, WithExits, exit_terms

SIZE = (8, 8)
EXITS = {"exit1": "net.stage1", "exit2": "net.stage2"}


def images(rows, seed=0):
    return torch.rand(rows, 1, *SIZE, generator=torch.Generator().manual_seed(seed))


def batch(rows=6, seed=0):
    target = torch.randint(0, 5, (rows,), generator=torch.Generator().manual_seed(seed))
    return {"inputs": images(rows, seed), "target": target}


def make(seed=0, **options) -> WithExits:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Normalized(ResNet(channels=1, classes=5, size=SIZE, width=4), [0.5], [0.5])
        return WithExits(network, EXITS, features="net.stage3", example=images(1), **options)


def test_outputs_of_the_network_and_of_every_exit():
    student = make().eval()
    outputs = student(images(3))
    taps = Tapped(student.model, {**EXITS, "deep": "net.stage3"})(images(3))
    torch.testing.assert_close(outputs["logits"], taps["logits"])
    torch.testing.assert_close(outputs["features"], taps["deep"])
    for number, name in enumerate(EXITS):
        end = list(student.children())[1][f"_{name}"]
        features = end.bottleneck(taps[name])
        torch.testing.assert_close(outputs[name]["features"], features)
        torch.testing.assert_close(outputs[name]["logits"], end.head(features.mean((2, 3))))
        assert outputs[name]["features"].shape == outputs["features"].shape == (3, 16, 2, 2)
        # One block for each halving.
        assert len(end.bottleneck) == 2 - number


@pytest.mark.parametrize(
    ("given", "wanted", "blocks"),
    [((4, 8, 8), (16, 2, 2), 2), ((4, 7, 7), (16, 2, 2), 2), ((6, 4, 4), (6, 4, 4), 1), ((9, 9, 5), (5, 3, 2), 2)],
)
def test_a_bottleneck_ends_at_the_shape_of_the_deepest_features(given, wanted, blocks):
    end = Exit(given, wanted, 7)
    features, logits = end(torch.rand(2, *given))
    assert (features.shape, logits.shape) == ((2, *wanted), (2, 7))
    assert (features >= 0).all()
    assert sum(isinstance(part, nn.Sequential) for part in end.bottleneck) == blocks


def objective(student, rows, alpha=0.4, features=0.7, temperature=2.0):
    """The objective of the paper, with the mean of squares, and T² with the divergence."""
    outputs = student(rows["inputs"])
    deep, deep_features = outputs["logits"].detach(), outputs["features"].detach()
    loss = F.cross_entropy(outputs["logits"], rows["target"])
    for name in EXITS:
        logits = outputs[name]["logits"]
        soft = F.kl_div(
            F.log_softmax(logits / temperature, -1), F.softmax(deep / temperature, -1), reduction="batchmean"
        )
        squared = (outputs[name]["features"] - deep_features).square().mean()
        loss = loss + (1 - alpha) * F.cross_entropy(logits, rows["target"])
        loss = loss + alpha * temperature**2 * soft + features * squared
    return loss


def test_a_step_is_that_of_the_paper():
    distiller = Distiller(make(), exit_terms(EXITS, alpha=0.4, features=0.7, temperature=2.0))
    distiller.prepare([batch()])
    loss = distiller(batch()).loss()
    loss.backward()
    by_hand = make()
    expected = objective(by_hand, batch())
    expected.backward()
    torch.testing.assert_close(loss, expected)
    found = distiller.students["student"].model
    for (name, one), (_, other) in zip(found.named_parameters(), by_hand.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_terms_of_a_student_of_another_name_with_few_labels():
    terms = exit_terms(["exit1"], student="a", where="batch.labelled")
    assert {name: term.where for name, term in terms.items()} == {
        "deepest": "batch.labelled",
        "exit1_hard": "batch.labelled",
        "exit1_soft": None,
        "exit1_features": None,
    }
    assert {address for term in terms.values() for address in term.inputs.values()} == {
        "a.logits",
        "a.features",
        "a.exit1.logits",
        "a.exit1.features",
        "batch.target",
    }


@pytest.mark.parametrize("name", EXITS)
@pytest.mark.parametrize("trained", [False, True])
def test_an_exit_is_cut_out_as_a_smaller_model(name, trained):
    student = make()
    if trained:
        distiller = Distiller(student, exit_terms(EXITS)).prepare([batch()])
        optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            distiller(batch(seed=step)).loss().backward()
            optimizer.step()
    student.eval()
    early = student.cut(name)
    torch.testing.assert_close(early(images(4)), student(images(4))[name]["logits"])
    own = parameters(early)
    deeper = {"exit1": ("stage2", "stage3", "head"), "exit2": ("stage3", "head")}[name]
    net = student.model.net
    behind = sum(parameters(net.get_submodule(part)) for part in deeper)
    end = parameters(list(student.children())[1][f"_{name}"])
    assert own == parameters(student.model) - behind + end
    end_alone = flops(early.end, early.trunk(images(1)).detach())
    assert flops(early, images(1)) == flops(early.trunk, images(1)) + end_alone
    assert flops(early.trunk, images(1)) < flops(student.model, images(1))


def test_exits_are_exported(tmp_path):
    student = make().eval()
    for name, model in {**{name: student.cut(name) for name in EXITS}, "whole": student.model}.items():
        path = tmp_path / f"{name}.onnx"
        export_onnx(
            model, path, example=images(2), outputs={"logits": ("batch",)}, names={"logits": list("abcde")}, metadata={}
        )
        found = torch.as_tensor(Session(path)(images(3))["logits"])
        torch.testing.assert_close(found, model(images(3)).detach(), rtol=1e-4, atol=1e-5)
    sizes = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["exit1"] < sizes["whole"]


def test_an_exit_is_saved_and_loaded(tmp_path):
    early = make(0).eval().cut("exit1")
    save_file(early.state_dict(), tmp_path / "exit1.safetensors")
    other = make(1).eval().cut("exit1")
    assert not torch.equal(other(images(2)), early(images(2)))
    other.load_state_dict(load_file(tmp_path / "exit1.safetensors"))
    torch.testing.assert_close(other(images(2)), early(images(2)), rtol=0, atol=0)


def test_cutting_leaves_the_student_alone():
    student = make().train()
    before = copy.deepcopy(student.state_dict())
    early = student.cut("exit2")
    assert early.training
    early(images(4)).sum().backward()
    torch.testing.assert_close(dict(student.state_dict()), dict(before), rtol=0, atol=0)
    assert all(p.grad is None for p in student.parameters())


def test_copies_and_states():
    student = make(0)
    twin = copy.deepcopy(student)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    fresh = make(1)
    fresh.load_state_dict(student.state_dict())
    torch.testing.assert_close(fresh.eval()(images(2))["exit1"], student.eval()(images(2))["exit1"])
    assert not twin.eval()(images(2))["exit1"]["logits"].any()


def test_building_leaves_statistics_as_they_are():
    assert make().model.net.stem[1].num_batches_tracked == 0


def test_compiled_it_equals_the_eager_one():
    torch.compiler.reset()
    distiller = Distiller(make(), exit_terms(EXITS)).prepare([batch()]).eval()
    compiled = torch.compile(distiller, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(batch()).loss(), distiller(batch()).loss())


def network():
    return ResNet(channels=1, classes=5, size=SIZE, width=4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WithExits(network(), {}, features="stage3", example=images(1)), "at least one exit"),
        (
            lambda: WithExits(network(), {"Exit": "stage1"}, features="stage3", example=images(1)),
            "the exit name 'Exit' must match",
        ),
        (
            lambda: WithExits(network(), {"logits": "stage1"}, features="stage3", example=images(1)),
            "'logits' is an output of the network itself",
        ),
        (lambda: WithExits(network(), {"a": "stage"}, features="stage3", example=images(1)), "no module 'stage'"),
        (
            lambda: WithExits(network(), {"a": "head"}, features="stage3", example=images(1)),
            r"'a' reads \[1, 5\]; expected a map \[B, C, H, W\]",
        ),
        (lambda: make().cut("exit3"), "no exit 'exit3'. Did you mean 'exit"),
        (lambda: exit_terms(["a"], alpha=1.5), r"alpha is 1\.5; expected 0 to 1"),
        (lambda: exit_terms(["a"], features=-1.0), "at least 0"),
        (lambda: exit_terms(["a"], temperature=0.0), "temperature"),
    ],
)
def test_what_cannot_be_right_is_refused(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()
