"""Where knowledge comes from."""

from limbeck.teachers.cached import Cached
from limbeck.teachers.confidence import Confidence
from limbeck.teachers.dynamic import Dynamic
from limbeck.teachers.ema import EMA
from limbeck.teachers.ensemble import Ensemble
from limbeck.teachers.frozen import Frozen
from limbeck.teachers.live import Live
from limbeck.teachers.map_classes import MapClasses
from limbeck.teachers.peers import Peer, PeerEnsemble, mutual_terms
from limbeck.teachers.preprocess import Preprocessed, Renormalize, Resize
from limbeck.teachers.random_teacher import RandomTeacher
from limbeck.teachers.teacher_free import TeacherFree

__all__ = [
    "EMA",
    "Cached",
    "Confidence",
    "Dynamic",
    "Ensemble",
    "Frozen",
    "Live",
    "MapClasses",
    "Peer",
    "PeerEnsemble",
    "Preprocessed",
    "RandomTeacher",
    "Renormalize",
    "Resize",
    "TeacherFree",
    "mutual_terms",
]
