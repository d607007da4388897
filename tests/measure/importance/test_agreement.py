"""Cosine and correlation of tables, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine as cosine_distance
from scipy.stats import pearsonr

from narrows.measure.importance.agreement import agreement

NAN = float("nan")


@given(st.integers(0, 10**6), st.floats(1e-150, 1e150))
@settings(max_examples=50, deadline=None)
def test_agreement_is_symmetric_blind_to_scale_and_pearson_to_shifts(seed, scale) -> None:
    rng = np.random.default_rng(seed)
    a, b = (torch.tensor(rng.normal(size=(5, 3))) for _ in range(2))
    for dims in ((-2,), (-1,), (-2, -1)):
        found = agreement(a, b, dims)
        for other in (agreement(b, a, dims), agreement(scale * a, b / scale, dims)):
            torch.testing.assert_close(other, found)
        torch.testing.assert_close(agreement(a + 3, b - 2, dims)[1], found[1])


def test_a_number_that_is_not_known_takes_no_part() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 6, 3))
    a[2, 1] = b[4, 1] = NAN
    keep = [0, 1, 3, 5]
    cosine, pearson = agreement(torch.tensor(a), torch.tensor(b), (-2,))
    assert float(cosine[1]) == pytest.approx(1 - cosine_distance(a[keep, 1], b[keep, 1]))
    assert float(pearson[1]) == pytest.approx(pearsonr(a[keep, 1], b[keep, 1])[0])
