"""What every loss does with input that is hardly any, or cannot be right, for each row of the table in cases.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.core import Term
from limbeck.errors import ArgumentError
from losses.cases import CASES
from losses.conformance import Arrays, LossCase, address, board, gradients, layered, tensors

every_case = pytest.mark.parametrize("case", CASES, ids=str)
rows_matter = pytest.mark.parametrize("case", [case for case in CASES if case.per_row], ids=str)
# Their targets are answers of yes or no, not class numbers; torch takes these as floating numbers.
ANSWERS = {"binary_cross_entropy"}
# These compare relations within each side, or maps without their channels: any shape, or any width, will do.
ANY_SHAPE = {
    "correlation_congruence",
    "crd",
    "probabilistic_transfer",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
}
ANY_WIDTH = {
    "attention_transfer",
    "correlation_congruence",
    "nst_mmd",
    "probabilistic_transfer",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
}


def of(side: str, arrays: Mapping[str, object]) -> list[str]:
    return [name for name in arrays if name.startswith(side)]


def other_rows(arrays: Arrays) -> list[str]:
    for name in of("teacher", arrays):
        arrays[name] = arrays[name][:-1]
    return of("teacher", arrays)


def fewer_targets(arrays: Arrays) -> list[str]:
    names = [name for name in ("target", "row", "label", "attention_mask") if name in arrays]
    for name in names:
        arrays[name] = arrays[name][:-1]
    return names


def one_axis(arrays: Arrays) -> list[str]:
    names = [name for name in of("student", arrays) if arrays[name].ndim > 1]
    for name in names:
        arrays[name] = arrays[name].reshape(len(arrays[name]), -1)[:, 0]
    return names


def five_axes(arrays: Arrays) -> list[str]:
    for name in of("student", arrays):
        arrays[name] = arrays[name].reshape(arrays[name].shape + (1,) * (5 - arrays[name].ndim))
    return of("student", arrays)


def other_width(side: str) -> Callable[[Arrays], list[str]]:
    def narrowed(arrays: Arrays) -> list[str]:
        for name in of(side, arrays):
            arrays[name] = arrays[name][:, :-1] if arrays[name].ndim == 4 else arrays[name][..., :-1]
        return of(side, arrays)

    narrowed.__name__ = f"other_width_of_{side}"
    return narrowed


def whole_numbers(arrays: Arrays) -> list[str]:
    for name in of("student", arrays):
        arrays[name] = arrays[name].astype(np.int64)
    return of("student", arrays)


def floating_targets(arrays: Arrays) -> list[str]:
    names = [name for name in ("target", "row", "label") if name in arrays and arrays[name].dtype == np.int64]
    for name in names:
        arrays[name] = arrays[name].astype(np.float64)
    return names


WRONG = [
    other_rows,
    fewer_targets,
    one_axis,
    five_axes,
    other_width("student"),
    other_width("teacher"),
    whole_numbers,
    floating_targets,
]


def applies(wrong: Callable[[Arrays], list[str]], case: LossCase) -> bool:
    arrays = case.arrays()
    if wrong.__name__.startswith("other_width"):
        any_width = case.name in ANY_WIDTH or case.options.get("channels") == "sum"
        if any_width or case.options.get("relation_heads") == 1 or not of("teacher", arrays):
            return False
    if wrong is five_axes and case.name in ANY_SHAPE:
        return False
    if wrong is floating_targets and case.name in ANSWERS:
        return False
    return bool(wrong(arrays))


def call(loss: nn.Module, case: LossCase, values: dict[str, Tensor]) -> Tensor:
    value: Tensor = loss(**case.arguments(values))
    return value


@pytest.mark.parametrize(
    ("case", "wrong"),
    [pytest.param(c, w, id=f"{c}-{w.__name__}") for c in CASES for w in WRONG if applies(w, c)],
)
def test_invalid_shapes_are_rejected(case: LossCase, wrong: Callable[[Arrays], list[str]]) -> None:
    arrays = case.arrays()
    names = wrong(arrays)
    values = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    for name in of("student", values):
        values[name].requires_grad_(values[name].is_floating_point())
    right = case.arguments(tensors(case.arrays()))
    with pytest.raises(ArgumentError) as refusal:
        case.build()(**{**right, **layered(values)})
    message = str(refusal.value)
    assert message.partition(":")[0].lower().replace("_", "") == case.name.replace("_", ""), message
    assert any(seen in message for name in names for seen in shown(values[name])), message
    assert "expected" in message or "sized for" in message, message
    assert ";" in message, message
    assert "\n" not in message


def shown(value: Tensor) -> list[str]:
    """What an error may call it: its precision, its shape, or the shape of its vectors or of its first tokens."""
    as_vectors = [value.flatten(1), value[:, 0]] if value.ndim > 2 else []
    return [str(value.dtype), *(str(list(tensor.shape)) for tensor in (value, *as_vectors))]


def finite(case: LossCase, loss: nn.Module, values: dict[str, Tensor]) -> Tensor:
    """The value, after it and all gradients were found to be finite."""
    value = call(loss, case, values)
    learned = {name: parameter for name, parameter in loss.named_parameters() if parameter.requires_grad}
    wanted = [*(v for v in values.values() if v.requires_grad), *learned.values()]
    assert value.isfinite().all()
    for gradient in torch.autograd.grad(value.sum(), wanted, allow_unused=True):
        assert gradient is None or gradient.isfinite().all()
    return value


@rows_matter
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_row(case: LossCase, dtype: torch.dtype) -> None:
    loss = case.build(dtype)
    alone = tensors({name: array[:1] for name, array in case.arrays().items()}, dtype)
    value = finite(case, loss, alone)
    if case.relational:
        mean = term(case, loss)(board(case.arguments(alone)))
        assert (mean.sum.item(), mean.count.item()) == (0.0, 0.0)
    else:
        whole = call(loss, case, tensors(case.arrays(), dtype))
        torch.testing.assert_close(value, whole[:1])


def term(case: LossCase, loss: nn.Module, where: str | None = None) -> Term:
    return Term(loss, {argument: address(argument) for argument in case.arguments(tensors(case.arrays()))}, where=where)


@rows_matter
def test_no_row_admitted(case: LossCase) -> None:
    loss, arrays = case.build(), case.arrays()
    for array in arrays.values():
        if np.issubdtype(array.dtype, np.floating):
            array[:] = np.nan
    values = tensors(arrays)
    nobody = torch.zeros(len(next(iter(arrays.values()))), dtype=torch.bool)
    mean = term(case, loss, "batch.labelled")(board(case.arguments(values), labelled=nobody))
    assert (mean.sum.item(), mean.count.item(), mean.value.item()) == (0.0, 0.0, 0.0)
    learned = {name: parameter for name, parameter in loss.named_parameters() if parameter.requires_grad}
    assert not any(gradient.any() for gradient in gradients(mean.sum, {**values, **learned}).values())


@pytest.mark.parametrize("case", [case for case in CASES if {"target", "label"} & case.arrays().keys()], ids=str)
def test_classes_never_seen(case: LossCase) -> None:
    arrays = case.arrays()
    for name in {"target", "label"} & arrays.keys():
        if arrays[name].dtype == np.int64:
            arrays[name][:] = 1
    finite(case, case.build(), tensors(arrays))


@every_case
@pytest.mark.parametrize("sides", [("student",), ("teacher",), ("student", "teacher")], ids="_and_".join)
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.0])
def test_constant_features_and_logits(case: LossCase, sides: tuple[str, ...], constant: float) -> None:
    arrays = case.arrays()
    for side in sides:
        for name in of(side, arrays):
            arrays[name][:] = constant
    for dtype in (torch.float64, torch.float32):
        finite(case, case.build(dtype), tensors(arrays, dtype))


@pytest.mark.parametrize("case", [case for case in CASES if of("teacher", case.arrays())], ids=str)
def test_a_nan_in_the_teacher_is_not_hidden(case: LossCase) -> None:
    arrays = case.arrays()
    for name in of("teacher", arrays):
        arrays[name][(0,) * arrays[name].ndim] = np.nan
    value = call(case.build(), case, tensors(arrays))
    assert value.isnan().flatten()[0]
    if value.numel() > 1:
        assert value[1:].isfinite().all()
