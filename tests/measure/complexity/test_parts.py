"""Rows are dealt out by share, and each feature's active rows with them."""

from __future__ import annotations

import pytest
import torch

from narrows.errors import InvalidInput
from narrows.measure.complexity.parts import split_parts


def sparse(n: int, k: int, share: float) -> torch.Tensor:
    source = torch.Generator().manual_seed(0)
    return (torch.rand(n, k, generator=source) < share).double()


def test_each_part_has_its_share_of_rows_and_of_each_features_active_rows() -> None:
    z = sparse(4000, 30, 0.01)
    parts = split_parts(z, 0.3, 5, seed=0)
    wanted = torch.tensor([0.3] + [0.14] * 5)
    sizes = torch.bincount(parts + 1) / 4000
    assert torch.allclose(sizes.float(), wanted, atol=0.003)
    active = torch.stack([z[parts == i - 1].sum(0) for i in range(6)])
    expected = wanted[:, None] * z.sum(0)
    assert (active - expected).abs().max() <= 2.5
    # At random, the worst of these would be further off.
    random = parts[torch.randperm(4000, generator=torch.Generator().manual_seed(1))]
    loose = torch.stack([z[random == i - 1].sum(0) for i in range(6)])
    assert (loose - expected).abs().max() > 4


def test_dense_features_are_split_by_rows_and_the_seed_decides() -> None:
    z = torch.ones(100, 2)
    a, b, c = (split_parts(z, 0.5, 1, seed=s) for s in (0, 0, 1))
    assert torch.bincount(a + 1).tolist() == [50, 50]
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("n", "holdout", "folds", "named"),
    [(50, 0.0, 2, "holdout"), (50, 1.0, 2, "holdout"), (50, 0.3, 0, "folds"), (5, 0.3, 2, "z")],
)
def test_impossible_splits_are_named(n: int, holdout: float, folds: int, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        split_parts(torch.ones(n, 1), holdout, folds, seed=0)
