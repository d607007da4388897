"""Calibration error against its definition, bin by bin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.functional.calibration import expected_calibration_error


@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 1000))
def test_it_is_the_definition_bin_by_bin(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), rows)
    y = rng.integers(0, classes, rows)
    confidence, said = p.max(1), p.argmax(1)
    wanted = 0.0
    for k in range(15):
        inside = (confidence > k / 15) & (confidence <= (k + 1) / 15)
        if inside.any():
            gap = (said[inside] == y[inside]).mean() - confidence[inside].mean()
            wanted += inside.mean() * abs(gap)
    found = expected_calibration_error(torch.tensor(p), torch.tensor(y))
    assert found == pytest.approx(wanted, abs=1e-12)
    assert 0 <= found <= 1


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    certain = torch.eye(3)
    assert expected_calibration_error(certain, torch.tensor([0, 1, 2])) == 0
    assert expected_calibration_error(certain, torch.tensor([1, 2, 0])) == 1


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InvalidInput, match="probabilities, y"):
        expected_calibration_error(torch.eye(3), torch.zeros(2, dtype=torch.long))
