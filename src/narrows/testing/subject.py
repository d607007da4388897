"""What every check looks at: a method, trained once, and what it said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from narrows.data import Dataset, load
from narrows.method import Method
from narrows.reading import Output

_ROWS = 32  # of the test split that each check looks at


class Subject:
    """A method under test: trained once, when the first check needs it."""

    def __init__(self, method: Method, data: Dataset | None = None) -> None:
        self.method = clone(method)
        self._given = data

    @cached_property
    def data(self) -> Dataset:
        """What the method is trained on."""
        return sample_data() if self._given is None else self._given

    @cached_property
    def x(self) -> Tensor:
        """The test inputs the checks look at."""
        return self.data.test.x[torch.arange(min(_ROWS, len(self.data.test)))]

    @cached_property
    def fitted(self) -> Method:
        """The trained method."""
        return clone(self.method).fit(self.data)

    @cached_property
    def output(self) -> Output:
        """Its answer to the test inputs."""
        return self.fitted.model_(self.x)


def sample_data() -> Dataset:
    """A small real data set with concepts: 400 pairs of handwritten digits, their parity."""
    return load("digit_pairs", seed=0, sizes=(240, 80, 80), task="parity")


def assert_equal(found: Tensor, wanted: Tensor, tolerance: float, law: str) -> None:
    """Two tensors agree; with tolerance 0, bit for bit."""
    if found.shape != wanted.shape:
        raise AssertionError(f"{law}: shapes {tuple(found.shape)} and {tuple(wanted.shape)}")
    gap = (found - wanted).abs() if found.is_floating_point() else (found != wanted).double()
    scale = 1 + wanted.abs().max() if found.is_floating_point() and wanted.numel() else 1
    if gap.numel() and not bool((gap <= tolerance * scale).all()):
        raise AssertionError(f"{law}: they differ by up to {float(gap.max()):.3g}")


def require_error(kind: type[Exception], fragment: str, call: Callable[[], Any]) -> None:
    """A call raises this kind of error, and its message names what was wrong."""
    try:
        call()
    except kind as error:
        if fragment.lower() not in str(error).lower():
            raise AssertionError(f"the error should mention {fragment!r}: {error}") from error
        return
    raise AssertionError(f"wanted {kind.__name__} about {fragment!r}, nothing was raised")
