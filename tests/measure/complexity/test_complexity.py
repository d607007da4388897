"""Complexity over layers: identity, invariance, XOR, streaming, and what is dropped or told."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import feature_complexity, linear_v_information, time_to_decode
from narrows.measure.complexity import PooledLayers


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_network_of_equal_layers_has_one_minus_r2() -> None:
    x = draw(500, 4)
    z = x[:, :2] + draw(500, 2, seed=1)
    found = feature_complexity({"a": x, "b": x, "c": x}, z)
    alone = linear_v_information(x, z)
    torch.testing.assert_close(found.complexity, 1 - alone.value)
    torch.testing.assert_close(found.stderr, alone.stderr)  # one and the same thing three times
    torch.testing.assert_close(found.v_information[2], alone.value)


def test_invertible_maps_of_a_layer_change_nothing_without_a_penalty() -> None:
    x = draw(400, 4)
    z = x[:, :2] + draw(400, 2, seed=1)
    mixed = x @ draw(4, 4, seed=2) + 3
    a, b = (feature_complexity({"l": layer}, z, ridge=0.0) for layer in (x, mixed))
    torch.testing.assert_close(a.complexity, b.complexity, rtol=1e-8, atol=1e-10)


def test_complexity_falls_when_the_xor_unit_is_added() -> None:
    x = draw(3000, 2).sign()
    xor = x[:, :1] * x[:, 1:]
    both = torch.cat([x, xor], 1)
    late = feature_complexity({"1": x, "2": x, "3": both}, xor)
    early = feature_complexity({"1": x, "2": both, "3": both}, xor)
    assert late.complexity[0] == pytest.approx(2 / 3, abs=0.01)
    assert early.complexity[0] == pytest.approx(1 / 3, abs=0.01)


def test_the_standard_error_of_the_mean_is_its_spread_over_samples() -> None:
    values, errors = [], []
    for seed in range(60):
        x = draw(500, 2, seed=seed)
        z = x[:, :1] + draw(500, 1, seed=seed + 1000)
        layers = {"near": x, "far": x + draw(500, 2, seed=seed + 2000)}
        found = feature_complexity(layers, z, ridge=0.0, seed=seed)
        values.append(found.complexity[0])
        errors.append(found.stderr[0])
    spread = torch.stack(values).std()
    assert float(torch.stack(errors).mean()) == pytest.approx(float(spread), rel=0.35)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5)
    )


def test_a_model_over_batches_gives_what_its_recorded_layers_give() -> None:
    net, x = model(), draw(300, 1, 8, 8).float()
    pooled = PooledLayers(net, x.split(64), ["1", "3", "5"], pool="gap+std")
    recorded = pooled.record()
    z = recorded["5"].double()
    streamed, stored = feature_complexity(pooled, z), feature_complexity(recorded, z)
    torch.testing.assert_close(streamed.complexity, stored.complexity, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(streamed.stderr, stored.stderr, rtol=1e-4, atol=1e-6)
    assert streamed.layers == ("1", "3", "5")
    assert streamed.settings["dims"] == {"1": 8, "3": 12, "5": 5}
    assert (streamed.v_information[2] > 0.999).all()


def test_time_to_decode_orders_features_by_when_they_come() -> None:
    z = draw(800, 2)
    epochs = {
        str(e): torch.cat([z[:, :1], z[:, 1:] * (e >= 3) + draw(800, 1, seed=e + 5)], 1)
        for e in range(4)
    }
    found = time_to_decode(epochs, z)
    assert found.complexity[0] < 0.01
    assert 0.8 < found.complexity[1] < 0.95
    assert found.order().tolist() == [0, 1]


def test_dead_features_are_dropped_not_the_most_complex() -> None:
    x = draw(200, 2)
    z = torch.cat([torch.zeros(200, 1), x], 1)
    found = feature_complexity({"l": x}, z, names=["dead", "a", "b"])
    assert found.names == ("a", "b")
    assert dict(found.dropped) == {"dead": "without variance"}
    assert found.complexity.max() < 0.01
    assert found.kept.tolist() == [1, 2]
    assert "1 dropped: dead" in repr(found)
    by_column, by_name = found.with_importance([9.0, 1, 2]), found.with_importance([1.0, 2])
    assert by_column.importance is not None
    assert by_column.importance.tolist() == [1, 2]
    assert by_name.importance is not None
    assert by_name.importance.tolist() == [1, 2]
    with pytest.raises(InvalidInput, match="importance"):
        found.with_importance([1.0])


def test_features_the_last_layer_does_not_hold_are_told() -> None:
    x = draw(300, 2)
    found = feature_complexity({"l": x}, torch.cat([x, draw(300, 1, seed=9)], 1))
    assert "1 features have R² below 0.5 in the last layer, l (2)" in found.warnings[0]


def test_layers_that_do_not_fit_are_named() -> None:
    x, z = draw(100, 2), draw(100, 1, seed=1)
    with pytest.raises(InvalidInput, match="layers: found lengths"):
        feature_complexity({"a": x, "b": x[:50]}, z)
    with pytest.raises(InvalidInput, match="layers"):
        feature_complexity({}, z)
    with pytest.raises(InvalidType, match="layers"):
        feature_complexity(x, z)
    with pytest.raises(InvalidInput, match="layer 'b'"):
        feature_complexity({"a": x, "b": x / 0}, z)
    with pytest.raises(InvalidInput, match="layers: found 90 rows"):
        feature_complexity({"a": x[:90]}, z)


def test_a_result_is_json() -> None:
    x = draw(300, 6)
    layers = {"l1": x[:, :2], "l2": x}
    found = feature_complexity(layers, x[:, :5]).with_importance(torch.arange(5.0))
    told: Any = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["layers"] == ["l1", "l2"]
    assert len(told["v_information"]) == 2
    assert told["importance"] == [0, 1, 2, 3, 4]
