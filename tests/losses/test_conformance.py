"""What holds for every loss, for each row of the table in cases.py."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import limbeck.losses
from limbeck import registry
from limbeck.core import Term
from limbeck.core.binding import arguments
from limbeck.recipes.options import construct, resolve_options
from losses.cases import CASES
from losses.conformance import Arrays, LossCase, address, board, difference, gradients, rounded, tensors

PAPERS = Path(__file__).parents[2] / "docs" / "papers.md"
MASK = torch.tensor([True, False, True, True, False, True])
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def compiled_cases() -> list[Any]:
    """All, of which the first of each loss alone is not slow: compiling takes most of the time of these tests."""
    firsts = {case.name: case for case in reversed(CASES)}
    return [case if case is firsts[case.name] else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


def call(loss: nn.Module, case: LossCase, values: dict[str, torch.Tensor]) -> torch.Tensor:
    arguments = case.arguments(values)
    if case.relational:
        arguments["mask"] = torch.ones(len(next(iter(values.values()))), dtype=torch.bool)
    value: torch.Tensor = loss(**arguments)
    return value


def term(case: LossCase, loss: nn.Module, where: str | None = None) -> Term:
    # Losses without rows read parameters.
    arguments = case.arguments(tensors(case.arrays()))
    inputs = {argument: address(argument, parameter=not case.per_row) for argument in arguments}
    return Term(loss, inputs, where=where)


@every_case
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_value_is_the_oracles(case: LossCase, dtype: torch.dtype) -> None:
    loss = case.build(dtype)
    values = tensors(case.arrays(), dtype)
    value = call(loss, case, values)
    assert value.dtype == dtype
    assert value.shape == (() if case.relational else MASK.shape if case.per_row else (1,))
    assert difference(value, case.oracle(loss, rounded(case.arrays(), dtype))) < (
        case.float64 if dtype == torch.float64 else case.float32
    )


@pytest.mark.parametrize("case", [case for case in CASES if not case.held_constant], ids=str)
def test_gradient_is_that_of_finite_differences(case: LossCase) -> None:
    loss = case.build()
    values = tensors(case.arrays())
    students = [name for name, value in values.items() if value.requires_grad]
    learned = dict(loss.named_parameters())

    def value(*inputs: torch.Tensor) -> torch.Tensor:
        given = dict(zip([*students, *learned], inputs, strict=True))
        arguments = case.arguments({name: given.get(name, tensor) for name, tensor in values.items()})
        if case.relational:
            arguments["mask"] = torch.ones_like(MASK)
        state = {name: given[name] for name in learned}
        result: torch.Tensor = torch.func.functional_call(loss, state, (), arguments)
        return result

    assert torch.autograd.gradcheck(value, (*(values[name] for name in students), *learned.values()))


@pytest.mark.parametrize("case", [case for case in CASES if case.zero_at_equality], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_zero_at_equality(case: LossCase, dtype: torch.dtype) -> None:
    arrays, apart = case.arrays(), tensors(case.arrays(), dtype)
    elsewhere = gradients(call(case.build(dtype), case, apart), apart)
    for name in arrays:
        if name.startswith("student"):
            arrays[name] = arrays[name.replace("student", "teacher", 1)].copy()
    values = tensors(arrays, dtype)
    value = call(case.build(dtype), case, values)
    assert value.abs().max() == 0
    for name, gradient in gradients(value, values).items():
        assert gradient.abs().max() < 10 * torch.finfo(dtype).eps * elsewhere[name].abs().max().clamp(min=1)


@pytest.mark.parametrize("case", [case for case in CASES if case.per_row], ids=str)
def test_mask_equals_subset(case: LossCase) -> None:
    loss, alone = case.build(), case.build()
    mask = MASK.numpy()
    whole, subset = with_nan(case.arrays(), mask), tensors({k: v[mask] for k, v in case.arrays().items()})
    mean = term(case, loss, "batch.labelled")(board(case.arguments(whole), labelled=MASK))
    value = call(alone, case, subset)

    assert mean.count == value.numel()
    assert difference(mean.sum, value.sum().detach()) < case.float64
    got = gradients(mean.sum, {**whole, **dict(loss.named_parameters())})
    for name, expected in gradients(value, {**subset, **dict(alone.named_parameters())}).items():
        if name in whole:
            assert not got[name][~MASK].any()
        assert difference(got[name][MASK] if name in whole else got[name], expected) < case.float64


def with_nan(arrays: Arrays, mask: np.ndarray) -> dict[str, torch.Tensor]:
    for array in arrays.values():
        if np.issubdtype(array.dtype, np.floating):
            array[~mask] = np.nan
    return tensors(arrays)


@every_case
@pytest.mark.parametrize("opposed", [False, True], ids=["agreeing", "opposed"])
def test_extreme_inputs_stay_finite(case: LossCase, opposed: bool) -> None:
    arrays = case.arrays()
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating):
            sign = np.where(np.arange(array.size).reshape(array.shape) % 2, 1.0, -1.0)
            arrays[name] = case.extreme * (-sign if opposed and name.startswith("teacher") else sign)
    values = tensors(arrays, torch.float32)
    value = call(case.build(torch.float32), case, values)
    assert value.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(value, values).values())


@every_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(case: LossCase, dtype: torch.dtype) -> None:
    exact = tensors(rounded(case.arrays(), dtype))
    reference = call(case.build(), case, exact)
    expected = gradients(reference, exact)

    directly, through_term = tensors(case.arrays(), dtype), tensors(case.arrays(), dtype)
    for values, value in (
        (directly, call(case.build(torch.float32), case, directly).sum()),
        (through_term, term(case, case.build(torch.float32))(board(case.arguments(through_term))).sum),
    ):
        assert value.dtype == torch.float32
        assert difference(value, reference.sum().detach()) < (case.half_value or 10 * case.float32)
        for name, gradient in gradients(value, values).items():
            assert gradient.dtype == dtype
            assert difference(gradient, expected[name]) < case.half


@every_case
def test_deep_copy_is_independent(case: LossCase) -> None:
    loss, values = case.build(), tensors(case.arrays())
    before = call(loss, case, values).detach()
    copied = copy.deepcopy(loss)
    assert torch.equal(call(copied, case, values), before)
    with torch.no_grad():
        for tensor in (*copied.parameters(), *copied.buffers()):
            tensor.zero_()
    assert torch.equal(call(loss, case, values), before)


@every_case
def test_state_round_trip(case: LossCase) -> None:
    loss, values = case.build(), tensors(case.arrays())
    unsized = registry.lookup("loss", case.name)(**case.options).double()
    for other in (case.build(seed=1), unsized):
        other.load_state_dict(loss.state_dict())
        assert torch.equal(call(other, case, values), call(loss, case, values))


@pytest.mark.parametrize("case", compiled_cases(), ids=str)
def test_compiled_whole_is_eager(case: LossCase) -> None:
    loss, values = case.build(), tensors(case.arrays())
    expected = call(loss, case, values)
    torch.compiler.reset()
    compiled_call = torch.compile(lambda given: call(loss, case, given), fullgraph=True, backend="aot_eager")
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        value = compiled_call(values)
    assert difference(value, expected.detach()) < case.float64
    compiled, eager = gradients(value, values), gradients(expected, values)
    assert all(difference(compiled[name], eager[name]) < case.float64 for name in eager)


@pytest.mark.parametrize("case", [case for case in CASES if case.any_leading], ids=str)
def test_rows_on_two_axes(case: LossCase) -> None:
    loss, arrays = case.build(), case.arrays()
    folded = {name: array.reshape(2, 3, *array.shape[1:]) for name, array in arrays.items()}
    flat, value = call(loss, case, tensors(arrays)), call(loss, case, tensors(folded))
    assert value.shape == (2, 3)
    assert difference(value.flatten(), flat.detach()) < case.float64

    mask = MASK.reshape(2, 3)
    mean = term(case, loss, "batch.labelled")(board(case.arguments(with_nan(folded, mask.numpy())), labelled=mask))
    assert mean.count == mask.sum()
    assert difference(mean.sum, flat[MASK].sum().detach()) < case.float64


@every_case
def test_recipe_round_trip(case: LossCase) -> None:
    entry = registry.lookup("loss", case.name)
    assert all(p.kind is p.KEYWORD_ONLY for p in inspect.signature(entry).parameters.values())
    resolved = resolve_options(entry, case.options, path="objective.soft.loss", name=case.name)
    written = yaml.safe_load(yaml.safe_dump(resolved))
    again = resolve_options(entry, written, path="objective.soft.loss", name=case.name)
    assert again == resolved == {**resolved, **case.options}
    assert repr(construct(entry, again, path="objective.soft.loss")) == repr(entry(**case.options))


@every_case
def test_the_class_alone_names_its_arguments(case: LossCase) -> None:
    entry = registry.lookup("loss", case.name)
    assert getattr(entry, "relational", False) == case.relational
    given, parameters = case.arguments(tensors(case.arrays())), arguments(entry)
    assert given.keys() <= parameters.keys()
    assert {name for name, parameter in parameters.items() if parameter.default is parameter.empty} <= given.keys()
    loss = case.build()
    assert list(arguments(loss)) == list(parameters)
    assert not {"relational", "exclusive", "sparse", "differentiates"} & vars(loss).keys()


def own_losses() -> dict[str, type[nn.Module]]:
    entries = {name: registry.lookup("loss", name) for name in registry.names("loss")}
    return {name: entry for name, entry in entries.items() if entry.__module__.startswith("limbeck.losses")}


@pytest.mark.parametrize("name", own_losses())
def test_every_loss_is_listed(name: str) -> None:
    entry = own_losses()[name]
    assert name in {case.name for case in CASES}, "give it a row in tests/losses/cases.py"
    assert f"`{name}`" in PAPERS.read_text(encoding="utf-8"), "give it a row in docs/papers.md"
    assert name in limbeck.functional.__all__
    assert callable(getattr(limbeck.functional, name))
    assert entry.__name__ in limbeck.losses.__all__
    assert entry.__name__.lower() == name.replace("_", "")
    assert all(case.relational == getattr(entry, "relational", False) for case in CASES if case.name == name)


@pytest.mark.parametrize("name", own_losses())
def test_every_loss_prints_its_settings(name: str) -> None:
    case = next(case for case in reversed(CASES) if case.name == name)
    printed = repr(case.build())
    assert all(option.removeprefix("student_").removeprefix("teacher_") in printed for option in case.options)
