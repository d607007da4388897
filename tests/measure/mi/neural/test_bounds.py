"""The bounds against closed forms, with the critic that is best for correlated normals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.measure.mi.neural import bounds

RHO = 0.6
TRUTH = -0.5 * math.log(1 - RHO**2)


def normal(n: int, seed: int = 0, rho: float = RHO) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).standard_normal((2, n))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def ratio(x: np.ndarray, y: np.ndarray, rho: float = RHO) -> np.ndarray:
    """Log p(x, y) / p(x)p(y), written out."""
    left = (x**2 + y**2 - 2 * rho * x * y) / (1 - rho**2)
    return -0.5 * math.log(1 - rho**2) - 0.5 * (left - x**2 - y**2)


def best(n: int = 2000, rho: float = RHO) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = normal(n, rho=rho)
    return bounds.pairs(torch.from_numpy(ratio(x[:, None], y[None], rho)))


def scores(seed: int, n: int = 5) -> torch.Tensor:
    return torch.randn(2, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_pairs_are_the_diagonal_and_the_rest_row_by_row():
    matrix = scores(0, 4)
    joint, product = bounds.pairs(matrix)
    for seed in range(2):
        for i in range(4):
            assert joint[seed, i] == matrix[seed, i, i]
            rest = [matrix[seed, i, j].item() for j in range(4) if j != i]
            assert product[seed, i].tolist() == rest


def test_dv_and_nwj_at_their_best_critic_are_the_information():
    joint, product = best()
    assert float(bounds.dv(joint, product)) == pytest.approx(TRUTH, abs=0.04)
    assert float(bounds.nwj(joint + 1, product + 1)) == pytest.approx(TRUTH, abs=0.04)


def test_infonce_at_its_best_critic_is_the_information_if_it_is_well_below_its_ceiling():
    joint, product = best()
    assert float(bounds.infonce(joint, product)) == pytest.approx(TRUTH, abs=0.04)


def test_infonce_of_few_candidates_is_what_a_simulation_of_it_gives():
    """The mean over many groups of four, by plain loops over numpy draws."""
    x, y = normal(40_000, 3, 0.95)
    table = ratio(x.reshape(-1, 4, 1), y.reshape(-1, 1, 4), 0.95)
    plain = np.mean(
        [
            [math.log(math.exp(row[i]) / np.mean(np.exp(row))) for i, row in enumerate(group)]
            for group in table[:5000]
        ]
    )
    joint, product = bounds.pairs(torch.from_numpy(table[5000:]))
    found = float(bounds.infonce(joint, product).mean())
    assert found == pytest.approx(plain, abs=0.03)
    assert found < min(math.log(4), -0.5 * math.log(1 - 0.95**2))


@pytest.mark.parametrize("clip", [0.5, 1.0, 5.0])
def test_smile_at_the_true_ratio_is_what_quadrature_gives(clip):
    """E_q exp(clip(T)) on a grid of the two margins."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    weights = weights / weights.sum()
    grid = np.exp(np.clip(ratio(nodes[:, None], nodes[None]), -clip, clip))
    truth = TRUTH - math.log(weights @ grid @ weights)
    assert float(bounds.smile(*best(3000), clip=clip)) == pytest.approx(truth, abs=0.04)


def test_smile_without_effective_clipping_is_dv():
    joint, product = best(200)
    assert torch.equal(bounds.smile(joint, product, clip=1e9), bounds.dv(joint, product))


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_club_of_the_true_conditional_is_rho_squared_over_the_rest(rho):
    x, y = normal(4000, 1, rho)
    conditional = -0.5 * (y[None] - rho * x[:, None]) ** 2 / (1 - rho**2)
    found = float(bounds.club(*bounds.pairs(torch.from_numpy(conditional))))
    assert found == pytest.approx(rho**2 / (1 - rho**2), abs=0.05 * (1 + 2 * rho))


def test_the_true_ratio_is_the_best_critic_of_js():
    joint, product = best(2000)
    top = float(bounds.js(joint, product))
    for change in (0.6, 1.6):
        assert float(bounds.js(change * joint, change * product)) < top
    assert float(bounds.js(joint + 0.3, product + 0.3)) < top


@given(st.integers(0, 10_000))
def test_for_any_scores_nwj_is_at_most_dv_and_infonce_at_most_its_ceiling(seed):
    joint, product = bounds.pairs(3 * scores(seed))
    assert (bounds.nwj(joint, product) <= bounds.dv(joint, product) + 1e-12).all()
    assert (bounds.infonce(joint, product) <= math.log(5) + 1e-12).all()


@given(st.integers(0, 10_000), st.floats(-4, 4))
def test_a_constant_added_to_all_scores_changes_neither_dv_infonce_nor_club(seed, shift):
    here = bounds.pairs(scores(seed))
    there = bounds.pairs(scores(seed) + shift)
    for bound in (bounds.dv, bounds.infonce, bounds.club):
        assert torch.allclose(bound(*here), bound(*there), atol=1e-10)


@pytest.mark.parametrize(
    "bound", [bounds.dv, bounds.nwj, bounds.infonce, bounds.smile, bounds.js, bounds.club]
)
def test_gradients_of_the_bounds_are_right(bound):
    matrix = scores(1, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: bound(*bounds.pairs(m)), matrix)


def test_mine_without_memory_has_the_gradient_of_dv():
    matrix = scores(2).requires_grad_()
    start = torch.full((2,), -math.inf, dtype=torch.float64)
    gain, average = bounds.mine(*bounds.pairs(matrix), start)
    (here,) = torch.autograd.grad(gain.sum(), matrix)
    (there,) = torch.autograd.grad(bounds.dv(*bounds.pairs(matrix)).sum(), matrix)
    assert torch.allclose(here, there, atol=1e-12)
    assert torch.allclose(average, bounds.log_mean_exp(bounds.pairs(matrix)[1]))


def test_mine_divides_by_the_moving_average_of_the_partition():
    first, second = scores(3), scores(4).requires_grad_()
    _, average = bounds.mine(*bounds.pairs(first), torch.full((2,), -math.inf).double())
    gain, new = bounds.mine(*bounds.pairs(second), average, decay=0.9)
    (found,) = torch.autograd.grad(gain.sum(), second)
    for seed in range(2):
        off = ~torch.eye(5, dtype=torch.bool)
        means = [float(m[seed][off].exp().mean()) for m in (first, second.detach())]
        kept = 0.9 * means[0] + 0.1 * means[1]
        assert math.exp(new[seed]) == pytest.approx(kept)
        wanted = torch.eye(5).double() / 5 - off * second[seed].exp() / 20 / kept
        assert torch.allclose(found[seed], wanted, atol=1e-12)


def test_scores_that_do_not_fit_are_named():
    good = torch.zeros(3), torch.zeros(3, 2)
    for bound in (bounds.dv, bounds.nwj, bounds.infonce, bounds.smile, bounds.js, bounds.club):
        with pytest.raises(InvalidInput, match="product: found shape"):
            bound(good[0], torch.zeros(2, 3))
        with pytest.raises(InvalidInput, match="product: found shape"):
            bound(good[0], torch.zeros(3, 0))
    with pytest.raises(InvalidInput, match="scores: found shape"):
        bounds.pairs(torch.zeros(2, 3))
    with pytest.raises(InvalidInput, match="clip: found 0"):
        bounds.smile(*good, clip=0)
    with pytest.raises(InvalidInput, match="decay: found 1"):
        bounds.mine(*good, torch.tensor(0.0), decay=1)
