"""What is trained: architectures for images and texts, checkpoints, and the model as it is shipped."""

from limbeck.students.bag_of_words import BagOfWords
from limbeck.students.bilstm import BiLSTM
from limbeck.students.bilstm_tagger import BiLSTMTagger
from limbeck.students.by_word import by_word
from limbeck.students.checkpoint import load_weights, save_weights
from limbeck.students.exits import EarlyExit, Exit, WithExits, exit_sections, exit_terms
from limbeck.students.fitted import Fitted, fitted_part
from limbeck.students.fitted_models import (
    decision_tree,
    decision_tree_of_words,
    logistic_regression,
    logistic_regression_of_words,
    random_forest,
    random_forest_of_words,
)
from limbeck.students.hugging_face import (
    folder_tokenizer,
    hugging_face,
    hugging_face_tagger,
    masked_language_model,
)
from limbeck.students.mlp import MLP
from limbeck.students.mobilenet import MobileNet
from limbeck.students.normalized import Normalized
from limbeck.students.resnet import ResNet
from limbeck.students.reused_classifier import ReusedClassifier
from limbeck.students.sharing import share_
from limbeck.students.shrinking import shrink
from limbeck.students.small_bert import small_bert, small_bert_tagger
from limbeck.students.soft_labels import fit_classifier, fit_soft_labels
from limbeck.students.tagging_words import tagging_words
from limbeck.students.textcnn import TextCNN
from limbeck.students.textcnn_tagger import TextCNNTagger
from limbeck.students.timm_models import timm_model
from limbeck.students.torchvision_models import torchvision_model
from limbeck.students.trees import Trees
from limbeck.students.word_counts import TfIdf, WordCounts, word_counts
from limbeck.students.words import word_tokenizer

__all__ = [
    "MLP",
    "BagOfWords",
    "BiLSTM",
    "BiLSTMTagger",
    "EarlyExit",
    "Exit",
    "Fitted",
    "MobileNet",
    "Normalized",
    "ResNet",
    "ReusedClassifier",
    "TextCNN",
    "TextCNNTagger",
    "TfIdf",
    "Trees",
    "WithExits",
    "WordCounts",
    "by_word",
    "decision_tree",
    "decision_tree_of_words",
    "exit_sections",
    "exit_terms",
    "fit_classifier",
    "fit_soft_labels",
    "fitted_part",
    "folder_tokenizer",
    "hugging_face",
    "hugging_face_tagger",
    "load_weights",
    "logistic_regression",
    "logistic_regression_of_words",
    "masked_language_model",
    "random_forest",
    "random_forest_of_words",
    "save_weights",
    "share_",
    "shrink",
    "small_bert",
    "small_bert_tagger",
    "tagging_words",
    "timm_model",
    "torchvision_model",
    "word_counts",
    "word_tokenizer",
]
