"""Keys placed without labels, against closed forms and a plain numpy version."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.codes import first_keys, fit_codebooks
from narrows.errors import InvalidInput


def _source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _first(u: torch.Tensor, pairs: int, init: str, seed: int = 0) -> torch.Tensor:
    return first_keys(u[None], pairs, init, _source(seed))[0]


def _fit(u: torch.Tensor, keys: torch.Tensor, **settings_) -> torch.Tensor:
    """One head."""
    views, source = (lambda rows: u[None, rows]), _source()
    return fit_codebooks(views, len(u), keys[None], source=source, **settings_)[0]


def _clusters(seed: int = 0, each: int = 30, count: int = 4):
    """Tight clusters far apart, their true centres, and which row is of which."""
    rng = np.random.default_rng(seed)
    centres = 100 * np.stack([np.cos(np.arange(count)), np.sin(np.arange(count))], 1)
    of = np.repeat(np.arange(count), each)
    rows = centres[of] + rng.normal(size=(len(of), 2))
    return torch.tensor(rows), of


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 30),
    pairs=st.integers(1, 40),
    init=st.sampled_from(["random", "kmeans++"]),
)
def test_first_keys_are_rows_and_distinct_while_rows_last(seed, n, pairs, init) -> None:
    u = torch.arange(float(n)).unsqueeze(1)
    keys = _first(u, pairs, init, seed).flatten().tolist()
    assert len(keys) == pairs
    assert set(keys) <= set(range(n))
    assert len(set(keys)) == min(n, pairs)


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_plus_plus_starts_in_every_cluster(seed: int) -> None:
    u, of = _clusters(seed)
    keys = _first(u, 4, "kmeans++", seed)
    assert set(of[torch.cdist(keys, u).argmin(1).numpy()]) == {0, 1, 2, 3}


def test_kmeans_plus_plus_draws_in_proportion_to_squared_distance() -> None:
    """From row 0 at 0, rows at 1 and 2 are drawn with chances 1/5 and 4/5; and so on."""
    u = torch.tensor([[0.0], [1.0], [2.0]])
    pairs = [tuple(_first(u, 2, "kmeans++", s).flatten().tolist()) for s in range(6000)]
    expected = {(0, 1): 1 / 15, (0, 2): 4 / 15, (1, 0): 1 / 6, (1, 2): 1 / 6}
    expected |= {(2, 0): 4 / 15, (2, 1): 1 / 15}
    for pair, chance in expected.items():
        found = pairs.count(pair) / len(pairs)
        assert abs(found - chance) < 4 * (chance * (1 - chance) / len(pairs)) ** 0.5


def test_without_memory_keys_are_exactly_the_means_of_their_clusters() -> None:
    u, of = _clusters()
    start = u[[0, 30, 60, 90]]
    keys = _fit(u, start, epochs=1, batch_size=len(u), decay=0.0)
    means = np.stack([u.numpy()[of == k].mean(0) for k in range(4)])
    np.testing.assert_allclose(keys.numpy(), means, rtol=1e-5)


def test_moving_averages_converge_to_the_means_of_clusters() -> None:
    u, of = _clusters()
    start = _first(u, 4, "kmeans++")
    keys = _fit(u, start, epochs=100, batch_size=60, decay=0.95)
    means = np.stack([u.numpy()[of == k].mean(0) for k in range(4)])
    assert torch.cdist(torch.tensor(means), keys).min(1).values.max() < 0.2


def test_each_step_is_the_published_update() -> None:
    """Whole-batch steps against numpy; no key is dead here."""
    rng = np.random.default_rng(1)
    u, keys = rng.normal(size=(200, 3)), rng.normal(size=(5, 3))
    found = _fit(torch.tensor(u), torch.tensor(keys), epochs=7, batch_size=200, decay=0.9)
    n = np.full(5, 200 / 5)
    m = n[:, None] * keys
    for _ in range(7):
        nearest = ((u[:, None] - keys) ** 2).sum(2).argmin(1)
        n = 0.9 * n + 0.1 * np.bincount(nearest, minlength=5)
        m = 0.9 * m + 0.1 * np.stack([u[nearest == j].sum(0) for j in range(5)])
        smooth = (n + 1e-5) / (n.sum() + 5e-5) * n.sum()
        keys = m / smooth[:, None]
    np.testing.assert_allclose(found.numpy(), keys, rtol=1e-9)


def test_the_first_step_refines_the_given_keys_and_does_not_overwrite_them() -> None:
    u = torch.zeros(10, 1) + 1.0
    keys = torch.tensor([[0.0], [50.0]])
    after = _fit(u, keys, epochs=1, batch_size=10, decay=0.95)
    # n = 0.95 * 5 + 0.05 * 10 = 5.25 and m = 0.05 * 10 = 0.5
    assert after[0].item() == pytest.approx(0.5 / 5.25, rel=1e-4)
    assert after[1].item() == pytest.approx(50, rel=1e-4)


def test_keys_that_nobody_hits_come_back_to_the_rows() -> None:
    u, _ = _clusters()
    keys = torch.cat([u[:3], torch.full((2, 2), 1e6, dtype=u.dtype)])
    after = _fit(u, keys, epochs=60, batch_size=120, decay=0.95)
    assert after.abs().max() <= u.abs().max()


def test_heads_do_not_disturb_one_another() -> None:
    """Two heads at once, without random moves, as each alone."""
    u = torch.stack([_clusters(seed)[0] for seed in (0, 1)])
    start = u[:, [0, 30, 60, 90]]
    how = {"epochs": 5, "batch_size": 120, "decay": 0.9}
    both = fit_codebooks(lambda rows: u[:, rows], 120, start, source=_source(), **how)
    for head in (0, 1):
        assert torch.allclose(both[head], _fit(u[head], start[head], **how))


def test_a_start_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"init: found 'best', wanted one of 'random', 'kmeans\+\+'"
    ):
        _first(torch.zeros(3, 1), 2, "best")
