"""Hands of three digits, against the source images themselves."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from narrows.data import Dataset, Examples, hand_regions, load
from narrows.data.generated.digit_hands import CONDITIONS, HANDS
from narrows.errors import InvalidInput, UnknownName

SIZES = (1500, 300, 300)
DIGITS = load_digits()


def hands(**options: Any) -> Dataset:
    return load("digit_hands", **{"sizes": SIZES, **options})


def found_by_template(x: np.ndarray) -> np.ndarray:
    """`(n, 3)` the nearest source image of each third of the canvas, by its pixels alone."""
    sources = DIGITS.data / 16
    thirds = np.stack(np.split(x[:, 0], 3, axis=2), axis=1).reshape(-1, 64).astype(float)
    where = (-2 * thirds @ sources.T + (sources**2).sum(1)).argmin(1)
    assert np.abs(thirds - sources[where]).max() < 1e-6
    return where.reshape(-1, 3)


def rank(hand: list[int]) -> str:
    low, middle, high = sorted(hand)
    if low == high:
        return "triple"
    if low == middle or middle == high:
        return "pair"
    return "straight" if (middle - low, high - middle) == (1, 1) else "high"


@pytest.mark.parametrize("condition", CONDITIONS)
def test_concepts_ranks_ids_and_regions_are_what_template_matching_finds(condition: str) -> None:
    for split in hands(condition=condition).splits.values():
        where = found_by_template(split.x.numpy())
        shown = DIGITS.target[where]
        assert split.labels == [rank(hand) for hand in shown.tolist()]
        for digit in range(10):
            assert split.c[:, digit].tolist() == (shown == digit).any(1).tolist()
        assert list(split.ids) == ["+".join(map(str, row)) for row in where.tolist()]
        wanted = np.zeros((len(split), 10, 8, 24), dtype=bool)
        for row, hand in enumerate(shown.tolist()):
            for place, digit in enumerate(hand):
                wanted[row, digit, :, 8 * place : 8 * place + 8] = True
        assert np.array_equal(hand_regions(split).numpy(), wanted)


def test_no_source_image_is_in_two_splits() -> None:
    homes = [set(found_by_template(s.x.numpy()).ravel()) for s in hands().splits.values()]
    assert not any(a & b for a, b in combinations(homes, 2))
    assert len(homes[0]) > 1000


def test_random_hands_are_independent_and_uniform() -> None:
    data = hands(sizes=(6000, 10, 10))
    shown = DIGITS.target[found_by_template(data.train.x.numpy())]
    for a, b in combinations(range(3), 2):
        table = np.histogram2d(shown[:, a], shown[:, b], bins=10)[0]
        assert stats.chisquare(table.ravel()).pvalue > 0.001


@pytest.mark.parametrize("condition", ["hands", "class_level"])
def test_ranks_are_uniform_where_hands_are_dealt_by_rank(condition: str) -> None:
    counts = hands(condition=condition).train.y.bincount(minlength=4).numpy()
    assert stats.chisquare(counts).pvalue > 0.001


def test_every_hand_of_a_rank_is_as_likely() -> None:
    data = hands(condition="hands", sizes=(4000, 10, 10))
    shown = DIGITS.target[found_by_template(data.train.x.numpy())]
    triples = shown[data.train.y.numpy() == HANDS.index("triple")][:, 0]
    assert stats.chisquare(np.bincount(triples, minlength=10)).pvalue > 0.001


@pytest.mark.parametrize("seed", range(5))
def test_at_class_level_the_concepts_of_a_rank_are_always_the_same(seed: int) -> None:
    data, seen = hands(condition="class_level", seed=seed), {}
    for split in data.splits.values():
        for y, c in zip(split.labels, split.c.tolist(), strict=True):
            assert seen.setdefault(y, c) == c
    assert set(seen) == set(HANDS)
    # No digit belongs to two ranks.
    assert np.array(list(seen.values())).sum(0).max() == 1
    assert [sum(seen[h]) for h in HANDS] == [3, 2, 3, 1]


def test_label_noise_turns_exactly_its_share_of_train_annotations_and_nothing_else() -> None:
    plain, noisy = hands(), hands(label_noise=0.2)
    turned = plain.train.c != noisy.train.c
    assert int(turned.sum()) == round(0.2 * 1500 * 10)
    # A column's share is binomial: five deviations of sqrt(.2 * .8 / 1500).
    assert (turned.double().mean(0) - 0.2).abs().max() < 0.052
    assert torch.equal(plain.train.x, noisy.train.x)
    assert torch.equal(plain.train.y, noisy.train.y)
    for name in ("val", "test"):
        assert torch.equal(plain.splits[name].c, noisy.splits[name].c)


def test_the_seed_decides_everything() -> None:
    prints = [hands(seed=s, condition="hands", sizes=(50, 9, 9)).fingerprint for s in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sizes": (10, 10)}, "sizes"),
        ({"sizes": (10, 0, 10)}, "sizes"),
        ({"seed": -1}, "seed"),
        ({"label_noise": 1.5}, "label_noise"),
        ({"label_noise": float("nan")}, "label_noise"),
    ],
)
def test_knobs_out_of_range_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        hands(**options)


def test_what_has_no_hands_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match=r"condition: found 'rendom'.*'random'"):
        hands(condition="rendom")
    test = hands(sizes=(5, 5, 5)).test
    bare = Examples(test.x, test.y, test.c, test.classes, test.concepts)
    with pytest.raises(InvalidInput, match="rows without ids"):
        hand_regions(bare)
    other = Examples(test.x, test.y, test.c, test.classes, test.concepts, tuple("abcde"))
    with pytest.raises(InvalidInput, match=r"ids: found 'a', wanted rows of digit_hands"):
        hand_regions(other)
