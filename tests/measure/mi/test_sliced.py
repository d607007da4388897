"""Sliced information: slices by `ksg`, spheres, and closed forms of normal variables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from narrows.errors import InvalidInput
from narrows.measure.mi import mutual_information
from narrows.measure.mi.sliced import subspace


def pair(n: int, dx: int, dy: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, dx))
    return x, x[:, :1] + 0.5 * generator.standard_normal((n, dy))


@pytest.mark.parametrize(("method", "columns"), [("sliced", 1), ("k_sliced", 2)])
def test_it_is_the_mean_of_ksg_over_the_directions(method, columns):
    x, y = pair(200, 4, 3)
    generator = np.random.default_rng(9)
    values = []
    for _ in range(7):
        a, b = subspace(4, columns, generator), subspace(3, columns, generator)
        values.append(mutual_information(x @ a, y @ b, "ksg").value)
    found = mutual_information(x, y, method, directions=7, seed=9)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)


def test_single_columns_need_one_direction_and_give_ksg():
    x, y = pair(300, 1, 1)
    found = mutual_information(x, y, "sliced")
    assert found.value == pytest.approx(mutual_information(x, y, "ksg").value, abs=1e-12)
    assert found.stderr == pytest.approx(mutual_information(x, y, "ksg").stderr)
    assert found.settings["directions"] == 1


def test_directions_are_even_on_the_sphere():
    """Second moments 1/d and fourth 3/(d(d + 2)), whatever the column."""
    generator = np.random.default_rng(0)
    drawn = np.stack([subspace(3, 2, generator) for _ in range(4000)])
    assert np.einsum("nij,nik->njk", drawn, drawn) == pytest.approx(
        np.broadcast_to(np.eye(2), (4000, 2, 2)), abs=1e-12
    )
    assert drawn.mean(0) == pytest.approx(np.zeros((3, 2)), abs=0.04)
    assert (drawn**2).mean(0) == pytest.approx(np.full((3, 2), 1 / 3), abs=0.02)
    assert (drawn**4).mean(0) == pytest.approx(np.full((3, 2), 1 / 5), abs=0.02)


def test_normal_variables_against_their_average_over_the_sphere():
    """y = rho x + noise in d columns: a'x and b'y correlate by rho a'b."""
    d, rho, generator = 3, 0.9, np.random.default_rng(0)
    a, b = generator.standard_normal((2, 200_000, d))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    truth = float(-0.5 * np.log(1 - (rho * cosine) ** 2).mean())
    x, noise = generator.standard_normal((2, 1500, d))
    y = rho * x + math.sqrt(1 - rho**2) * noise
    found = mutual_information(x, y, "sliced", directions=100)
    assert abs(found.value - truth) < 3 * found.stderr + 0.01
    wider = mutual_information(x, y, "k_sliced", directions=20)
    assert found.value < wider.value < -0.5 * d * math.log(1 - rho**2)


def test_forty_columns_of_independent_rows_stay_at_nothing():
    x, y = np.random.default_rng(1).standard_normal((2, 600, 40))
    found = mutual_information(x, y, "sliced", directions=30)
    assert abs(found.value) < 3 * found.stderr
    assert not found.warnings


def test_classes_are_sliced_on_the_other_side_only():
    generator = np.random.default_rng(2)
    labels = np.arange(400) % 3
    x = generator.standard_normal((400, 4)) + 2 * np.eye(4)[labels]
    here = mutual_information(x, labels, "sliced", y_kind="discrete", directions=20)
    there = mutual_information(labels, x, "sliced", x_kind="discrete", directions=20)
    assert here.value == there.value
    assert 0.1 < here.value < here.ceiling
    assert here.ceiling == pytest.approx(math.log(3), abs=1e-3)


def test_seeds_draw_other_directions():
    x, y = pair(200, 4, 3)
    values = [mutual_information(x, y, "sliced", directions=5, seed=seed).value for seed in (0, 1)]
    assert values[0] != values[1]


def test_bad_settings_are_named():
    x, y = pair(20, 2, 2)
    with pytest.raises(InvalidInput, match="directions: found 1"):
        mutual_information(x, y, "sliced", directions=1)
    with pytest.raises(InvalidInput, match="columns: found 0"):
        mutual_information(x, y, "k_sliced", columns=0)
    with pytest.raises(InvalidInput, match="x: found 20 rows, wanted at least k"):
        mutual_information(x, y, "sliced", k=20)
