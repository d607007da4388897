"""Data: one record type, and ways to get your table, arrays or a built-in set into it.

Example:
    >>> from narrows.data import load
    >>> load("breast_cancer_nuclei")
    Dataset('breast_cancer_nuclei', 399 + 85 + 85 rows, x (20,), 2 classes, 10 concepts)
"""

from __future__ import annotations

from narrows.data.breast_cancer import breast_cancer_nuclei
from narrows.data.check import check
from narrows.data.data_report import DataReport
from narrows.data.fashion import fashion_attributes
from narrows.data.generated.concept_tasks import concept_ceiling, dot, trig, xor
from narrows.data.generated.digit_hands import digit_hands, hand_regions
from narrows.data.generated.digit_pairs import digit_pairs
from narrows.data.generated.scattered_digits import scattered_digits
from narrows.data.images import ImageColumn
from narrows.data.load import load
from narrows.data.locality_check import LocalityReport, check_locality
from narrows.data.prepare import prepare
from narrows.data.published.awa2 import awa2
from narrows.data.published.broden import broden
from narrows.data.published.celeba import celeba
from narrows.data.published.chexpert import chexpert
from narrows.data.published.cub import cub
from narrows.data.published.derm7pt import derm7pt
from narrows.data.published.ham10000 import ham10000
from narrows.data.record import Column, Concepts, Dataset, Examples
from narrows.data.registry import datasets

__all__ = [
    "Column",
    "Concepts",
    "DataReport",
    "Dataset",
    "Examples",
    "ImageColumn",
    "LocalityReport",
    "awa2",
    "breast_cancer_nuclei",
    "broden",
    "celeba",
    "check",
    "check_locality",
    "chexpert",
    "concept_ceiling",
    "cub",
    "datasets",
    "derm7pt",
    "digit_hands",
    "digit_pairs",
    "dot",
    "fashion_attributes",
    "ham10000",
    "hand_regions",
    "load",
    "prepare",
    "scattered_digits",
    "trig",
    "xor",
]
