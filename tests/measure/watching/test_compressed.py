"""The plane by compressed layers against closed forms of noisy linear layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from narrows.errors import InvalidInput
from narrows.measure import InformationPlane, PCACompressor, compressed_mi
from narrows.measure.mi.compression import AutoencoderCompressor
from narrows.measure.watching import CompressedInformation, NoisyLayers

N = 4000


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(scale: float = 1.0) -> nn.Sequential:
    """Two units that read two of six inputs, padded with two dead ones."""
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[0, 0] = layer.weight[1, 1] = scale
    return nn.Sequential(layer)


def test_a_noisy_linear_layer_is_placed_by_the_closed_form() -> None:
    """T = X + Z for two inputs of deviation 3, the others small: I = log(1 + 9 / sigma^2)."""
    x = draw(N, 6) * torch.tensor([3.0, 3, 0.1, 0.1, 0.1, 0.1])
    y = (x[:, 0] > 0).long()
    model = linear()
    estimator = CompressedInformation(x, PCACompressor(2))
    plane = InformationPlane(model, x, y, "0", {"pca": estimator})
    noisy = NoisyLayers(model, sigma=2.0, generator=torch.Generator().manual_seed(1))
    with noisy, pytest.warns(UserWarning, match="2 coordinates, not 4"):
        plane.snapshot(0)
    found = plane.table()[0]
    assert found["I(X;T)"] == pytest.approx(math.log(1 + 9 / 4), abs=0.12)
    # I(T;Y), T = X + Z: log 2 less the mean uncertainty of the sign, by simulation
    z = np.random.default_rng(0).standard_normal((200_000, 2)) * [3, 2]
    t = z.sum(1)
    p = norm.cdf(t * 9 / 13 / math.sqrt(9 * 4 / 13))
    known = math.log(2) + np.mean(p * np.log(p) + (1 - p) * np.log1p(-p))
    assert found["I(T;Y)"] == pytest.approx(known, abs=0.06)


def test_a_frozen_compressor_stays_and_a_refitted_one_follows() -> None:
    x = draw(1000, 2)
    y = (x[:, 0] > 0).long()
    early = torch.cat([5 * x[:, :1], x[:, 1:]], 1) + 0.5 * draw(1000, 2, seed=1)
    late = torch.cat([x[:, :1], 5 * x[:, 1:]], 1) + 0.5 * draw(1000, 2, seed=1)
    frozen = PCACompressor(1).fit(early)
    for t, refitted_at_label in ((early, True), (late, False)):
        stays = CompressedInformation(x, None, frozen).measure(t, y)
        moves = CompressedInformation(x, None, PCACompressor(1)).measure(t, y)
        codes = frozen.encode(t)
        assert stays.xt == compressed_mi(x, codes, k=5).value
        assert stays.ty == compressed_mi(codes, y, y_kind="discrete", k=5).value
        assert stays.ty > 0.2
        assert (moves.ty > 0.2) == refitted_at_label


def test_special_layers_have_a_place_and_a_note() -> None:
    x, y = draw(300, 2), torch.arange(300) % 2
    dead = CompressedInformation(x, None).measure(torch.zeros(300, 3), y)
    assert (dead.xt, dead.ty, dead.warnings) == (0, 0, ("all rows are alike",))
    tied = CompressedInformation(x, None).measure(x[:, :1] * 2, y)
    assert tied.xt == math.log(300)
    assert "infinite, log P stands for it" in tied.warnings[0]
    by_ksg = CompressedInformation(x, None, estimator="ksg").measure(x + draw(300, 2, seed=1), y)
    assert 0.3 < by_ksg.xt < 1.2
    assert abs(by_ksg.ty) < 0.1


def test_what_does_not_fit_is_refused() -> None:
    x, y = draw(100, 6), torch.arange(100) % 2
    with pytest.raises(InvalidInput, match="50 rows"):
        CompressedInformation(x[:50]).measure(x, y)
    for estimator in (
        CompressedInformation(x, AutoencoderCompressor(2)),
        CompressedInformation(x, None, AutoencoderCompressor(2)),
    ):
        with pytest.raises(InvalidInput, match="not fitted"):
            estimator.measure(x + draw(100, 6, seed=1), y)
    with pytest.raises(InvalidInput, match="4 columns"):
        CompressedInformation(x, None, PCACompressor(2).fit(x)).measure(x[:, :4], y)
