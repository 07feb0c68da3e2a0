"""What is trained: architectures for images, checkpoints, and the model as it is shipped."""

from limbeck.students.checkpoint import load_weights, save_weights
from limbeck.students.exits import EarlyExit, Exit, WithExits, exit_terms
from limbeck.students.mlp import MLP
from limbeck.students.mobilenet import MobileNet
from limbeck.students.normalized import Normalized
from limbeck.students.resnet import ResNet
from limbeck.students.reused_classifier import ReusedClassifier
from limbeck.students.sharing import share_
from limbeck.students.shrinking import shrink
from limbeck.students.timm_models import timm_model
from limbeck.students.torchvision_models import torchvision_model

__all__ = [
    "MLP",
    "EarlyExit",
    "Exit",
    "MobileNet",
    "Normalized",
    "ResNet",
    "ReusedClassifier",
    "WithExits",
    "exit_terms",
    "load_weights",
    "save_weights",
    "share_",
    "shrink",
    "timm_model",
    "torchvision_model",
]
