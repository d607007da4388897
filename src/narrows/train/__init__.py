"""Training: one loop, its checkpoints, its randomness."""

from narrows.train.fit_stage import fit_stage
from narrows.train.randomness import generator, isolated, stream
from narrows.train.run import Run, TrainingStopped

__all__ = ["Run", "TrainingStopped", "fit_stage", "generator", "isolated", "stream"]
