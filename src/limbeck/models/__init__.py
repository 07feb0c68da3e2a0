"""What is trained: architectures for images and texts, checkpoints, and the model as it is shipped."""

from limbeck.models.boosting import gradient_boosting, lightgbm
from limbeck.models.checkpoint import load_weights, save_weights
from limbeck.models.content_hash import content_hash
from limbeck.models.estimator_model import EstimatorModel, is_estimator
from limbeck.models.exits import EarlyExit, Exit, WithExits, exit_sections, exit_terms
from limbeck.models.linear import Linear
from limbeck.models.reused_classifier import ReusedClassifier
from limbeck.models.sharing import share_
from limbeck.models.shrinking import shrink
from limbeck.models.sklearn_models import (
    decision_tree,
    decision_tree_of_words,
    logistic_regression,
    logistic_regression_of_words,
    random_forest,
    random_forest_of_words,
    ridge,
)
from limbeck.models.sklearn_module import SklearnModule, predict_numbers_, sklearn_part
from limbeck.models.soft_labels import fit_classifier, fit_numbers, fit_soft_labels
from limbeck.models.text.bag_of_words import BagOfWords
from limbeck.models.text.bilstm import BiLSTM
from limbeck.models.text.hugging_face import (
    folder_tokenizer,
    hugging_face,
    masked_language_model,
)
from limbeck.models.text.small_bert import small_bert
from limbeck.models.text.textcnn import TextCNN, textcnn_tagger
from limbeck.models.text.word_counts import TfIdf, WordCounts, word_counts
from limbeck.models.text.word_logits import with_word_logits
from limbeck.models.text.word_tokenizer import tagging_words, word_tokenizer
from limbeck.models.tree_text import tree_text
from limbeck.models.trees import Trees
from limbeck.models.values import Values, WithoutQuantiles
from limbeck.models.vision.mlp import MLP
from limbeck.models.vision.mobilenet import MobileNet
from limbeck.models.vision.normalized import Normalized
from limbeck.models.vision.resnet import ResNet
from limbeck.models.vision.timm_models import timm_model
from limbeck.models.vision.torchvision_models import torchvision_model

__all__ = [
    "MLP",
    "BagOfWords",
    "BiLSTM",
    "EarlyExit",
    "EstimatorModel",
    "Exit",
    "Linear",
    "MobileNet",
    "Normalized",
    "ResNet",
    "ReusedClassifier",
    "SklearnModule",
    "TextCNN",
    "TfIdf",
    "Trees",
    "Values",
    "WithExits",
    "WithoutQuantiles",
    "WordCounts",
    "content_hash",
    "decision_tree",
    "decision_tree_of_words",
    "exit_sections",
    "exit_terms",
    "fit_classifier",
    "fit_numbers",
    "fit_soft_labels",
    "folder_tokenizer",
    "gradient_boosting",
    "hugging_face",
    "is_estimator",
    "lightgbm",
    "load_weights",
    "logistic_regression",
    "logistic_regression_of_words",
    "masked_language_model",
    "predict_numbers_",
    "random_forest",
    "random_forest_of_words",
    "ridge",
    "save_weights",
    "share_",
    "shrink",
    "sklearn_part",
    "small_bert",
    "tagging_words",
    "textcnn_tagger",
    "timm_model",
    "torchvision_model",
    "tree_text",
    "with_word_logits",
    "word_counts",
    "word_tokenizer",
]
