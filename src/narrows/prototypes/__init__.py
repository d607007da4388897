"""Prototypes: readings that say which examples the input is like."""

from narrows.prototypes.conv4 import Conv4
from narrows.prototypes.distances import cosine_distances, squared_distances
from narrows.prototypes.episodes import EpisodicSampler, prototypical_loss
from narrows.prototypes.layer import PrototypeLayer
from narrows.prototypes.memory import PrototypeMemory
from narrows.prototypes.prototypical_network import Prototypes

__all__ = [
    "Conv4",
    "EpisodicSampler",
    "PrototypeLayer",
    "PrototypeMemory",
    "Prototypes",
    "cosine_distances",
    "prototypical_loss",
    "squared_distances",
]
