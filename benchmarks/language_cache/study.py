"""How much is trained and measured, and with which numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from limbeck.files import canonical_hash

__all__ = ["BYTES", "LIMIT", "Study"]

BYTES = (20, 30, 60, 120)
# topk keeps at least so many classes in so many bytes per token, with up to 131,072 classes.
LIMIT, FEWEST = 114, 25


@dataclass(frozen=True)
class Study:
    """The numbers of one run. None of them was chosen by what comes out on the held-out text.

    Args:
        vocabulary: tokens of the byte-level BPE.
        context: tokens of a window.
        teacher_width, teacher_layers, teacher_steps: the teacher, and how long it is trained.
        student_width, student_layers, student_steps: the student, likewise, on the text alone.
        windows: in a batch, of the training and of what is measured.
        learning_rate: the highest of one cycle, for both.
        seed: of the tokenizer's text, the weights, the order and the windows that are measured.
        batches: of held-out windows that are measured.
        draws: how many caches of `sampled` the mean is taken of.
        checked: windows of which it is taken.
    """

    vocabulary: int = 8_192
    context: int = 128
    teacher_width: int = 128
    teacher_layers: int = 4
    teacher_steps: int = 1_000
    student_width: int = 64
    student_layers: int = 2
    student_steps: int = 400
    windows: int = 16
    learning_rate: float = 3.0e-3
    seed: int = 0
    batches: int = 12
    draws: int = 200
    checked: int = 1

    @property
    def key(self) -> str:
        """A name for the tokenizer and both models: a hash of what decides them."""
        others = ("batches", "draws", "checked")
        return canonical_hash({name: value for name, value in asdict(self).items() if name not in others})[:12]
