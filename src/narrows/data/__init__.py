"""Data: one record type, and ways to get your table, arrays or a built-in set into it.

Example:
    >>> from narrows.data import load
    >>> load("breast_cancer_nuclei")
    Dataset('breast_cancer_nuclei', 399 + 85 + 85 rows, x (20,), 2 classes, 10 concepts)
"""

from __future__ import annotations

from narrows.data.awa2 import awa2
from narrows.data.breast_cancer import breast_cancer_nuclei
from narrows.data.broden import broden
from narrows.data.celeba import celeba
from narrows.data.check import check
from narrows.data.chexpert import chexpert
from narrows.data.cub import cub
from narrows.data.data_report import DataReport
from narrows.data.derm7pt import derm7pt
from narrows.data.digit_pairs import digit_pairs
from narrows.data.fashion import fashion_attributes
from narrows.data.ham10000 import ham10000
from narrows.data.images import ImageColumn
from narrows.data.load import load
from narrows.data.prepare import prepare
from narrows.data.record import Column, Concepts, Dataset, Examples
from narrows.data.registry import datasets

__all__ = [
    "Column",
    "Concepts",
    "DataReport",
    "Dataset",
    "Examples",
    "ImageColumn",
    "awa2",
    "breast_cancer_nuclei",
    "broden",
    "celeba",
    "check",
    "chexpert",
    "cub",
    "datasets",
    "derm7pt",
    "digit_pairs",
    "fashion_attributes",
    "ham10000",
    "load",
    "prepare",
]
