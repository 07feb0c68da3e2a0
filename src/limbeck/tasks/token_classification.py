"""Token classification: one tag for each word of a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from limbeck.data.labels import TagLabels
from limbeck.data.rows import TagSet
from limbeck.export import Delivery
from limbeck.measure import ClassScoring, token_scoring
from limbeck.registry import Needs, register
from limbeck.tasks.batch_source import Batch
from limbeck.tasks.descriptions import EXCLUSIVE_LIMIT, TaskDescription, tokenizer_snippet
from limbeck.tasks.outputs import OutputSpec
from limbeck.tasks.task import Arrays
from limbeck.tasks.text_task import LengthSettings, TextTask, tokenizer_part

__all__ = ["TokenClassification"]

_length = ("batch", "length")


@register("task", "token_classification")
class TokenClassification(TextTask):
    """The rows of a source of words and tags, split; and everything that a run asks of the task.

    Args:
        source: ``train``, and where the source has them ``validation`` and ``test``.
        settings: how to split and to cut them.
        unlabelled: the source of further rows without tags.
        test_from: the source of the test rows, where it is another one.

    Raises:
        DataError: if there are fewer than two tags, rows cannot be split as asked, or the rows of another source do not
            fit.
    """

    Settings: ClassVar = LengthSettings
    sections: ClassVar[Mapping[str, type]] = {}
    row_type: ClassVar = TagSet
    label_type: ClassVar = TagLabels
    needs: ClassVar = Needs(("texts",), per="word")
    parts: ClassVar = {"tokenizer": tokenizer_part("words")}
    delivery: ClassVar = Delivery(("onnx", "int8"), "limbeck.export.predictors.words:predict")
    mask_address: ClassVar = "batch.words"
    axes: ClassVar = {
        **dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), _length),
        "words": ("batch", "words"),
    }

    @property
    def outputs(self) -> dict[str, OutputSpec]:
        """One logit for each tag, for each word."""
        return {"logits": OutputSpec(("row", "words", "class"), names=self.classes, mask="batch.words")}

    @cached_property
    def scoring(self) -> ClassScoring:
        """Entities decide where tags tell of some, words where they do not."""
        return token_scoring(self.classes)

    @property
    def input(self) -> dict[str, Any]:
        return {"words": True, "max_length": self.settings.max_length}

    @property
    def description(self) -> TaskDescription:
        """Sentences of words, and one tag for each word."""
        return TaskDescription(
            input=f"a sentence of words, up to {self.settings.max_length} tokens",
            output=f"{len(self.classes):,} tags",
            row="sentence",
            label="tag",
            decision="word",
            snippet=tokenizer_snippet(
                'words = ["Ann", "lives", "in", "Oslo"]\n'
                "rows = tokenizer([words], is_split_into_words=True, truncation=True, "
                f"max_length={self.settings.max_length})\n"
                "# the index of the first token of each word\n"
                "owners = rows.word_ids(0)\n"
                'rows["words"] = [[owners.index(number) for number in range(len(words)) if number in owners]]',
                output="print([(word, classes[index]) for word, index in zip(words, logits[0].argmax(axis=1))])",
            ),
            command='limbeck predict . "Ann lives in Oslo"',
            limits=[EXCLUSIVE_LIMIT.format(row="word")],
            pipeline_tag="token-classification",
        )

    def vocabulary(self) -> list[str]:
        """The words of the student's rows."""
        return [word for row in self.student_rows.rows.words for word in row]

    def measured(self, outputs: Mapping[str, Any], batch: Batch) -> Arrays:
        """The logits ``[B, W, C]``, 0 where a sentence has no further word."""
        logits = outputs["logits"].double().cpu()
        return {"logits": logits.where(batch["words"].unsqueeze(-1), 0.0).numpy()}

    def labels(self, batch: Batch) -> Arrays:
        """The tags ``[B, W]``."""
        return {"target": batch["target"].cpu().numpy()}
