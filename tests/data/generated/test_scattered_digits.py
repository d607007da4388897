"""Digits anywhere on a canvas: pixels, concepts and places against the source images."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from narrows.data import Dataset, Examples, load
from narrows.data.generated.scattered_digits import points, regions
from narrows.errors import InvalidInput

SIZES = (400, 100, 100)
DIGITS = load_digits()


def canvases(**options: Any) -> Dataset:
    return load("scattered_digits", **{"sizes": SIZES, **options})


def parsed(name: str) -> list[tuple[int, int, int]]:
    """Source image, top and left of both digits."""
    return [tuple(map(int, re.split("[@,]", part))) for part in name.split("+")]


def test_a_canvas_is_its_two_source_images_at_their_places_and_nothing_else() -> None:
    for split in canvases().splits.values():
        for row, name in enumerate(split.ids):
            canvas = np.zeros((16, 32))
            covered = np.zeros((16, 32), dtype=int)
            for source, top, left in parsed(name):
                canvas[top : top + 8, left : left + 8] = DIGITS.images[source] / 16
                covered[top : top + 8, left : left + 8] += 1
            np.testing.assert_allclose(split.x[row, 0], canvas, atol=1e-6)
            # Whole and apart: neither cut by the edge nor overlapped.
            assert (covered == 1).sum() == 128


def test_concepts_labels_regions_and_points_follow_from_the_places() -> None:
    test = canvases().test
    inside, middles = regions(test), points(test)
    for row, name in enumerate(test.ids):
        shown = [(int(DIGITS.target[s]), top, left) for s, top, left in parsed(name)]
        assert test.labels[row] == sum(digit for digit, _, _ in shown)
        wanted = np.zeros((10, 16, 32), dtype=bool)
        for digit, top, left in shown:
            wanted[digit, top : top + 8, left : left + 8] = True
        assert np.array_equal(inside[row].numpy(), wanted)
        assert test.c[row].tolist() == wanted.any((1, 2)).astype(float).tolist()
        digits = [digit for digit, _, _ in shown]
        for digit in range(10):
            if digits.count(digit) == 1:
                _, top, left = shown[digits.index(digit)]
                assert middles[row, digit].tolist() == [top + 4, left + 4]
            else:
                assert middles[row, digit].isnan().all()


def test_points_lie_in_their_regions_and_twice_the_same_digit_has_no_one_point() -> None:
    train = canvases(sizes=(2000, 5, 5)).train
    inside, middles = regions(train), points(train)
    row, digit = (~middles[..., 0].isnan()).nonzero().T
    y, x = middles[row, digit].long().T
    assert inside[row, digit, y, x].all()
    twice = train.c.sum(1) == 1
    assert 100 < int(twice.sum()) < 300
    assert middles[twice].isnan().all()
    assert (inside[twice].sum((1, 2, 3)) == 128).all()


def test_places_are_anywhere_and_evenly() -> None:
    places = np.array([parsed(name) for name in canvases(sizes=(4000, 5, 5)).train.ids])[..., 1:]
    assert places.min((0, 1)).tolist() == [0, 0]
    assert places.max((0, 1)).tolist() == [8, 24]
    # The two are alike: neither digit is on one side more often.
    assert stats.ks_2samp(places[:, 0, 1], places[:, 1, 1]).pvalue > 0.001
    # Uniform over all pairs of places that do not overlap: counted one by one.
    ys, xs = np.meshgrid(np.arange(9), np.arange(25), indexing="ij")
    every = np.stack([ys.ravel(), xs.ravel()], 1)
    gap = np.abs(every[:, None] - every[None])
    apart = (gap >= 8).any(2).sum(1).reshape(9, 25).sum(0)
    counts = np.bincount(places[:, 0, 1], minlength=25)
    assert stats.chisquare(counts, 4000 * apart / apart.sum()).pvalue > 0.001


def test_sources_and_tasks_are_those_of_the_pairs() -> None:
    options = {"sizes": (50, 20, 20), "task": "parity", "seed": 3, "co_occurrence": 1.0}
    scattered, pairs = load("scattered_digits", **options), load("digit_pairs", **options)
    for name, split in scattered.splits.items():
        assert [re.sub(r"@\d+,\d+", "", i) for i in split.ids] == list(pairs.splits[name].ids)
        assert torch.equal(split.y, pairs.splits[name].y)
    assert scattered.classes == ("even", "odd")
    left, right = np.array([[DIGITS.target[s] for s, _, _ in parsed(i)] for i in split.ids]).T
    assert np.array_equal(right, (3 * left + 1) % 10)


def test_the_seed_decides_everything() -> None:
    prints = [canvases(seed=seed, sizes=(30, 5, 5)).fingerprint for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("options", "name"),
    [({"sizes": (1, 2)}, "sizes"), ({"task": "product"}, "task"), ({"co_occurrence": 2}, "co_occ")],
)
def test_knobs_out_of_range_are_refused(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        canvases(**options)


def test_rows_of_other_data_have_no_regions() -> None:
    pairs = load("digit_pairs", sizes=(5, 5, 5)).test
    for rows in (pairs, Examples(pairs.x, pairs.y, pairs.c, pairs.classes, pairs.concepts)):
        for where in (regions, points):
            with pytest.raises(InvalidInput, match="wanted rows of scattered_digits"):
                where(rows)
