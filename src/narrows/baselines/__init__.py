"""Baselines: the rows every table must have."""

from narrows.baselines.black_box import BlackBox
from narrows.baselines.random_bottleneck import RandomBottleneck, RandomProjection

__all__ = ["BlackBox", "RandomBottleneck", "RandomProjection"]
