"""The probe is scikit-learn's: least squares, ridge and the choice of the penalty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.complexity.ridge import ALPHAS, fit_ridge
from narrows.measure.complexity.streams import CrossStream


def data(n: int = 120, d: int = 6, k: int = 4) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=source, dtype=torch.float64) * torch.arange(1, d + 1) + 3
    signal = x @ torch.randn(d, k, generator=source, dtype=torch.float64)
    noise = torch.randn(n, k, generator=source, dtype=torch.float64)
    return x, signal + noise * torch.tensor([0.1, 10, 50, 300.0], dtype=torch.float64)[:k]


def streams(x: Tensor, z: Tensor, folds: Tensor) -> list[CrossStream]:
    return [
        CrossStream(x.shape[1], z.shape[1]).update(x[folds == i], z[folds == i])
        for i in range(int(folds.max()) + 1)
    ]


def test_without_a_penalty_it_is_linear_regression_batches_or_not() -> None:
    x, z = data()
    stream = CrossStream(6, 4)
    for a, b in zip(x.split(13), z.split(13), strict=True):
        stream.update(a, b)
    found = fit_ridge([stream], [0.0])
    peer = LinearRegression().fit(x.numpy(), z.numpy())
    torch.testing.assert_close(found.weight.T, torch.from_numpy(peer.coef_), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.bias, torch.from_numpy(peer.intercept_), atol=1e-6, rtol=1e-6)


def test_many_targets_at_once_are_each_by_itself() -> None:
    x, z = data()
    folds = torch.arange(len(x)) % 3
    whole = fit_ridge(streams(x, z, folds))
    for j in range(4):
        one = fit_ridge(streams(x, z[:, j : j + 1], folds))
        torch.testing.assert_close(one.weight[:, 0], whole.weight[:, j], rtol=1e-9, atol=1e-12)
        assert one.alpha[0] == whole.alpha[j]


@pytest.mark.parametrize("alpha", [0.5, 100.0])
def test_a_penalty_is_that_of_scikit_learn_on_standardised_columns(alpha: float) -> None:
    x, z = data()
    scale = x.std(0, correction=0)
    peer = Ridge(alpha).fit((x / scale).numpy(), z.numpy())
    found = fit_ridge([CrossStream(6, 4).update(x, z)], [alpha])
    expected = torch.from_numpy(peer.coef_) / scale
    torch.testing.assert_close(found.weight.T, expected, atol=1e-9, rtol=1e-7)


def test_the_choice_of_the_penalty_is_that_of_ridge_cv_on_the_same_folds() -> None:
    x, z = data()
    folds = torch.randint(5, (120,), generator=torch.Generator().manual_seed(1))
    scale = x.std(0, correction=0)
    found = fit_ridge(streams(x, z, folds))
    chosen = set()
    for j in range(4):
        peer = RidgeCV(ALPHAS, cv=PredefinedSplit(folds.numpy()))
        peer.fit((x / scale).numpy(), z[:, j].numpy())
        assert float(found.alpha[j]) == peer.alpha_
        expected = torch.from_numpy(peer.coef_) / scale
        torch.testing.assert_close(found.weight[:, j], expected, atol=1e-9, rtol=1e-7)
        chosen.add(peer.alpha_)
    assert len(chosen) > 1  # noisier targets want more


def test_columns_that_repeat_or_stand_still_do_no_harm() -> None:
    x, z = data()
    more = torch.cat([x, x[:, :1], torch.full((120, 1), 5.0)], 1)
    found = fit_ridge([CrossStream(8, 4).update(more, z)], [0.0])
    plain = fit_ridge([CrossStream(6, 4).update(x, z)], [0.0])
    torch.testing.assert_close(
        more @ found.weight + found.bias, x @ plain.weight + plain.bias, atol=1e-6, rtol=1e-6
    )
    assert not found.weight[7].any()


def test_impossible_choices_are_named() -> None:
    x, z = data()
    one = [CrossStream(6, 4).update(x, z)]
    with pytest.raises(InvalidInput, match="folds"):
        fit_ridge(one, [1.0, 2.0])
    for alphas in ([], [-1.0], [np.inf]):
        with pytest.raises(InvalidInput, match="ridge"):
            fit_ridge(one, alphas)
    still = [CrossStream(6, 4).update(x[:9], torch.ones(9, 4)), *one]
    with pytest.raises(InvalidInput, match="column 0 without variance in fold 0"):
        fit_ridge(still, [1.0, 2.0])
