"""What a task says about its models to the report and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EXCLUSIVE_LIMIT", "TaskDescription", "onnx_snippet", "tokenizer_snippet"]

EXCLUSIVE_LIMIT = "The model assigns one of its classes to every {row}, also to one that belongs to none of them."

_PREDICTED_CLASSES = "print([classes[index] for index in logits.argmax(axis=1)])"
_CLASSES_ABOVE_HALF = "print([[classes[index] for index in np.flatnonzero(row > 0)] for row in logits])"


@dataclass(frozen=True, kw_only=True)
class TaskDescription:
    """A task's part of `results.json`.

    Args:
        input: what a model takes, such as "8×8 pixels, 1 channel".
        output: what it gives, such as "10 classes".
        row: one example of the data, such as "image".
        label: what a labelled row has, such as "class".
        decision: what one prediction is made for, such as "word" where a row is a sentence; a row if empty.
        snippet: lines of Python without torch that run the exported file, from the folder of the run.
        command: a command line that does the same.
        limits: sentences about what the output cannot say.
        pipeline_tag: the task's name on the Hugging Face hub.
    """

    input: str
    output: str
    row: str
    label: str
    decision: str = ""
    snippet: str = ""
    command: str = ""
    limits: Sequence[str] = ()
    pipeline_tag: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry `task_description` of `results.json`, in plain types."""
        return {**asdict(self), "limits": list(self.limits)}


def onnx_snippet(feed: str, *, imports: Sequence[str] = (), multi_label: bool = False, output: str = "") -> str:
    """Lines of Python that run the exported file and print the names of the predicted classes.

    Args:
        feed: lines that set ``feed``, the inputs of the file by name.
        imports: lines that are added to the imports.
        multi_label: whether a row may have several classes.
        output: lines that print the output; by default the names of the classes of each row.
    """
    printed = output or (_CLASSES_ABOVE_HALF if multi_label else _PREDICTED_CLASSES)
    lines = (
        "import json",
        "from pathlib import Path",
        "",
        "import numpy as np",
        "import onnxruntime",
        *imports,
        "",
        'session = onnxruntime.InferenceSession("export/student.onnx")',
        'classes = json.loads(Path("results.json").read_text(encoding="utf-8"))["classes"]',
        "",
        feed,
        '(logits,) = session.run(["logits"], feed)',
        printed,
    )
    return "\n".join(lines)


def tokenizer_snippet(rows: str, *, multi_label: bool = False, output: str = "") -> str:
    """The same for a file that takes tokens.

    Args:
        rows: lines that set ``rows``, the output of ``tokenizer``.
        multi_label: whether a row may have several classes.
        output: lines that print the output.
    """
    feed = (
        'tokenizer = AutoTokenizer.from_pretrained("export")\n'
        f"{rows}\n"
        "feed = {value.name: np.array(rows[value.name], dtype=np.int64) for value in session.get_inputs()}"
    )
    imports = ("from transformers import AutoTokenizer",)
    return onnx_snippet(feed, imports=imports, multi_label=multi_label, output=output)
