"""A feature held by many units survives their loss; noise moves linear features as it must."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from narrows.errors import InvalidInput
from narrows.measure.complexity import linear_cka, redundancy, robustness


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_feature_of_many_units_is_redundant_one_of_one_unit_is_not() -> None:
    shared, alone = draw(2000, 1), draw(2000, 1, seed=1)
    x = torch.cat([shared + 0.1 * draw(2000, 19, seed=2), alone], 1)
    found = redundancy(x, torch.cat([shared, alone], 1), generator=source(), draws=40)
    assert found.r2[0, 0] > 0.98
    # A unit that is left in a tenth of the draws tells the feature in a tenth of them.
    assert float(found.r2[0, 1]) == pytest.approx(0.1, abs=0.15)
    torch.testing.assert_close(found.r2[-1], torch.ones(2).double(), atol=0.01, rtol=0)
    assert (found.deviation[-1] < 1e-9).all()
    assert found.cka[0, 0] > found.cka[0, 1]
    assert found.to_dict()["shares"][0] == 0.1


def test_with_all_units_it_is_plain_cka_of_the_training_rows() -> None:
    x, z = draw(300, 4), draw(300, 2, seed=1)
    found = redundancy(x, z, generator=source(3), shares=[1.0], draws=2)
    held = torch.rand(300, generator=source(3)) < 0.3
    torch.testing.assert_close(found.cka[0], linear_cka({"x": x[~held]}, z[~held])["x"])


def test_noise_moves_a_linear_feature_by_its_own_length() -> None:
    x, a = draw(3000, 3), draw(3, 2, seed=1)
    found = robustness(lambda v: v @ a, x, generator=source(), sigmas=[0.1, 0.5], draws=20)
    expected = torch.tensor([[0.01], [0.25]]) * a.square().sum(0) / (x @ a).var(0, correction=0)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)


def test_bad_settings_are_named() -> None:
    x, z = draw(50, 3), draw(50, 1, seed=1)
    for changes, named in (
        ({"shares": [0.0]}, "shares"),
        ({"shares": []}, "shares"),
        ({"draws": 1}, "draws"),
        ({"holdout": 0.0}, "holdout"),
    ):
        with pytest.raises(InvalidInput, match=named):
            redundancy(x, z, generator=source(), **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Z"):
        redundancy(x, torch.ones(50), generator=source())
    with pytest.raises(InvalidInput, match="x: found 50 rows"):
        redundancy(x, draw(60, 1), generator=source())
    for changes, named in (({"sigmas": [-1.0]}, "sigmas"), ({"draws": 1}, "draws")):
        with pytest.raises(InvalidInput, match=named):
            robustness(lambda v: v, x, generator=source(), **changes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="features"):
        robustness(lambda v: v[:, :1] * 0, x, generator=source())
