"""Mutual information: one function, many estimators, each with its kind, spread and ceiling."""

from narrows.measure.mi.calibrate import calibrate
from narrows.measure.mi.calibrate_result import Calibration
from narrows.measure.mi.conditional import conditional_mi
from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.entropy import entropy
from narrows.measure.mi.registry import ESTIMATORS, Estimator
from narrows.measure.mi.result import Estimate, MIResult, MIResults

__all__ = [
    "ESTIMATORS",
    "Calibration",
    "Estimate",
    "Estimator",
    "MIResult",
    "MIResults",
    "calibrate",
    "conditional_mi",
    "entropy",
    "mutual_information",
]
