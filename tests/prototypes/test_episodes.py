"""Episodes by their laws; the loss against logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from narrows.errors import InvalidInput, UnknownName
from narrows.prototypes import EpisodicSampler, prototypical_loss, squared_distances


def _source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    way=st.integers(1, 8),
    shots=st.integers(1, 5),
    queries=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_an_episode_has_distinct_classes_and_support_apart_from_query(
    sizes, way, shots, queries, seed
) -> None:
    y = torch.repeat_interleave(torch.arange(len(sizes)) * 3, torch.tensor(sizes))
    y = y[torch.randperm(len(y), generator=_source(seed))]
    sampler = EpisodicSampler(y, way, shots, queries)
    episodes = list(sampler(0, _source(seed)))
    assert len(episodes) == sampler.episodes
    for rows in episodes:
        table = rows.view(min(way, len(sizes)), shots + queries)
        classes = y[table]
        assert (classes == classes[:, :1]).all()
        assert len(classes[:, 0].unique()) == len(table)
        for row, of in zip(table.tolist(), classes[:, 0].tolist(), strict=True):
            size = sizes[of // 3]
            if size > 1:
                assert not set(row[:shots]) & set(row[shots:])
            if size >= shots + queries:
                assert len(set(row)) == shots + queries


def test_an_epoch_is_one_pass_over_balanced_classes() -> None:
    y = torch.arange(5).repeat_interleave(20)
    sampler = EpisodicSampler(y, way=5, shots=2, queries=3)
    rows = torch.cat(list(sampler(0, _source())))
    assert rows.sort().values.tolist() == list(range(100))


def test_all_rows_of_a_class_are_used_before_one_is_used_again() -> None:
    y = torch.tensor([0] * 10 + [1] * 40)
    sampler = EpisodicSampler(y, way=2, shots=1, queries=1)
    small = [r for rows in sampler(0, _source()) for r in rows.tolist() if r < 10]
    assert sorted(small[:10]) == list(range(10))


def test_episodes_follow_from_the_generator_alone() -> None:
    y = torch.arange(4).repeat(9)
    sampler = EpisodicSampler(y, 3, 2, 2)
    first, again, other = (list(sampler(0, _source(s))) for s in (1, 1, 2))
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_the_places_of_a_class_in_an_episode_are_drawn_evenly() -> None:
    """Each row is a query as often as its share of the slots says."""
    y = torch.zeros(10, dtype=torch.long)
    sampler = EpisodicSampler(y, 1, shots=2, queries=3)
    queries = torch.cat([next(sampler(0, _source(s)))[2:] for s in range(2000)])
    share = queries.bincount(minlength=10) / 2000
    assert (share - 0.3).abs().max() < 0.05


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((torch.zeros(0, dtype=torch.long), 2, 1, 1), "y"),
        ((torch.tensor([0, 1]), 0, 1, 1), "way"),
        ((torch.tensor([0, 1]), 1, 0, 1), "shots"),
        ((torch.tensor([0, 1]), 1, 1, 0), "queries"),
    ],
)
def test_episodes_that_cannot_be_are_refused(arguments, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        EpisodicSampler(*arguments)


def _episode(seed: int, classes: int, shots: int, queries: int, features: int):
    rng = np.random.default_rng(seed)
    labels = rng.choice(100, classes, replace=False)
    support_y, query_y = np.repeat(labels, shots), rng.choice(labels, queries)
    order = rng.permutation(len(support_y))
    support, query = rng.normal(size=(len(order), features)), rng.normal(size=(queries, features))
    return tuple(map(torch.tensor, (support, support_y[order], query, query_y)))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 6),
    shots=st.integers(1, 4),
    queries=st.integers(1, 6),
    features=st.integers(1, 8),
)
def test_the_loss_is_that_of_a_linear_classifier_with_twice_the_means(
    seed, classes, shots, queries, features
) -> None:
    """The Bregman view: w_k = 2 c_k, b_k = -|c_k|^2; the -|q|^2 cancels in the softmax."""
    support, support_y, query, query_y = _episode(seed, classes, shots, queries, features)
    labels = sorted(set(support_y.tolist()))
    c = np.stack([support[support_y == k].numpy().mean(0) for k in labels])
    logits = query @ torch.tensor(2 * c).T - torch.tensor((c**2).sum(1))
    target = torch.tensor([labels.index(k) for k in query_y.tolist()])
    found = prototypical_loss(support, support_y, query, query_y)
    assert torch.allclose(found, cross_entropy(logits, target), atol=1e-9)


def test_gradients_of_the_loss_are_right() -> None:
    support, support_y, query, query_y = _episode(0, 4, 3, 5, 3)
    assert torch.autograd.gradcheck(
        lambda s, q: prototypical_loss(s, support_y, q, query_y),
        (support.requires_grad_(), query.requires_grad_()),
    )


def test_one_shot_with_the_same_support_and_query_is_always_right() -> None:
    points = torch.randn(30, 8, generator=_source())
    assert (squared_distances(points, points).argmin(1) == torch.arange(30)).all()
    y = torch.randperm(30, generator=_source(1))
    far = 1000 * points
    assert prototypical_loss(far, y, far, y) < 1e-6


def test_the_names_of_the_classes_do_not_matter() -> None:
    support, support_y, query, query_y = _episode(3, 5, 2, 6, 4)
    renamed = prototypical_loss(support, -7 * support_y, query, -7 * query_y)
    assert torch.allclose(prototypical_loss(support, support_y, query, query_y), renamed)


def test_a_query_of_a_class_without_support_is_refused() -> None:
    z = torch.zeros(2, 3)
    with pytest.raises(UnknownName, match="query label: found 9"):
        prototypical_loss(z, torch.tensor([1, 2]), z, torch.tensor([1, 9]))
    with pytest.raises(UnknownName, match="query label: found 0"):
        prototypical_loss(z, torch.tensor([1, 2]), z, torch.tensor([1, 0]))


def test_shapes_that_differ_are_refused() -> None:
    z, y = torch.zeros(2, 3), torch.tensor([1, 2])
    with pytest.raises(InvalidInput, match="support"):
        prototypical_loss(z, y[:1], z, y)
    with pytest.raises(InvalidInput, match="query"):
        prototypical_loss(z, y, z[0], y)
