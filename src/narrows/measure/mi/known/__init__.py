"""Samples whose information is known exactly, to test estimators on.

After Czyz, Grabowski, Vogt, Beerenwinkel and Marx, Beyond Normal: On the Evaluation of Mutual
Information Estimators (NeurIPS 2023): information survives injective maps of either side, so a
few closed forms give truths for samples of any look.
"""

from narrows.measure.mi.known.suite import STANDARD, tasks
from narrows.measure.mi.known.task import Task

__all__ = ["STANDARD", "Task", "tasks"]
