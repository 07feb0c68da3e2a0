from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.errors import ArgumentError
from limbeck.registry import lookup
from limbeck.teachers import Renormalize, Resize

IMAGES = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(6, 5), (24, 30), (7, 10), (12, 10)])
def test_images_are_resized_as_pillow_does(size):
    found = Resize(size=size)(IMAGES)
    assert found.shape == (2, 3, *size)
    for image, expected in zip(found.flatten(0, 1), IMAGES.flatten(0, 1), strict=True):
        pillow = Image.fromarray(expected.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
        np.testing.assert_allclose(image, np.array(pillow), atol=1e-5)


def test_normalizing_for_the_student_and_then_for_the_teacher_is_normalizing_for_the_teacher():
    student, teacher = ([0.5, 0.4, 0.3], [0.25, 0.2, 0.1]), ([0.1, 0.2, 0.0], [1.0, 2.0, 0.5])

    def normalize(images, mean, std):
        return (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    change = Renormalize(mean=student[0], std=student[1], to_mean=teacher[0], to_std=teacher[1])
    torch.testing.assert_close(change(normalize(IMAGES, *student)), normalize(IMAGES, *teacher))
    assert not list(change.parameters())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Resize(size=(0, 3)), r"size is \(0, 3\); expected a height and a width"),
        (lambda: Resize(size=(3, 3, 3)), "expected a height and a width"),
        (lambda: Resize(size=(3, 3))(IMAGES[0]), r"has shape \[3, 12, 10\]; expected images"),
        (lambda: Renormalize(mean=[0.1], std=[1.0, 1.0], to_mean=[0.0], to_std=[1.0]), "one number for each channel"),
        (lambda: Renormalize(mean=[], std=[], to_mean=[], to_std=[]), "one number for each channel"),
        (lambda: Renormalize(mean=[0.1], std=[0.0], to_mean=[0.0], to_std=[1.0]), "expected numbers above 0"),
        (lambda: Renormalize(mean=[0.1], std=[1.0], to_mean=[0.0], to_std=[-1.0]), "expected numbers above 0"),
        (lambda: Renormalize(mean=[np.nan], std=[1.0], to_mean=[0.0], to_std=[1.0]), "expected finite numbers"),
    ],
)
def test_what_cannot_be_right_is_refused(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()


def test_they_are_modules_with_names():
    assert lookup("preprocess", "resize") is Resize
    assert lookup("preprocess", "renormalize") is Renormalize
    assert issubclass(Resize, nn.Module)
