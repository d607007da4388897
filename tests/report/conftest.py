"""A small comparison that several tests look at."""

from __future__ import annotations

import pytest

from narrows.baselines import BlackBox, RandomBottleneck
from narrows.comparison import Table, compare
from narrows.concepts import CBM
from narrows.data import Dataset, load


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digit_pairs", seed=0, sizes=(400, 100, 100), task="at_least:9")


@pytest.fixture(scope="session")
def table(digits: Dataset) -> Table:
    methods = [BlackBox(epochs=1), RandomBottleneck(epochs=1), CBM("independent", epochs=3)]
    return compare(methods, digits, seeds=2)
