import torch

from limbeck.errors import ArgumentError
from limbeck.losses._rows import as_vectors
from refusals import refused


def test_inputs_that_are_not_pairs_of_rows_are_rejected() -> None:
    rows, mask = torch.zeros(4, 3), torch.ones(4, dtype=torch.bool)
    for student, teacher in ((rows, rows[:3]), (rows[0], rows[0]), (rows, rows[:, 0])):
        with refused(ArgumentError, "wrong_shape", "student"):
            as_vectors("a_loss", student, teacher, mask)
    with refused(ArgumentError, "wrong_type", "student"):
        as_vectors("a_loss", rows.long(), rows, mask)
    for wrong in (mask[:3], mask.float(), mask[:, None]):
        with refused(ArgumentError, "wrong_shape", "mask"):
            as_vectors("a_loss", rows, rows, wrong)
