"""Teachers that are made of others, or of nothing: whole runs of a second each, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from limbeck.data import Digits
from limbeck.recipes.read import recipe_text
from limbeck.runs.candidates import Candidates
from limbeck.runs.evaluation import EvaluatedModel
from limbeck.runs.models import Models
from limbeck.runs.stages import Trained
from limbeck.tasks import ImageClassification, ImageSettings
from limbeck.teachers import EMA, Dynamic, Ensemble, PeerEnsemble, RandomTeacher, TeacherFree
from limbeck.training.loop import Job
from recipes.shell import Shell
from recipes.small import changed, parse, resolve
from runs.finished import Go, Run, digits

Jobs = list[tuple[Job, dict[str, torch.Tensor]]]

HARD = {"loss": "cross_entropy", "weight": 0.5, "where": "batch.labelled"}
SOFT = {"loss": {"use": "kl_divergence", "temperature": 2.0}, "weight": 0.5}


def small(width: int, **more: Any) -> dict[str, Any]:
    return {"use": "mlp", "width": width, "depth": 1, **more}


def student_job(jobs: Jobs) -> Job:
    (job,) = [job for job, _ in jobs if job.stage == "student"]
    return job


def accuracy_of(weights: dict[str, torch.Tensor]) -> float:
    """Of an mlp of depth 1, by hand."""
    task = digits(labels=100)
    inputs = torch.cat([batch["inputs"] for batch in task.evaluation(task.test)])
    target = torch.cat([batch["target"] for batch in task.evaluation(task.test)])
    hidden = ((inputs - weights["mean"]) / weights["std"]).flatten(1)
    hidden = (hidden @ weights["net.layers.0.0.weight"].T + weights["net.layers.0.0.bias"]).clamp(min=0)
    logits = hidden @ weights["net.head.weight"].T + weights["net.head.bias"]
    return float((logits.argmax(1) == target).double().mean())


# The mean teacher.

MEAN = {
    "models.teacher": {"ema": "student", "decay": 0.9, "warm_up": False},
    "objective": {"hard": HARD, "soft": SOFT},
}


def test_a_mean_teacher_is_kept_measured_and_shipped(go: Go, jobs: Jobs) -> None:
    run = go({**MEAN, "seeds": 2, "train.seed": 31})
    trained = {job.seed: job for job, _ in jobs if job.stage == "student"}
    teacher = trained[31].distiller.teachers["teacher"]
    assert isinstance(teacher, EMA)
    assert (teacher.decay, teacher.warm_up) == (0.9, False)
    shipped = run.weights("teacher")
    assert all(torch.equal(value, shipped[name]) for name, value in teacher.model.model.state_dict().items())
    assert not torch.equal(shipped["net.head.weight"], run.weights("student")["net.head.weight"])
    models = run.results["models"]
    assert len(models["teacher"]["seeds"]) == 2
    assert models["teacher"]["seeds"][0]["metrics"]["accuracy"] == pytest.approx(accuracy_of(shipped))
    assert run.results["teachers"] == []
    assert models["teacher"]["cost"]["bytes"] == (run.path / "models/teacher/model.safetensors").stat().st_size


def test_a_mean_teacher_of_the_best_epoch_is_that_of_the_student(go: Go, jobs: Jobs) -> None:
    run = go({**MEAN, "train.select": "best", "train.epochs": 2, "train.seed": 32})
    end = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(end, EMA)
    weights = run.weights("teacher")
    assert accuracy_of(weights) == pytest.approx(run.accuracy("teacher"))


class Scored(ImageClassification):
    """Its models have these accuracies on the validation rows."""

    def __init__(self, scores: Mapping[torch.nn.Module, float]) -> None:
        super().__init__(Digits().load(), ImageSettings(labels=100))
        self.scores = scores

    def validate(self, model: torch.nn.Module, inputs: Any = "batch.inputs") -> dict[str, float]:
        return {"accuracy": self.scores[model]}


@pytest.mark.parametrize("best", ["student", "teacher"])
def test_the_average_is_exported_where_it_is_the_best(best: str) -> None:
    models = {name: torch.nn.Linear(1, 1) for name in ("student", "teacher")}
    recipe, task = parse(MEAN), Scored({model: float(name == best) for name, model in models.items()})
    trained = Trained("key", {name: dict(model.state_dict()) for name, model in models.items()})
    candidates = Candidates(Models(recipe.models, task, {}), ["teacher"], {}, [trained])
    assert candidates.best({name: EvaluatedModel([model], None) for name, model in models.items()}) == best


def test_a_larger_peer_is_measured_but_not_chosen() -> None:
    """Its control would be another one than the student's, and none was trained."""
    changes = {f"models.{name}": small(8, train="together") for name in ("alike", "larger")}
    widths = {"student": 1, "alike": 1, "larger": 2}
    models = {name: torch.nn.Linear(1, width) for name, width in widths.items()}
    scores = {models[name]: score for name, score in (("student", 0.0), ("alike", 0.1), ("larger", 0.9))}
    recipe, task = parse(changes), Scored(scores)
    trained = Trained("key", {name: dict(model.state_dict()) for name, model in models.items()})
    candidates = Candidates(Models(recipe.models, task, {}), [], {}, [trained])
    evaluated = {name: EvaluatedModel([model], None) for name, model in models.items()}
    assert candidates.choices(evaluated) == ["student", "alike"]
    assert candidates.best(evaluated) == "alike"


def test_what_is_chosen_is_compared_and_its_choice_is_counted(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Candidates, "best", lambda self, evaluated: "peer")
    hard = {**HARD, "each": ["student", "peer"]}
    objective = {"hard": hard, "soft": {"mutual": ["student", "peer"]}}
    models = {"student": small(8), "peer": small(8, train="together")}
    run = go({"models": models, "objective": objective, "train.seed": 57, "export": {"formats": ["onnx"]}})
    results = run.results
    assert results["export"]["model"] == "peer"
    assert results["label_budget"]["validation"] == len(digits(labels=100).validation)
    pairs = list(dict.fromkeys((one["a"], one["b"]) for one in results["comparisons"]))
    assert pairs == [("peer", "control"), ("student", "control")]
    gain = abs(run.accuracy("peer") - run.accuracy("control"))
    assert f"the chosen student peer's accuracy is {100 * gain:.1f} points" in results["verdict"]
    assert run.accuracy("exported") == run.accuracy("peer")


def test_the_model_of_a_mean_teacher_can_be_taken_from_its_run(go: Go) -> None:
    run = go({**MEAN, "train.seed": 33})
    taken = go({"models.teacher": {"run": str(run.path), "model": "teacher"}})
    assert taken.accuracy("teacher") == run.accuracy("teacher")


def test_online_and_self_in_one_recipe(go: Go, jobs: Jobs) -> None:
    """A peer that trains together, the average of the student, and an ensemble of that with a trained teacher."""
    run = go(
        {
            "models.average": {"ema": "student"},
            "models.peer": small(9, train="together"),
            "models.both": {"ensemble": ["teacher", "average"], "temperature": 2.0},
            "objective": {
                "hard": HARD,
                "hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
                "online": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}},
                "to_peer": {"loss": "kl_divergence", "inputs": {"student": "peer.logits", "teacher": "student.logits"}},
                "self": {"loss": "kl_divergence", "inputs": {"teacher": "average.logits"}},
                "soft": {**SOFT, "inputs": {"teacher": "both.logits"}},
            },
            "seeds": 2,
            "train.seed": 34,
            "export": {"formats": ["onnx"]},
        }
    )
    results = run.results
    assert set(results["models"]) == {"teacher", "control", "student", "peer", "average", "both", "exported"}
    assert results["teachers"] == ["teacher"]
    assert {name: len(one["seeds"]) for name, one in results["models"].items()} == {
        "teacher": 1, "control": 2, "student": 2, "peer": 2, "average": 2, "both": 2, "exported": 1,
    }  # fmt: skip
    assert results["export"]["model"] in ("student", "peer", "average")
    distiller = next(job.distiller for job, _ in jobs if job.stage == "student")
    both = distiller.teachers["both"]
    assert isinstance(both, Ensemble)
    # One average, in the ensemble and beside it.
    assert both.members["average"] is distiller.teachers["average"]
    parameters = sum(75 * width + 10 for width in (16, 8))
    assert results["models"]["both"]["cost"]["parameters"] == parameters
    assert "average" in (run.path / "report.html").read_text(encoding="utf-8")


# Ensembles with weights.


@pytest.mark.parametrize("weights", ["learned", "confidence", "entropy"])
def test_ensembles_with_weights_of_their_own(go: Go, jobs: Jobs, weights: str) -> None:
    of_teacher = {"inputs": {"student": "teacher.logits"}}
    run = go(
        {
            "models.a": small(9, train={"epochs": 1, "learning_rate": 0.01}),
            "models.b": small(11, train={"epochs": 1}),
            "models.teacher": {"ensemble": ["a", "b"], "weights": weights, "temperature": 2.0},
            # With weights that are not learned, this term has no gradient: it only reports their loss.
            "objective.weigh": {**HARD, **of_teacher, "weight": 0.5 if weights == "learned" else 0},
            "objective.from_a": {"loss": "mse_logits", "inputs": {"teacher": "a.logits"}, "scale": "teacher.weights.a"},
            "train.seed": 35,
        }
    )
    ensemble = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(ensemble, Ensemble)
    assert ensemble.weighing == weights
    measured = run.results["models"]
    # By confidence means by the label: there is none where it is measured.
    assert ("teacher" in measured) == (weights != "confidence")
    assert {"a", "b"} <= set(measured)
    if weights == "learned":
        assert ensemble.scores is not None
        share = torch.softmax(ensemble.scores.detach(), 0)
        assert share[0] != share[1]
        assert run.accuracy("teacher") == pytest.approx(joint_accuracy(run, share.tolist()))


def joint_accuracy(run: Run, shares: list[float]) -> float:
    from runs.test_arrangements import own_mlp

    task = digits(labels=100)
    inputs = torch.cat([batch["inputs"] for batch in task.evaluation(task.test)])
    target = torch.cat([batch["target"] for batch in task.evaluation(task.test)])
    softened = sum(
        s * torch.softmax(own_mlp(run.weights(n), inputs) / 2, -1) for s, n in zip(shares, "ab", strict=True)
    )
    assert isinstance(softened, torch.Tensor)
    return float((softened.argmax(1) == target).double().mean())


# One at random, none at all, peers.


def test_one_of_two_teachers_at_random(go: Go, jobs: Jobs) -> None:
    run = go(
        {
            "models.a": small(9, train={"epochs": 1, "learning_rate": 0.01}),
            "models.b": small(11, train={"epochs": 1}),
            "models.teacher": {"random": {"a": 3, "b": 1}, "seed": 5},
            "train.seed": 36,
        }
    )
    teacher = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(teacher, RandomTeacher)
    assert (teacher.weights, teacher.seed) == ({"a": 0.75, "b": 0.25}, 5)
    assert set(run.results["models"]) == {"a", "b", "control", "student"}
    assert run.results["teachers"] == ["b", "a"]


def test_the_virtual_teacher_knows_the_classes_of_the_task(go: Go, jobs: Jobs) -> None:
    run = go({"models.teacher": {"teacher_free": {"confidence": 0.9}}, "objective.soft.where": "batch.labelled"})
    teacher = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(teacher, TeacherFree)
    assert (teacher.classes, teacher.confidence) == (10, 0.9)
    assert set(run.results["models"]) == {"control", "student"}
    assert run.results["verdict"]


@pytest.mark.parametrize("by", ["confidence", "agreement"])
def test_rows_have_weights_and_temperatures_of_their_own(go: Go, jobs: Jobs, by: str) -> None:
    run = go(
        {
            "models.pace": {"dynamic": {"by": by, "temperature": 2.0, "spread": 0.5}},
            "objective.soft": {
                **SOFT,
                "scale": "pace.weight",
                "inputs": {"temperature": "pace.temperature"},
                "where": "batch.labelled",
            },
        }
    )
    source = student_job(jobs).distiller.teachers["pace"]
    assert isinstance(source, Dynamic)
    assert (source.by, source.temperature, source.spread) == (by, 2.0, 0.5)
    assert source.centre > 0
    assert set(run.results["models"]) == {"teacher", "control", "student"}
    assert run.results["teachers"] == ["teacher"]
    plain = go({"objective.soft": {**SOFT, "where": "batch.labelled"}})
    weighed, whole = (one.taught("student")[0]["terms"]["soft"] for one in (run, plain))
    assert 0 < weighed < whole
    assert all(torch.equal(value, plain.weights("control")[name]) for name, value in run.weights("control").items())


def test_rows_are_weighed_by_a_teacher_that_no_term_reads(go: Go, jobs: Jobs) -> None:
    go(
        {
            "models.pace": {"dynamic": {"by": "agreement"}},
            "objective": {"hard": HARD, "sure": {**HARD, "scale": "pace.certainty"}},
        }
    )
    assert list(student_job(jobs).distiller.teachers) == ["teacher", "pace"]


@pytest.mark.parametrize("method", ["naive", "linear", "min_logit"])
def test_peers_speak_with_one_voice(go: Go, jobs: Jobs, method: str) -> None:
    run = go(
        {
            "models.peer": small(9, train="together"),
            "models.teacher": {"peers": ["student", "peer"], "method": method},
            "objective": {
                "hard": HARD,
                "hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
                "soft": SOFT,
                "soft_peer": {**SOFT, "inputs": {"student": "peer.logits"}},
            },
        }
    )
    teacher = student_job(jobs).distiller.teachers["teacher"]
    assert isinstance(teacher, PeerEnsemble)
    assert (teacher.students, teacher.method) == (("student", "peer"), method)
    assert set(run.results["models"]) == {"control", "student", "peer"}


def test_a_student_teaches_with_the_weights_that_it_has_now(go: Go, jobs: Jobs) -> None:
    go(
        {
            "models.peer": small(8, train="together"),
            "models.now": {"live": "peer"},
            "objective.hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
            "objective.soft.inputs": {"teacher": "now.logits"},
        }
    )
    job = student_job(jobs)
    distiller, batch = job.distiller, next(job.batches.iterate(0, 1))
    outputs = distiller.eval()(batch).outputs
    assert torch.equal(outputs["now"]["logits"], outputs["peer"]["logits"])
    # Images need no gradient, and the weights get none.
    assert outputs["peer"]["logits"].requires_grad
    assert not outputs["now"]["logits"].requires_grad


def test_a_peer_in_an_ensemble_speaks_as_it_is_now(go: Go, jobs: Jobs) -> None:
    run = go(
        {
            "models.peer": small(9, train="together"),
            "models.both": {"ensemble": ["teacher", "peer"]},
            "objective": {
                "hard": HARD,
                "hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
                "soft": {"loss": "kl_divergence", "inputs": {"teacher": "both.logits"}},
            },
        }
    )
    both = student_job(jobs).distiller.teachers["both"]
    assert isinstance(both, Ensemble)
    assert both.members["peer"].reads == ("peer.logits",)
    assert set(run.results["models"]) == {"teacher", "control", "student", "peer", "both"}


# What is refused.


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"models.teacher": {"ema": "studnet"}}, "unknown_name", "models.teacher.ema"),
        ({"models.teacher": {"ema": 3}}, "wrong_type", "models.teacher.ema"),
        ({"models.teacher": {"ema": "student", "deacy": 0.9}}, "unknown_name", "models.teacher.deacy"),
        ({"models.teacher": {"ema": "student", "decay": 1.0}}, "out_of_range", "models.teacher.decay"),
        ({"models.teacher": {"ema": "student", "taps": {"x": "head"}}}, "unknown_name", "models.teacher.taps"),
        ({"models.teacher": {"ema": "student", "train": {}}}, "no_effect", "models.teacher.train"),
        (
            {"models.other": {"ema": "teacher"}, "objective.soft.inputs": {"teacher": "other.logits"}},
            "unknown_name",
            "models.other",
        ),
        (
            {"models.teacher": {"ensemble": ["a"], "weights": "lerned"}, "models.a": "mlp"},
            "out_of_range",
            "models.teacher.weights",
        ),
        (
            {"models.teacher": {"ensemble": ["a"], "weight": "learned"}, "models.a": "mlp"},
            "unknown_name",
            "models.teacher.weight",
        ),
        (
            {"models.teacher": {"ensemble": {"a": 1, "b": 2}, "weights": "entropy"}},
            "conflict",
            "models.teacher.ensemble",
        ),
        (
            {"models.teacher": {"ensemble": ["a"], "weights": "learned"}, "models.a": "mlp"},
            "no_effect",
            "models.teacher",
        ),
        ({"models.teacher": {"random": {}}}, "missing", "models.teacher.random"),
        ({"models.teacher": {"random": None}}, "missing", "models.teacher.random"),
        ({"models.teacher": {"random": ["student"]}}, "cycle", "models.teacher.random"),
        ({"models.teacher": {"random": ["a"], "sed": 1}, "models.a": "mlp"}, "unknown_name", "models.teacher.sed"),
        ({"models.teacher": {"random": {"a": -1}}, "models.a": "mlp"}, "out_of_range", "models.teacher.random"),
        (
            {"models.teacher": {"teacher_free": {"confidence": 0.05}}},
            "out_of_range",
            "models.teacher.teacher_free.confidence",
        ),
        ({"models.teacher": {"teacher_free": {"classes": 3}}}, "unknown_name", "models.teacher.teacher_free.classes"),
        ({"models.teacher": {"teacher_free": 0.9}}, "wrong_type", "models.teacher.teacher_free"),
        ({"models.teacher": {"dynamic": {"by": "entropy"}}}, "out_of_range", "models.teacher.dynamic.by"),
        ({"models.teacher": {"dynamic": {"spread": -1.0}}}, "out_of_range", "models.teacher.dynamic.spread"),
        ({"models.teacher": {"dynamic": {"spred": 1.0}}}, "unknown_name", "models.teacher.dynamic.spred"),
        ({"models.teacher": {"dynamic": {"student": "peer.logits"}}}, "unknown_name", "models.teacher.dynamic"),
        ({"models.teacher": {"dynamic": {}}}, "unknown_name", "objective.soft.inputs.teacher"),
        ({"models.teacher": {"teacher_free": {}, "confidenc": 1}}, "unknown_name", "models.teacher.confidenc"),
        ({"models.teacher": {"peers": ["student"]}}, "too_few", "models.teacher.peers"),
        ({"models.teacher": {"peers": ["student", "peer"]}}, "unknown_name", "models.teacher.peers"),
        (
            {"models.teacher": {"peers": ["student", "peer"], "method": "mean"}, "models.peer": "mlp"},
            "out_of_range",
            "models.teacher.method",
        ),
        (
            {
                "models.both": {"peers": ["student", "teacher"]},
                "objective.x": {**SOFT, "inputs": {"teacher": "both.logits"}},
            },
            "unsupported",
            "models.both.peers",
        ),
        (
            {
                "models.now": {"live": "teacher"},
                "objective.x": {**SOFT, "inputs": {"teacher": "now.logits"}},
            },
            "unsupported",
            "models.now.live",
        ),
        (
            {
                "models.peer": small(9, train="together"),
                "models.teacher.objective": {"soft": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}}},
                "objective.hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
            },
            "unsupported",
            "models.peer",
        ),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_forms_are_one_line_with_its_place(shell: Shell, changes: dict[str, Any], code: str, path: str) -> None:
    refusal = shell.refusal("run", shell.write(changed(changes)))
    assert (refusal.code, refusal.path) == (code, path), refusal.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.teacher": {"ema": "studnet"}}, "no source 'studnet'. Did you mean 'student'"),
        ({"models.teacher": {"ema": "student", "decay": 1.0}}, "models.teacher: ema: decay=1.0"),
        ({"models.teacher": {"ema": "student", "train": {}}}, "is not trained"),
        ({"models.other": {"ema": "teacher"}, "objective.soft.inputs": {"teacher": "other.logits"}}, "no student"),
        ({"models.teacher": {"ensemble": {"a": 1, "b": 2}, "weights": "entropy"}}, "list the members alone"),
        ({"models.teacher": {"ensemble": ["a"], "weights": "learned"}, "models.a": "mlp"}, "every term that reads it"),
        ({"models.teacher": {"random": None}}, "a list of names"),
        ({"models.teacher": {"random": ["student"]}}, "the student cannot be a member"),
        ({"models.teacher": {"teacher_free": {"confidence": 0.05}}}, "confidence is 0.05"),
        ({"models.teacher": {"dynamic": {"spread": -1.0}}}, "models.teacher.dynamic: dynamic: spread is -1.0"),
        ({"models.teacher": {"dynamic": {"student": "peer.logits"}}}, "models.teacher.dynamic: no source 'peer'"),
        ({"models.teacher": {"dynamic": {}}}, "nothing at 'teacher.logits'"),
        ({"models.teacher": {"peers": ["student"]}}, "at least two"),
        (
            {
                "models.now": {"live": "teacher"},
                "objective.x": {**SOFT, "inputs": {"teacher": "now.logits"}},
            },
            "models.now.live: 'teacher' does not train with ['student']",
        ),
        (
            {
                "models.peer": small(9, train="together"),
                "models.teacher.objective": {"soft": {"loss": "kl_divergence", "inputs": {"teacher": "peer.logits"}}},
                "objective.hard_peer": {**HARD, "inputs": {"student": "peer.logits"}},
            },
            "models.peer trains together with the student",
        ),
    ],
    ids=lambda part: str(part)[:70],
)
def test_wrong_forms_are_one_line(shell: Shell, changes: dict[str, Any], message: str) -> None:
    assert message in shell.refused("run", shell.write(changed(changes)))


EVERY_FORM = {
    "models.average": {"ema": "student", "inputs": "batch.inputs"},
    "models.weighed": {"ensemble": ["teacher", "average"], "weights": "confidence"},
    "models.drawn": {"random": ["teacher", "weighed"]},
    "models.virtual": {"teacher_free": {}},
    "models.pace": {"dynamic": {"by": "agreement"}},
    "models.peer": small(3, train="together"),
    "models.voice": {"peers": ["student", "peer"]},
    "models.now": {"live": "peer"},
}


def test_resolving_every_form_again_changes_nothing() -> None:
    once = resolve(changed(EVERY_FORM), name="x")
    assert resolve(once, name="x") == once
    assert once["models"]["average"] == {"ema": "student", "decay": 0.999, "warm_up": True, "inputs": "batch.inputs"}
    assert once["models"]["drawn"] == {"random": {"teacher": 1.0, "weighed": 1.0}, "seed": 0}
    assert once["models"]["virtual"] == {"teacher_free": {"confidence": 0.99, "target": "batch.target"}}
    assert once["models"]["voice"] == {
        "peers": ["student", "peer"],
        "method": "min_logit",
        "target": "batch.target",
    }
    assert "weights: confidence" in recipe_text(once)
