"""Mutual information: one function, many estimators, each with its kind, spread and ceiling."""

from narrows.measure.mi.dispatch import mutual_information
from narrows.measure.mi.registry import ESTIMATORS, Estimator
from narrows.measure.mi.result import Estimate, MIResult, MIResults

__all__ = ["ESTIMATORS", "Estimate", "Estimator", "MIResult", "MIResults", "mutual_information"]
