"""V-information of Gaussian variables is its closed form, and scales as the definition says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import linear_v_information
from narrows.measure.complexity.inputs import targets, varying
from narrows.measure.complexity.parts import split_parts


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_of_linear_gaussian_variables_it_is_the_closed_form(noise: float) -> None:
    mix = draw(4, 4, seed=1)
    covariance = mix.T @ mix
    a = draw(4, 3, seed=2)
    signal = (a * (covariance @ a)).sum(0)
    truth = signal / (signal + noise**2)
    x = draw(20_000, 4, seed=3) @ mix
    z = x @ a + noise * draw(20_000, 3, seed=4)
    found = linear_v_information(x, z)
    assert (found.value - truth).abs().le(3 * found.stderr).all()
    assert found.stderr.max() < 0.02


def test_the_standard_error_is_the_spread_over_samples() -> None:
    values, errors = [], []
    for seed in range(60):
        x = draw(600, 2, seed=seed)
        z = x[:, :1] + draw(600, 1, seed=seed + 1000)
        found = linear_v_information(x, z, ridge=0.0, seed=seed)
        values.append(float(found.value[0]))
        errors.append(float(found.stderr[0]))
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.35)


def test_variance_of_predictors_and_scale_of_targets_rescale_it() -> None:
    x = draw(800, 3)
    z = x[:, :2] + draw(800, 2, seed=1)
    base = linear_v_information(x, z)
    wide = linear_v_information(x, z, variance=2.0)
    torch.testing.assert_close(wide.value, base.value / 4)
    raw = linear_v_information(x, z, standardize=False)
    scaled = linear_v_information(x, 3 * z, standardize=False)
    torch.testing.assert_close(scaled.value, 9 * raw.value, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(scaled.stderr, 9 * raw.stderr, rtol=1e-6, atol=1e-9)
    again = linear_v_information(x, 3 * z)
    torch.testing.assert_close(again.value, base.value, rtol=1e-6, atol=1e-9)
    ratio = raw.value / base.value
    assert (ratio - z.var(0)).abs().max() < 0.3  # Var(z) of the held-out rows


def test_it_is_the_held_out_r2_of_scikit_learn() -> None:
    x, noise = draw(300, 4), draw(300, 2, seed=1)
    z = x[:, :2] + noise
    found = linear_v_information(x, z, ridge=0.0, holdout=0.4, seed=3)
    held = (split_parts(z, 0.4, 1, seed=3) == -1).numpy()
    model = LinearRegression().fit(x.numpy()[~held], z.numpy()[~held])
    peer = r2_score(z.numpy()[held], model.predict(x.numpy()[held]), multioutput="raw_values")
    np.testing.assert_allclose(found.r2.numpy(), peer, atol=1e-9)


def test_many_features_at_once_are_each_by_itself() -> None:
    x = draw(400, 5)
    z = x[:, :3] + draw(400, 3, seed=1)
    whole = linear_v_information(x, z)
    for j in range(3):  # dense features share a split whatever their number
        one = linear_v_information(x, z[:, j])
        torch.testing.assert_close(one.value[0], whole.value[j])
        torch.testing.assert_close(one.stderr[0], whole.stderr[j])


def test_memorised_rows_count_for_nothing() -> None:
    x, z = draw(60, 59), draw(60, 3, seed=1)
    found = linear_v_information(x, z)
    assert (found.value < 0.15).all()
    assert (found.value >= 0).all()
    assert "fewer than 5 training rows" in found.warnings[0]
    loose = linear_v_information(x, z, ridge=0.0)
    assert (loose.r2 < 0).all()
    assert not loose.value.any()


def test_a_layer_that_computes_more_can_tell_more() -> None:
    x = draw(2000, 2).sign()
    xor = x[:, :1] * x[:, 1:]
    assert linear_v_information(x, xor).value < 0.01
    assert linear_v_information(torch.cat([x, xor], 1), xor).value > 0.999


def test_features_that_hardly_vary_are_dropped_by_name() -> None:
    x = draw(200, 2)
    rare = torch.zeros(200, 1, dtype=torch.float64)
    rare[:5] = 1
    z = torch.cat([x[:, :1], torch.ones(200, 1, dtype=torch.float64), rare], 1)
    found = linear_v_information(x, z, names=["good", "still", "rare"])
    assert found.names == ("good",)
    assert found.dropped["still"] == "without variance"
    assert found.dropped["rare"].startswith("active in 5 rows")
    assert "note: rare dropped" in repr(found)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["settings"]["rows held out"] == 60
    assert told["settings"]["dims"] == {"x": 2}


def test_a_feature_that_misses_a_part_of_the_rows_is_dropped_by_name() -> None:
    x = draw(60, 2)
    nearly = (torch.arange(60)[:, None] >= 30).double()
    assert not linear_v_information(x, torch.cat([x, nearly], 1)).dropped  # split with care
    kept = varying(targets(torch.cat([x, nearly], 1), ["a", "b", "c"], 2), torch.arange(60) // 30)
    assert kept.names == ("a", "b")
    assert kept.dropped["c"] == "without variance in a part of the rows"
    assert kept.kept.tolist() == [0, 1]
    with pytest.raises(InvalidInput, match="Z: found features without variance in a part"):
        varying(targets(nearly, None, 2), torch.arange(60) // 30)


def test_memory_maps_and_single_precision_are_taken(tmp_path: Any) -> None:
    x = draw(5000, 3).float()
    stored = np.memmap(tmp_path / "x", np.float32, "w+", shape=(5000, 3))
    stored[:] = x.numpy()
    stored.flush()
    read = np.memmap(tmp_path / "x", np.float32, "r", shape=(5000, 3))
    z = x[:, :1] + draw(5000, 1, seed=2).float()
    a, b = linear_v_information(read, z), linear_v_information(x, z)
    torch.testing.assert_close(a.value, b.value)


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"x": torch.full((40, 2), math.nan)}, InvalidInput, "layer 'x': found NaN"),
        ({"z": torch.full((40, 1), math.inf)}, InvalidInput, "Z: found inf at row 0"),
        ({"z": torch.ones(40, 1)}, InvalidInput, "Z: found 1 features, without variance"),
        ({"z": torch.ones(39, 1).cumsum(0)}, InvalidInput, "layers: found rows"),
        ({"x": torch.ones(40, 2, 2)}, InvalidInput, "layer 'x'"),
        ({"z": [["a"]] * 40}, InvalidType, "Z"),
        ({"x": [["a"]] * 40}, InvalidType, "layer 'x'"),
        ({"names": ["a", "b"]}, InvalidInput, "names"),
        ({"ridge": "loo"}, InvalidInput, "ridge"),
        ({"ridge": -1.0}, InvalidInput, "ridge"),
        ({"ridge": []}, InvalidInput, "ridge"),
        ({"holdout": 1.5}, InvalidInput, "holdout"),
        ({"folds": 1}, InvalidInput, "folds"),
        ({"variance": 0.0}, InvalidInput, "variance"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], error: type[Exception], named: str) -> None:
    given = {"x": draw(40, 2), "z": draw(40, 1, seed=1), **changes}
    with pytest.raises(error, match=named):
        linear_v_information(given.pop("x"), given.pop("z"), **given)
