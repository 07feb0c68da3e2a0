import pytest
import torch

from limbeck.errors import ArgumentError
from limbeck.losses._rows import as_vectors


def test_inputs_that_are_not_pairs_of_rows_are_rejected() -> None:
    rows, mask = torch.zeros(4, 3), torch.ones(4, dtype=torch.bool)
    for student, teacher in ((rows, rows[:3]), (rows[0], rows[0]), (rows, rows[:, 0])):
        with pytest.raises(ArgumentError, match=r"a_loss: student has shape \[.*the same B for both"):
            as_vectors("a_loss", student, teacher, mask)
    with pytest.raises(ArgumentError, match=r"student is torch\.int64"):
        as_vectors("a_loss", rows.long(), rows, mask)
    for wrong in (mask[:3], mask.float(), mask[:, None]):
        with pytest.raises(ArgumentError, match=r"a_loss: the mask is .* expected torch\.bool of shape \[4\]"):
            as_vectors("a_loss", rows, rows, wrong)
