"""A student that trains along, as a fixed function of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from torch.func import functional_call

from limbeck.core import Address, Board, Outputs, Tapped
from limbeck.core.addresses import Inputs, addresses_of, check_name, resolve_inputs
from limbeck.errors import ArgumentError, suggest
from limbeck.registry import register

__all__ = ["Live"]


@register("teacher", "live")
class Live(nn.Module):
    r"""The outputs of a student with its current weights, which get no gradient, while gradients flow to its inputs.

    .. math:: f_{\mathrm{sg}(\theta)}(x), \qquad \frac{\partial}{\partial \theta} = 0, \qquad
              \frac{\partial}{\partial x} = \frac{\partial f_\theta(x)}{\partial x}

    This is how a generator learns from a discriminator that trains in the same step: the discriminator is a student
    that reads the generator's outputs with ``detach_inputs``, and `Live` reads them without::

        discriminator = Tapped(D, inputs={"real": "batch.inputs", "fake": "generator.images"}, detach_inputs=True)
        teachers = {"live": Live("discriminator")}
        terms = {"generate": Term(NonSaturating(), {"student": "live.fake"}), ...}

    It has the student's taps and mode. Its forward leaves the student's buffers as they are, so that the running
    statistics of a batch normalization are those of the student's own forward.

    Args:
        student: the name of the student, in the Distiller that this teacher is given to.
        inputs: the address, or the mapping of arguments to addresses, that it is fed; the student's own by default.

    Raises:
        ArgumentError: if no address can hold the name; when a Distiller is built, if it has no such student, or if this
            teacher belongs to another Distiller already.

    Recipe: ``models: {judge: {live: critic}}``.

    Source: Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio 2014, Generative Adversarial
    Networks, arXiv:1406.2661 (algorithm 1: the generator's step with the discriminator held fixed).

    >>> import torch
    >>> live = Live("critic", inputs="maker.logits")
    >>> critic = nn.Linear(3, 1)
    >>> live.bind_students({"critic": Tapped(critic)})
    >>> made = torch.ones(1, 3, requires_grad=True)
    >>> live({"maker": {"logits": made}})["logits"].sum().backward()
    >>> torch.equal(made.grad, critic.weight), critic.weight.grad
    (True, None)
    """

    section: ClassVar = "live"
    section_option: ClassVar = "student"
    may_need_student: ClassVar = True
    learns: ClassVar = False

    @classmethod
    def needs(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The student."""
        return (options["student"],)

    co_trained = needs

    def __init__(self, student: str, *, inputs: Inputs | None = None) -> None:
        super().__init__()
        self.student = check_name("student", student)
        self.inputs = inputs
        # In a tuple: the student belongs to the Distiller.
        self._followed: tuple[Tapped, ...] = ()

    def bind_students(self, students: Mapping[str, Tapped]) -> None:
        """Find the student that this teacher runs."""
        if self.student not in students:
            raise ArgumentError(
                f"live: no student {self.student!r} to run.{suggest(self.student, students)}",
                code="unknown_name",
                path="student",
            )
        if self._followed:
            raise ArgumentError(
                f"this Live({self.student!r}) belongs to a Distiller already; make a new one for another",
                code="in_use",
                path="student",
            )
        self._followed = (students[self.student],)

    @property
    def reads(self) -> tuple[Address, ...]:
        if self.inputs is None:
            return tuple(address for student in self._followed for address in student.input_addresses)
        return addresses_of(self.inputs)

    def forward(self, board: Board) -> Outputs:
        if not self._followed:
            raise ArgumentError(
                f"Live({self.student!r}) runs no student yet; give it to a Distiller as a teacher",
                code="not_ready",
                path="student",
            )
        student = self._followed[0]
        tensors = {name: parameter.detach() for name, parameter in student.named_parameters()}
        tensors |= {name: buffer.clone() for name, buffer in student.named_buffers()}
        inputs = resolve_inputs(board, student.inputs if self.inputs is None else self.inputs)
        outputs: Outputs = functional_call(student, tensors, (inputs,))
        return outputs

    def extra_repr(self) -> str:
        return f"student={self.student!r}"
