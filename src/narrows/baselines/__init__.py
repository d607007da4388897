"""Baselines: the rows every table must have."""

from narrows.baselines.black_box import BlackBox
from narrows.baselines.chance import Chance
from narrows.baselines.random_bottleneck import RandomBottleneck, RandomProjection

__all__ = ["BlackBox", "Chance", "RandomBottleneck", "RandomProjection"]
