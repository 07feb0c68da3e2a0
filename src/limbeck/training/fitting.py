"""A stage whose student is fitted at once: every row is read once, and scikit-learn does the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from torch import Tensor, nn

from limbeck.core import Board, Distiller, Term, map_tensors, resolve, source_of
from limbeck.errors import ArgumentError, located
from limbeck.losses import CrossEntropy, KLDivergence, SoftCrossEntropy, SquaredError
from limbeck.models import SklearnModule, Values, sklearn_part
from limbeck.tasks import Batch
from limbeck.training.events import EventLog
from limbeck.training.loop import Job
from limbeck.training.number_targets import mixed_numbers, numbers_of_term
from limbeck.training.progress import Progress

__all__ = ["check_fitting", "fit_at_once"]

_losses = (CrossEntropy, KLDivergence, SoftCrossEntropy)


def check_fitting(distiller: Distiller) -> float:
    """Refuse an objective that scikit-learn cannot minimize; the temperature of the one that it can.

    Of classes, it minimizes the cross-entropy with shares of classes: each row may have several, with any weights.
    Terms add up to that where all have one temperature, which is 1 for labels. Of numbers, it minimizes squared errors:
    terms add up to one squared error to the mean of their targets.

    Raises:
        ArgumentError: with the name of the term; or if the model is not for what the task predicts, or its package is
            not installed.
    """
    part = sklearn_part(distiller.students["student"])
    assert part is not None
    if part.estimator is None:
        raise ArgumentError(
            "the student is fitted to numbers, and the task predicts classes; take logistic_regression",
            code="unsupported",
            path="students.student",
        )
    # What makes it is installed.
    part.estimator(0)
    for name, term in distiller.terms.items():
        with located(f"terms.{name}"):
            _check_term(name, term, distiller, numbers=part.predicts_numbers)
    if part.predicts_numbers:
        return 1.0
    temperatures = set(map(_temperature, distiller.terms.values()))
    if len(temperatures) > 1:
        raise ArgumentError(
            "the student is fitted at once to one mix of all terms, and their temperatures are "
            f"{sorted(temperatures)}; give temperature: 1 beside terms on labels, or leave these out",
            code="conflict",
            path="terms",
        )
    return temperatures.pop()


def _check_term(name: str, term: Term, distiller: Distiller, *, numbers: bool) -> None:
    loss, told = term.loss, f"objective.{name}: the student is fitted at once"
    plain = isinstance(loss, _losses) and not any(
        (getattr(loss, "label_smoothing", 0), getattr(loss, "standardize", False))
    )
    if numbers and not isinstance(loss, SquaredError):
        raise ArgumentError(f"{told} to numbers, by squared_error; it is {loss}", code="unsupported", path="loss")
    if numbers:
        _check_constant(told, term)
        for argument, address in term.inputs.items():
            _check_number_address(told, argument, address, distiller)
        _check_still(told, distiller)
        return
    if not plain or getattr(loss, "class_weights", None) is not None:
        raise ArgumentError(
            f"{told}, by cross_entropy, kl_divergence or soft_cross_entropy without further options; it is {loss}",
            code="unsupported",
            path="loss",
        )
    if not isinstance(getattr(loss, "temperature", 1.0), float | int) or "temperature" in term.inputs:
        raise ArgumentError(
            f"{told}, and its temperature moves from step to step; give a number",
            code="unsupported",
            path="temperature",
        )
    _check_constant(told, term)
    for argument, address in term.inputs.items():
        _check_address(told, argument, address, distiller)


def _check_constant(told: str, term: Term) -> None:
    if not term.is_constant or term.scale is not None or term.classes is not None:
        raise ArgumentError(
            f"{told}; a weight that moves, scale, or a teacher that knows some of the classes cannot enter",
            code="unsupported",
        )


def _check_number_address(told: str, argument: str, address: str, distiller: Distiller) -> None:
    of_teacher = argument == "target" and source_of(address) in distiller.teachers and address.endswith(".value")
    if not of_teacher and address != {"student": "student.value", "target": "batch.target"}[argument]:
        raise ArgumentError(
            f"{told}, from labels and the values of teachers alone; {argument} reads {address}",
            code="unsupported",
            path=argument,
        )


def _check_address(told: str, argument: str, address: str, distiller: Distiller) -> None:
    teachers, source = distiller.teachers, source_of(address)
    if argument == "teacher":
        fits = source in teachers and address == f"{source}.logits"
    else:
        fits = address == {"student": "student.logits", "target": "batch.target"}[argument]
    if not fits:
        raise ArgumentError(
            f"{told}, from labels and the logits of teachers alone; {argument} reads {address}",
            code="unsupported",
            path=argument,
        )
    _check_still(told, distiller)


def _check_still(told: str, distiller: Distiller) -> None:
    for name, teacher in distiller.teachers.items():
        moving = next((type(part).__name__ for part in _parts(teacher) if _moves(part)), None)
        if moving or {source_of(other) for other in teacher.reads} & distiller.students.keys():
            what = moving or "the student itself"
            raise ArgumentError(
                f"{told}, so no teacher may change while it learns; {name} has {what} in it", code="unsupported"
            )


def _parts(teacher: Any) -> Iterator[Any]:
    yield from teacher.modules() if isinstance(teacher, nn.Module) else (teacher,)


def _moves(part: Any) -> bool:
    learns = isinstance(part, nn.Module) and any(p.requires_grad for p in part.parameters(recurse=False))
    return learns or hasattr(part, "follow_step") or hasattr(part, "after_step")


def fit_at_once(
    job: Job, *, device: torch.device, log: EventLog | None, progress: Progress
) -> dict[str, dict[str, Tensor]]:
    """Fit the student of a job to its rows; each learner's weights, as `limbeck.training.loop.fit` gives them.

    Raises:
        ArgumentError: if the objective is not for that, or no row counts.
    """
    set_seed(job.seed)
    began = time.monotonic()
    distiller = job.distiller.to(device).eval()
    part = sklearn_part(job.student)
    assert part is not None
    temperature = check_fitting(distiller)
    if part.predicts_numbers:
        used = _fit_numbers(job, part, distiller)
    else:
        features, shares = _gathered(distiller, part, job.rows())
        part.fit_(features, shares, temperature=temperature, seed=job.seed)
        used = int((shares.sum(1) > 0).sum())
    seconds = round(time.monotonic() - began, 3)
    scores: Mapping[str, float] = {}
    if log is not None:
        scores = {} if job.validate is None else dict(job.validate(job.student))
        log.cut(0)
        place = {"stage": job.stage, "seed": job.seed, "step": 1, "epoch": 0, "seconds": seconds}
        log.write({**place, "validation": scores})
    told = "".join(f", validation {name} {value:.4f}" for name, value in scores.items())
    progress.note(f"{job.stage}, seed {job.seed}: fitted to {used:,} rows in {seconds:.1f} s{told}")
    return {
        learner: {name: value.detach().cpu().clone() for name, value in weights.items()}
        for learner, weights in job.weights().items()
    }


def _fit_numbers(job: Job, part: SklearnModule, distiller: Distiller) -> int:
    """Fit a student to numbers; the count of the rows that have one."""
    scale = next((module for module in job.student.modules() if isinstance(module, Values)), None)
    features, read = _read_rows(distiller, part, job.rows(), numbers_of_term)
    target, weights = mixed_numbers(read, _weights(distiller))
    if scale is not None:
        # The part that is fitted predicts standardized numbers.
        target = scale.standardize(torch.from_numpy(target)).numpy()
    part.fit_numbers_(features, target, weights, seed=job.seed)
    return int((weights.sum(1) > 0).sum())


def _gathered(distiller: Distiller, part: SklearnModule, batches: Iterable[Batch]) -> tuple[Any, NDArray[np.float64]]:
    """The features of all rows, and how much of each class they are, with a mean weight of 1 for a row that counts."""
    features, read = _read_rows(distiller, part, batches, _shares)
    return features, _mixed({name: shares.numpy() for name, shares in read.items()}, _weights(distiller))


def _weights(distiller: Distiller) -> dict[str, float]:
    return {name: float(term.weight) for name, term in distiller.terms.items()}


@torch.no_grad()
def _read_rows(
    distiller: Distiller, part: SklearnModule, batches: Iterable[Batch], read: Callable[[Term, Board], Tensor]
) -> tuple[Any, dict[str, Tensor]]:
    """The features of all rows, and what is read of them for each term."""
    features: list[Any] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in distiller.terms}
    device = distiller.step.device
    with _seen(part, features.append):
        for batch in batches:
            batch = map_tensors(batch, Tensor.to, device)
            board: Board = {"batch": batch, **distiller(batch).outputs}
            for name, term in distiller.terms.items():
                parts[name].append(read(term, board))
    return _stacked(features), {name: torch.cat(found) for name, found in parts.items()}


@contextmanager
def _seen(module: nn.Module, take: Callable[[Tensor], None]) -> Iterator[None]:
    """While the block runs, hand over what a module is called with."""
    hook = module.register_forward_pre_hook(lambda module, args: take(_packed(args[0])))
    try:
        yield
    finally:
        hook.remove()


def _packed(features: Tensor) -> Any:
    """Counts of words are zeros for the most part, pixels are not."""
    dense = features.cpu().numpy()
    return csr_matrix(dense) if np.count_nonzero(dense) < dense.size / 4 else dense


def _stacked(parts: Sequence[Any]) -> Any:
    if any(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([part if isinstance(part, np.ndarray) else part.toarray() for part in parts])
    return vstack(parts, format="csr")


def _shares(term: Term, board: Board) -> Tensor:
    """How much of each class each row is by one term, [B, C]; 0 where it does not count the row."""
    classes = board["student"]["logits"].shape[1]
    if "target" in term.inputs:
        target = board["batch"]["target"]
        shares = nn.functional.one_hot(target.clamp(min=0), classes).double() * (target >= 0).unsqueeze(1)
    else:
        logits: Tensor = resolve(board, term.inputs["teacher"])
        shares = (logits.double() / _temperature(term)).softmax(1)
    if term.where is not None:
        counted: Tensor = resolve(board, term.where)
        shares = shares * counted.bool().unsqueeze(1)
    found: Tensor = shares.cpu()
    return found


def _temperature(term: Term) -> float:
    found: Any = getattr(term.loss, "temperature", 1.0)
    return float(found)


def _mixed(shares: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]) -> NDArray[np.float64]:
    """The terms as one target: each is a mean over the rows that it counts, as in a training step."""
    counts = {name: max(float(share.sum()), 1.0) for name, share in shares.items()}
    whole = np.sum([weights[name] / counts[name] * share for name, share in shares.items()], axis=0)
    total = whole.sum()
    mixed: NDArray[np.float64] = whole * ((whole.sum(1) > 0).sum() / total if total > 0 else 1.0)
    return mixed
