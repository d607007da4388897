"""Maps of concepts, against loops and identities."""

from __future__ import annotations

import itertools

import pytest
import torch

from narrows.errors import InvalidInput
from narrows.explain import attribute, heat
from narrows.measure.importance.activation import activation_map, enlarge

NAN = float("nan")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("factor", [1, 2, 5, 32])
def test_the_mean_of_a_map_is_the_score_divided_by_d_before_and_after_enlarging(factor) -> None:
    features, directions, biases = draw(4, 6, 3, 5), draw(7, 6, seed=1), draw(7, seed=2)
    maps = activation_map(features, directions, biases)
    scores = features.mean((2, 3)) @ directions.T + biases
    assert maps.shape == (4, 7, 3, 5)
    torch.testing.assert_close(maps.mean((2, 3)), scores / 6, rtol=0, atol=1e-15)
    large = enlarge(maps, (3 * factor, 5 * factor))
    torch.testing.assert_close(large.mean((2, 3)), scores / 6, rtol=0, atol=1e-6)


def test_a_map_equals_a_loop_over_positions() -> None:
    features, directions = draw(2, 3, 2, 4), draw(5, 3, seed=1)
    maps = activation_map(features, directions)
    for i, j, y, x in itertools.product(range(2), range(5), range(2), range(4)):
        wanted = sum(directions[j, m] * features[i, m, y, x] for m in range(3)) / 3
        assert float(maps[i, j, y, x]) == pytest.approx(float(wanted), abs=1e-15)


def test_a_map_is_gradient_times_input_of_its_score_up_to_the_number_of_positions() -> None:
    features, directions = draw(3, 4, 2, 5), draw(6, 4, seed=1)
    found = attribute(
        lambda e: e.mean((2, 3)) @ directions.T, features, range(6), "gradient_x_input"
    )
    torch.testing.assert_close(heat(found) * 10 / 4, activation_map(features, directions))


def test_the_score_of_a_map_can_be_differentiated() -> None:
    features = draw(1, 2, 2, 2).requires_grad_()
    directions = draw(3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(activation_map, (features, directions))


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    """By hand: the new pixel y stands at (y + 1/2) / s - 1/2, held at the border."""
    maps = draw(1, 1, 3, 4)
    large = enlarge(maps, (9, 8))[0, 0]
    m = maps[0, 0]
    for y, x in itertools.product(range(9), range(8)):
        v = min(max((y + 0.5) / 3 - 0.5, 0), 2)
        u = min(max((x + 0.5) / 2 - 0.5, 0), 3)
        a, b = min(int(v), 1), min(int(u), 2)
        t, s = v - a, u - b
        wanted = (1 - t) * ((1 - s) * m[a, b] + s * m[a, b + 1])
        wanted += t * ((1 - s) * m[a + 1, b] + s * m[a + 1, b + 1])
        assert float(large[y, x]) == pytest.approx(float(wanted), abs=1e-12)


def test_what_cannot_be_is_refused_by_name() -> None:
    maps = draw(2, 3, 2, 2)
    with pytest.raises(InvalidInput, match=r"directions: found shape \(7, 2\), wanted .*, 3\)"):
        activation_map(maps, draw(7, 2))
    with pytest.raises(InvalidInput, match="directions: found a number"):
        activation_map(maps, draw(7, 3) * NAN)
    with pytest.raises(InvalidInput, match="biases: found shape"):
        activation_map(maps, draw(7, 3), draw(6))
    with pytest.raises(InvalidInput, match="features: found shape"):
        activation_map(maps[0], draw(7, 3))
