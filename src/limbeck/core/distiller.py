"""Everything that has gradients, in one forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from limbeck.core._dependencies import check_kinds, check_names, check_separate, ordered
from limbeck.core._optimizer_sync import OptimizerSync
from limbeck.core._parameters import ReadParameters
from limbeck.core._preserve_state import eval_mode, preserve_buffers, preserve_random_state
from limbeck.core._teachers import naming_teacher, parts_by_teacher
from limbeck.core.addresses import Address, Board, Outputs, map_tensors, source_of
from limbeck.core.balance import Balance, Fixed, Weights
from limbeck.core.processes import summed, world_size
from limbeck.core.step import Counts, StepOutput
from limbeck.core.taps import Tapped
from limbeck.core.term import Term
from limbeck.errors import ArgumentError, located

__all__ = ["Distiller", "Teacher"]

# nn.ModuleDict refuses names such as "keys" or "type": every stored name gets this prefix.
_prefix = "_"


class Teacher(Protocol):
    """Anything that can fill one place on the board.

    Four methods are optional, and called on the modules inside a teacher too. ``bind_students(students)`` is called
    once, when a Distiller is built, with its students by name. ``prepare(boards)`` is called by `Distiller.prepare`, in
    eval mode, with everything that the teacher can read. ``after_step(step)`` and ``follow_step(step)`` are those of
    `Distiller.after_step`.
    """

    @property
    def reads(self) -> tuple[Address, ...]: ...

    def __call__(self, board: Board) -> Outputs: ...


class Distiller(nn.Module):
    """Students, teachers and terms: one training step, without the loop around it.

    ``forward(batch)`` lays the batch and the outputs of all students and of the teachers in use on one board, evaluates
    every term there, and weighs them. The loop stays the user's::

        distiller = Distiller(student, {"hard": Term(CrossEntropy()), "soft": Term(KLDivergence())}, {"teacher": ...})
        distiller.prepare([batch])
        optimizer = torch.optim.AdamW(distiller.parameters())
        distiller.attach(optimizer)
        for batch in loader:
            distiller(batch).loss().backward()
            optimizer.step()
            optimizer.zero_grad()

    Args:
        student: a model (its source is called ``student``), a `Tapped`, or several of these by name. They run in this
            order, each after the models that it reads, and may share modules with one another.
        terms: name -> `Term`.
        teachers: name -> teacher. One that no term and no student reads, directly or through another model, is never
            run.
        balance: weighs terms on top of their own weights; `Fixed` by default.

    Raises:
        ArgumentError: if a name cannot stand in an address or is taken twice, a source is unknown, models read each
            other in a circle, all weights are 0, a student has nothing to train, or a student and a teacher share a
            module.
    """

    step: Tensor

    def __init__(
        self,
        student: nn.Module | Mapping[str, nn.Module],
        terms: Mapping[str, Term],
        teachers: Mapping[str, Teacher] | None = None,
        *,
        balance: Balance | None = None,
    ) -> None:
        super().__init__()
        students = student if isinstance(student, Mapping) else {"student": student}
        teachers = teachers or {}
        check_names(students, terms, teachers)
        check_kinds(terms, teachers)
        tapped = {name: _tapped(model) for name, model in students.items()}
        for name, part in parts_by_teacher("bind_students", teachers):
            with naming_teacher(name):
                part.bind_students(tapped)
        self._students = _store(tapped)
        self._terms = _store(terms)
        self._order = ordered(tapped, terms, teachers)
        check_separate(tapped, teachers)
        self._teachers: dict[str, Teacher] = {name: teachers[name] for name in self._order if name in teachers}
        self._check_hooks()
        # A second home for those teachers that are modules: device, dtype, state and training follow the Distiller.
        self._teacher_modules = _store({n: t for n, t in self._teachers.items() if isinstance(t, nn.Module)})
        addresses = [address for term in terms.values() for address in term.addresses]
        self._parameters_read = ReadParameters(addresses, {**tapped, **self._teachers})
        self.balance: Balance = Fixed() if balance is None else balance
        bind = getattr(balance, "bind", None)
        if bind is not None:
            bind(tuple(tapped), tuple(terms))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(_follow_step)  # type: ignore[no-untyped-call]
        self._optimizer_sync: OptimizerSync | None = None
        self._moves: list[Callable[[int], None]] | None = None
        self._check_training()

    def _check_training(self) -> None:
        for name, model in self.students.items():
            if not any(p.requires_grad for p in model.parameters()):
                raise ArgumentError(
                    f"student {name!r} has no parameter that requires grad; call requires_grad_() on its model",
                    code="unsupported",
                    path=f"students.{name}",
                )
        if all(term.is_constant and term.weight == 0 for term in self.terms.values()):
            raise ArgumentError(
                f"every term has weight 0: {sorted(self.terms)}; at least one must be above 0",
                code="no_effect",
                path="terms",
            )

    def _check_hooks(self) -> None:
        for name, teacher in self._teachers.items():
            hook = next((hook for hook in ("after_step", "follow_step") if hasattr(teacher, hook)), None)
            if hook is not None and not isinstance(teacher, nn.Module):
                raise ArgumentError(
                    f"teacher {name!r}: {type(teacher).__name__} has {hook} and is no nn.Module, so it would never be "
                    "called; derive the class from torch.nn.Module",
                    code="unsupported",
                    path=f"teachers.{name}",
                )

    def _check_teachers_learn(self) -> None:
        read = {source_of(address) for teacher in self._teachers.values() for address in teacher.reads}
        for student in self.students.values():
            read |= set() if student.detach_inputs else set(map(source_of, student.input_addresses))
        for term in self.terms.values():
            read |= {source_of(address) for argument, address in term.inputs.items() if argument not in term.detach}
        for name, teacher in _stored(self._teacher_modules).items():
            if name not in read and any(p.requires_grad for p in teacher.parameters()):
                raise ArgumentError(
                    f"teacher {name!r} has parameters to train, but every term that reads it detaches it; train it "
                    f"with a term of its own, as Term(CrossEntropy(), {{'student': '{name}.logits'}}), or freeze them",
                    code="no_effect",
                    path=f"teachers.{name}",
                )

    @property
    def students(self) -> dict[str, Tapped]:
        """The students by name."""
        return _stored(self._students)

    @property
    def terms(self) -> dict[str, Term]:
        """The terms by name."""
        return _stored(self._terms)

    @property
    def teachers(self) -> dict[str, Teacher]:
        """The teachers in use by name, in the order in which they run."""
        return dict(self._teachers)

    @property
    def relational_terms(self) -> tuple[str, ...]:
        """The names of terms that compare rows, so that each micro-batch of a training step gives them another value.

        Without ``gather`` they compare the rows of one process.
        """
        return tuple(name for name, term in self.terms.items() if term.relational)

    def forward(self, batch: Outputs) -> StepOutput:
        board, terms = self._board(batch), self.terms
        laid = self._with_parameters(board)
        means = {name: term(laid) for name, term in terms.items()}
        factors, penalty, penalties = self.balance(means, board)
        weights = {name: factors[name] * term.weight for name, term in terms.items()}
        for name, value in (penalties or {}).items():
            penalty = penalty + value * terms[name].weight
        outputs = {name: values for name, values in board.items() if name != "batch"}
        return StepOutput(means, Weights(weights, penalty), outputs)

    def _board(self, batch: Outputs, *, trial: bool = False) -> Board:
        board: dict[str, Outputs] = {"batch": batch}
        students = self.students
        for name in self._order:
            if name in students:
                board[name] = students[name](students[name].inputs_on(board))
            elif trial:
                with naming_teacher(name):
                    board[name] = self._teachers[name](board)
            else:
                board[name] = self._teachers[name](board)
        return board

    def _with_parameters(self, board: Board) -> Board:
        return self._parameters_read.on(board, {**self.students, **self._teachers})

    @property
    def prepare_batches(self) -> int:
        """How many batches `prepare` asks for: the largest ``prepare_batches`` of a loss or of a part of one, or 1."""
        parts = [part for term in self.terms.values() for part in term.loss.modules()]
        return max(getattr(part, "prepare_batches", 1) for part in parts)

    def prepare(self, batches: Iterable[Outputs]) -> Self:
        """Try one forward on real batches, before the optimizer is made.

        Checks every address and shape, sizes lazy projections, and calls each loss's optional ``prepare`` with what it
        will read. Models run in eval mode; random state, training modes and buffers are left as they were, but for what
        a loss learns in its ``prepare``. What the models gave for the batches is kept meanwhile; the graph behind it
        only for the first batch, or for all where a loss differentiates.

        Args:
            batches: as many as `prepare_batches` says, where several processes train the same for each.

        Raises:
            AddressError: if an address names nothing.
            ArgumentError: if shapes do not fit, there is no batch, a teacher fails, or one has parameters that no term
                trains.
        """
        self._moves = None
        self._check_teachers_learn()
        with preserve_random_state(), eval_mode(self), torch.enable_grad():
            with preserve_buffers(self):
                boards = [self._trial_board(batch, number == 0) for number, batch in enumerate(batches)]
                if not boards:
                    raise ArgumentError(
                        "prepare needs at least one batch; it was given none", code="missing", path="batches"
                    )
                for name, part in parts_by_teacher("prepare", self._teachers):
                    with naming_teacher(name):
                        part.prepare(boards)
            for name, term in self.terms.items():
                try:
                    with located(f"terms.{name}"):
                        term.prepare(boards)
                except Exception as error:
                    error.add_note(f"in the term {name!r}")
                    raise
            prepare = getattr(self.balance, "prepare", None)
            if prepare is not None:
                # The other boards have no graph.
                with preserve_buffers(self):
                    prepare(boards[:1], [{name: term.alone(boards[0]) for name, term in self.terms.items()}])
        return self

    def _trial_board(self, batch: Outputs, first: bool) -> Board:
        board = self._with_parameters(self._board(batch, trial=True))
        if first or any(term.differentiates for term in self.terms.values()):
            return board
        # With its graph, each board would hold what a whole training step does.
        return {source: map_tensors(outputs, _without_graph) for source, outputs in board.items()}

    @torch.no_grad()
    def readings(self) -> dict[str, dict[str, float]]:
        """Groups of numbers by the names of terms, for a log: ``temperatures`` that move, and those of the balance."""
        held = {name: getattr(term.loss, "current_temperature", None) for name, term in self.terms.items()}
        moving = {name: value.item() for name, value in held.items() if isinstance(value, Tensor)}
        readings: dict[str, dict[str, float]] = {"temperatures": moving} if moving else {}
        return {**readings, **getattr(self.balance, "readings", dict)()}

    def counts(self, batches: Iterable[Outputs]) -> Counts:
        """The denominators of one optimizer step: each term's count over these micro-batches and all processes.

        No forward is run. Every process must call it for every optimizer step, each with its own micro-batches.

        Raises:
            ArgumentError: if there is no batch, or a count cannot be known without a forward.
        """
        batches = list(batches)
        if not batches:
            raise ArgumentError(
                "counts needs the micro-batches of one optimizer step; it was given none",
                code="missing",
                path="micro_batches",
            )
        device = self.step.device
        totals = torch.stack(
            [
                sum((term.count(b).to(device) for b in batches), torch.zeros((), device=device))
                for term in self.terms.values()
            ]
        )
        return Counts(dict(zip(self.terms, summed(totals).unbind(), strict=True)), len(batches), world_size())

    def attach(self, *optimizers: Optimizer) -> Self:
        """Run ``after_step`` once for each real training step (a step that a grad scaler skips is none).

        Several optimizers, say one for each student, must step in the order given here; a training step is over with
        the last of them, or, if that one is skipped, when the next training step begins to step. Where an optimizer
        rests in some training steps, leave this out and call ``after_step`` once at the end of each.

        Raises:
            ArgumentError: if optimizers are attached already: every step would count twice.
        """
        if self._optimizer_sync is not None:
            raise ArgumentError(
                "this Distiller is attached to an optimizer already; attach all of them in one call",
                code="in_use",
                path="optimizers",
            )
        self._optimizer_sync = OptimizerSync(optimizers, self.after_step)
        return self

    def after_step(self) -> None:
        """Move all state that follows the optimizer step. `attach` calls this; call it yourself only without it.

        Modules of students, terms, losses and teachers, and the balance, may have two methods for that:
        ``after_step(step)`` takes what was gathered in the step, and ``follow_step(step)`` sets the state of this step,
        also after a state was loaded. Adapters on a student, such as quantization-aware training, move theirs so.
        """
        self.step += 1
        if self._moves is None:
            self._moves = [*self._methods("after_step"), *self._methods("follow_step")]
        if self._moves:
            step = int(self.step)
            with torch.no_grad():
                for move in self._moves:
                    move(step)

    def _methods(self, name: str) -> list[Callable[[int], None]]:
        parts = (self._students, self._terms, self._teacher_modules, self.balance)
        modules = nn.ModuleList(part for part in parts if isinstance(part, nn.Module)).modules()
        return [getattr(m, name) for m in modules if hasattr(m, name) and not (isinstance(m, Term) and m.is_constant)]

    def __getstate__(self) -> dict[str, Any]:
        # The hook lives on the optimizer and keeps calling the original: a copy is not attached.
        return {**self.__dict__, "_optimizer_sync": None, "_moves": None}


def _follow_step(distiller: nn.Module, incompatible_keys: object) -> None:
    assert isinstance(distiller, Distiller)
    for follow in distiller._methods("follow_step"):
        follow(int(distiller.step))


def _without_graph(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _tapped(model: nn.Module) -> Tapped:
    return model if isinstance(model, Tapped) else Tapped(model)


def _store(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({_prefix + name: module for name, module in modules.items()})


def _stored(modules: nn.ModuleDict) -> dict[str, Any]:
    return {name[len(_prefix) :]: module for name, module in modules.items()}
