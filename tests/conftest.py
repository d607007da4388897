"""What all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can import the matrix


# A busy machine is no failure: no test asserts the clock.
settings.register_profile("narrows", deadline=None)
settings.load_profile("narrows")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors gain nothing from two threads, and workers share the cores."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The README's script, the longest test by far, first: nobody waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")
