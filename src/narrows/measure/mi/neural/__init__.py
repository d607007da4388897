"""Neural estimators of mutual information, and their bounds as losses."""

from narrows.measure.mi.neural.bounds import club, dv, infonce, js, mine, nwj, pairs, smile
from narrows.measure.mi.neural.critics import Concatenated, Conditional, Separable

__all__ = [
    "Concatenated",
    "Conditional",
    "Separable",
    "club",
    "dv",
    "infonce",
    "js",
    "mine",
    "nwj",
    "pairs",
    "smile",
]
