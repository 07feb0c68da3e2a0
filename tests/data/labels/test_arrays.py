"""Labels to class names and numbers."""

import numpy as np
import pytest

from limbeck.data.labels.arrays import class_names, class_numbers
from limbeck.errors import DataError
from refusals import refused


@pytest.mark.parametrize(
    ("labels", "names"),
    [([9, 10, 2], ("2", "9", "10")), (["b", "a", "b"], ("a", "b")), ([-100, 1, 0], ("0", "1"))],
)
def test_names_and_numbers_lead_back_to_the_labels(labels, names):
    labels = np.array(labels)
    assert class_names(labels) == names
    numbers = class_numbers(labels, names, origin="y")
    assert [names[number] if number >= 0 else "-100" for number in numbers.tolist()] == [str(label) for label in labels]


def test_a_label_that_training_lacks_is_refused():
    with refused(DataError, "unknown_name", "y_test"):
        class_numbers(np.array([1, 7]), ("0", "1"), origin="y_test")
