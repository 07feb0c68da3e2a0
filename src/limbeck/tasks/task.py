"""What a run asks of a task: a base class, of which a task states what differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limbeck.cache import CachedRows
from limbeck.core import Address, Distiller, outputs_of, resolve
from limbeck.data.labels import LabelType
from limbeck.data.row_batches import RowBatches, collated, whole_rows
from limbeck.data.sources.constructors import RowType
from limbeck.errors import ArgumentError
from limbeck.export import Delivery, export_onnx
from limbeck.measure import Accumulator, ClassScoring, Scoring
from limbeck.registry import Needs
from limbeck.tasks.batch_source import Batch, BatchSource, OnPolicySource
from limbeck.tasks.descriptions import TaskDescription
from limbeck.tasks.label_kind import check_label_kind
from limbeck.tasks.outputs import OutputSpec, check_outputs
from limbeck.tasks.pad_classes import PadClasses
from limbeck.tasks.splits import SplitSettings, TaskSplits, TrainingRows, planned, split_task

__all__ = ["Arrays", "Part", "Read", "Task"]

Arrays: TypeAlias = dict[str, NDArray[Any]]
Read: TypeAlias = Callable[[Batch], Mapping[str, Any]]

_evaluation_batch = 256


@dataclass(frozen=True)
class Part:
    """A component of a model that a recipe chooses by name, such as a tokenizer.

    Args:
        kind: of the registry entries to choose from.
        needs: what they must be able to do.
        default: the entry that is taken where a recipe names none.
        gives: the parameter of a model's constructor that depends on it; a model without it brings its own.
        supplied: the parameters of these entries that the data gives.
    """

    kind: str
    needs: Needs
    default: str
    gives: str
    supplied: tuple[str, ...]


class Task(ABC):
    """The rows of a source, split; what batches of them hold; how models are built, judged and shipped.

    A class is registered under the kind ``task``. It states at least `row_type`, `outputs`, `scoring`, `collate` and
    `build`; everything else has a default. Class variables are read before any data is.

    Args:
        source: row sets by name: ``train``, and where the source has them ``validation`` and ``test``.
        settings: an instance of `Settings`.
        unlabelled: row sets of a source of further rows, whose labels are not used.
        test_from: row sets of the source of the test rows, where it is another one.

    Raises:
        DataError: if rows cannot be split as asked, or those of another source do not fit.
    """

    Settings: ClassVar[type] = SplitSettings
    """The options of ``data:`` beside those of the source."""
    sections: ClassVar[Mapping[str, type]] = MappingProxyType({})
    """The settings that are themselves options of a class."""
    row_type: ClassVar[RowType]
    """The class of row sets that a source gives; or several classes, of which a recipe chooses one."""
    label_type: ClassVar[type[LabelType] | None] = None
    """How the labels of rows are read; None where a source gives them as they are."""
    needs: ClassVar[Needs] = Needs(("images", "tables"))
    """What the models that a recipe names by ``use`` must be able to do."""
    parts: ClassVar[Mapping[str, Part]] = MappingProxyType({})
    """The components of a model that its section may name."""
    supplied: ClassVar[tuple[str, ...]] = ()
    """The parameters of model constructors that the data gives, and no recipe."""
    main_output: ClassVar[str] = "logits"
    """The output that default addresses of terms mean: the argument ``student`` reads ``student.<main_output>``."""
    delivery: ClassVar[Delivery] = Delivery()
    """The exported files of a student, and how they are used."""
    mask_address: ClassVar[Address | None] = None
    """The address of the mask of terms that read logits alone, where a recipe gives no ``where``; None for all rows."""
    static_outputs: ClassVar[Sequence[str] | None] = None
    """The outputs of models whose shape is the same for all rows; None for all outputs."""

    metrics: Sequence[str] = ()
    """The names of the metrics that a recipe chooses; those of the `scoring` if it chooses none."""

    # What a task states.

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, OutputSpec]:
        """What its models return, by name."""

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How its models are judged."""

    @property
    def judgement(self) -> Scoring:
        """The scoring, with the metrics that the recipe chooses."""
        return self.scoring.with_metrics(self.metrics) if self.metrics else self.scoring

    @abstractmethod
    def collate(self, rows: Any, numbers: Tensor, views: Tensor) -> Batch:
        """What a batch holds of these rows: at least ``inputs``, and ``target`` where rows have labels.

        Args:
            rows: a row set.
            numbers: of its rows, int64 ``[B]``.
            views: the number of the view of each, int64 ``[B]``; 0 in evaluation.
        """

    @abstractmethod
    def build(
        self,
        make: Callable[..., nn.Module],
        role: str = "student",
        parts: Mapping[str, Any] = MappingProxyType({}),
    ) -> nn.Module:
        """A model for this data.

        Args:
            make: the constructor, which takes what is `supplied`.
            role: the section of the model in the recipe: ``student``, ``teacher``, ``discriminator``, …
            parts: the components that its section names, each with its options.
        """

    def from_estimator(self, estimator: Any) -> nn.Module:
        """A model that predicts what an estimator does, as scikit-learn has them.

        Args:
            estimator: with ``predict``, and for classes ``predict_proba``.

        Raises:
            ArgumentError: if it does not fit the data, or the task takes none.
        """
        raise ArgumentError(
            f"it is a {type(estimator).__name__}, and this task takes torch modules alone",
            code="unsupported",
            path="estimator",
        )

    # Its rows.

    @classmethod
    def from_objects(cls, data: Any) -> Mapping[str, Any]:
        """The row sets that real objects given in Python stand for.

        Raises:
            ArgumentError: if they are none.
        """
        kinds = cls.row_type if isinstance(cls.row_type, tuple) else (cls.row_type,)
        if not isinstance(data, Mapping) or not all(isinstance(rows, kinds) for rows in data.values()):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ArgumentError(
                f"data is a {type(data).__name__}; give {{'train': {expected}, …}}, as a source loads it",
                code="wrong_type",
                path="data",
            )
        return data

    def __init__(
        self,
        source: Mapping[str, Any],
        settings: Any,
        *,
        unlabelled: Mapping[str, Any] | None = None,
        test_from: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        splits = self.split(source, unlabelled=unlabelled, test_from=test_from)
        self.validation: Any = splits.validation
        self.test: Any = splits.test
        self.teacher_rows: TrainingRows = splits.teacher
        self.student_rows: TrainingRows = splits.student
        self.labelled_rows: TrainingRows = splits.labelled

    def split(
        self, source: Mapping[str, Any], *, unlabelled: Mapping[str, Any] | None, test_from: Mapping[str, Any] | None
    ) -> TaskSplits[Any]:
        """The training rows of teachers, student and control; the validation and the test rows."""
        return split_task(source, self.settings, unlabelled=unlabelled, test_from=test_from)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each entry of the main output's last axis; empty where they have none."""
        return tuple(self.outputs[self.main_output].names or ())

    @property
    def notes(self) -> Sequence[str]:
        """Notes about the data, printed when a run starts."""
        return ()

    def budget(self) -> dict[str, int]:
        """The number of labels that the student and its control may see, and of their rows without one."""
        labelled = self.student_rows.rows.labelled
        return {"training": int(labelled.sum()), "unlabelled": int((~labelled).sum())}

    @property
    def input(self) -> Mapping[str, Any]:
        """The shape of one input, for config.json and results.json."""
        inputs = resolve({"batch": self.example}, "batch.inputs")
        named = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
        return {name: list(value.shape[1:]) for name, value in named.items()}

    @property
    def description(self) -> TaskDescription:
        """Input, output and use of the models, for the report and the model card."""
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.input.items())
        return TaskDescription(input=shapes, output=", ".join(self.outputs), row="row", label="label")

    # Models.

    def reading(self, models: Callable[[], Mapping[str, nn.Module]]) -> tuple[Self, Mapping[str, Address]]:
        """The task with batches that hold the inputs of these models, and the address of each one's inputs.

        Args:
            models: builds them, by section; the first is the one whose inputs are ``batch.inputs``.

        Returns:
            The task, and the addresses other than ``batch.inputs``.
        """
        return self, {}

    def alone(self, inputs: Address) -> tuple[Self, Address]:
        """The task for the model that reads this address, alone, and the address of its inputs there.

        The batches, their order and their keys depend on no other model.
        """
        return self, inputs

    def check_model(self, label: str, model: nn.Module, inputs: Address = "batch.inputs") -> None:
        """Refuse a model that does not turn one row into the outputs of the task.

        Raises:
            ArgumentError: with the label in the message.
        """
        example = self.example
        mode = model.training
        try:
            with torch.no_grad():
                outputs = outputs_of(model.eval(), example, inputs, main=self.main_output)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise ArgumentError(
                f"{label} cannot read a row of the data ({reason}); choose another model",
                code="unsupported",
                path=label,
            ) from error
        finally:
            model.train(mode)
        check_outputs(label, outputs, self.outputs, rows=len(example["row"]))

    @property
    def fitted_hard(self) -> Mapping[str, Any]:
        """The default hard terms of models that are fitted at once."""
        return self.scoring.hard

    def check_distiller(self, distiller: Distiller) -> None:
        """Refuse terms and teachers that do not fit what the models predict, although their shapes do.

        Raises:
            LimbeckError: with the name of the term or the teacher.
        """
        check_label_kind(distiller, self.scoring)

    # Batches.

    @property
    def example(self) -> Batch:
        """One real row, as a batch."""
        return self.read(self.validation if len(self.validation) else self.test, torch.zeros(1, dtype=torch.int64))

    def sample(self, count: int) -> Batch:
        """At most this many training rows, at equal distances, as a batch."""
        rows = self.teacher_rows.rows
        return self.read(rows, torch.arange(0, len(rows), -(-len(rows) // count)))

    def read(self, rows: Any, numbers: Tensor) -> Batch:
        """The rows of these numbers (int64 ``[B]``) as a batch, in view 0."""
        return collated(rows, numbers, torch.zeros_like(numbers), self.collate)

    def batches(
        self,
        training: TrainingRows,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        world: int,
        views: int | None = None,
        cached: CachedRows | None = None,
    ) -> tuple[BatchSource | OnPolicySource, int]:
        """The batches that a model trains on, and the number of steps per epoch.

        Args:
            training: its rows.
            batch_size: over all processes.
            seed: decides the order; and the views, unless ``views`` is given: caches serve every seed.
            rank: the number of this process.
            world: the number of processes.
            views: the number of views per row; if None, every epoch has its own.
            cached: the outputs of teachers for these views.
        """
        plan = planned(training, self.settings, batch_size=batch_size, seed=seed)
        batches = RowBatches(training.rows, plan, self.collate, rank=rank, world=world, views=views, cached=cached)
        return batches, plan.steps_per_epoch

    @property
    def num_views(self) -> int | None:
        """The number of views per row of the student, taken in turn; None if every epoch has its own."""
        return 1

    def views_key(self, training: TrainingRows, views: int | None) -> dict[str, Any]:
        """What decides the views of the rows, as caches record it."""
        return {"rows": training.rows.fingerprint()}

    def key(self, training: TrainingRows) -> dict[str, Any]:
        """What decides the batches of a training, beside its own settings."""
        return {
            "rows": training.rows.fingerprint(),
            "labelled_only": training.labelled_only,
            "labelled_share": self.settings.labelled_share,
            "class_balance": self.settings.class_balance,
        }

    # Evaluation.

    def evaluation(self, rows: Any) -> Iterator[Batch]:
        """All rows once, in view 0."""
        return whole_rows(rows, _evaluation_batch, self.collate)

    def measured(self, outputs: Mapping[str, Any], batch: Batch) -> Arrays:
        """The outputs of a model for a batch, as the metrics of the `scoring` read them."""
        return {name: outputs[name].double().cpu().numpy() for name in self.outputs}

    def labels(self, batch: Batch) -> Arrays:
        """The labels of a batch, as the metrics of the `scoring` read them."""
        return {"target": batch["target"].cpu().numpy()}

    def validate(self, model: nn.Module, inputs: Address = "batch.inputs") -> dict[str, float]:
        """The metric that decides, on the validation rows, for a model in eval mode that reads this address."""
        read = partial(outputs_of, model, inputs=inputs, main=self.main_output)
        main = self.judgement.main
        accumulator = Accumulator({main.name: main}, optional=self.judgement.optional)
        for batch in self.evaluation(self.validation):
            accumulator.update(self.measured(read(batch), batch), self.labels(batch), rows=batch["row"].cpu().numpy())
        return {main.name: accumulator.score(main.name)}

    def with_outputs(self, model: nn.Module, names: Sequence[str]) -> nn.Module:
        """A model whose main output has entries of these `names`, as one that has those of the task.

        Raises:
            ArgumentError: if the entries of the task's main output have no names.
        """
        if not self.names:
            raise ArgumentError.at(
                "classes", f"the entries of {self.main_output} have no names in this task", code="unsupported"
            )
        return PadClasses(model, names, self.names)

    # Delivery.

    @property
    def file_metadata(self) -> dict[str, str]:
        """The entries of an exported file that tell a predictor scores of the classes of a row from other numbers."""
        scoring = self.scoring
        if not isinstance(scoring, ClassScoring) or len(self.outputs[self.main_output].axes) != 2:
            return {}
        return {"problem_type": f"{scoring.label_kind}_classification"}

    def restored(self, spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """The section of a model that was shipped into a folder, so that the files there build it again."""
        return spec

    def ship(self, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Write the files that a model needs beside its weights; further entries of its config.json."""
        return {}

    def export(self, model: nn.Module, file: Path, metadata: Mapping[str, str]) -> None:
        """Write the model to an ONNX file.

        Raises:
            ExportError: if it cannot be translated or written.
        """
        export_onnx(
            model,
            file,
            example=resolve({"batch": self.example}, "batch.inputs"),
            outputs={name: spec.export_axes for name, spec in self.outputs.items()},
            names={name: spec.names for name, spec in self.outputs.items() if spec.names is not None},
            inputs=self.delivery.inputs,
            metadata=metadata,
        )
