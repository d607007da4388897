"""The pairs of digits, against the source images themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from narrows.data import Dataset, load
from narrows.errors import InvalidInput

SIZES = (2000, 500, 500)
DIGITS = load_digits()


def nearest(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For both halves of each canvas: the nearest source image and its distance."""
    sources = DIGITS.data / 16
    halves = np.stack([x[:, 0, :, :8], x[:, 0, :, 8:]], axis=1).reshape(-1, 64).astype(float)
    distance = (halves**2).sum(1)[:, None] - 2 * halves @ sources.T + (sources**2).sum(1)
    where = distance.argmin(1)
    gap = np.abs(halves - sources[where]).max(1)
    return where.reshape(-1, 2), gap.reshape(-1, 2)


def pairs(**options: Any) -> Dataset:
    return load("digit_pairs", **{"sizes": SIZES, **options})


def digits_of(c: np.ndarray) -> np.ndarray:
    return np.stack([c[:, :10].argmax(1), c[:, 10:].argmax(1)], axis=1)


def test_concepts_labels_and_ids_are_what_the_pixels_show() -> None:
    for split in pairs().splits.values():
        where, gap = nearest(split.x.numpy())
        assert gap.max() < 1e-6
        shown = DIGITS.target[where]
        assert np.array_equal(digits_of(split.c.numpy()), shown)
        assert split.c.sum(1).eq(2).all()
        assert split.labels == shown.sum(1).tolist()
        assert list(split.ids) == [f"{left}+{right}" for left, right in where]


def test_no_source_image_is_in_two_splits() -> None:
    homes = [set(nearest(s.x.numpy())[0].ravel().tolist()) for s in pairs().splits.values()]
    assert not homes[0] & homes[1]
    assert not homes[0] & homes[2]
    assert not homes[1] & homes[2]
    # 10,000 draws of 1,257 images leave few unseen: the splits are not accidentally tiny.
    assert len(homes[0]) > 1000


def test_the_default_is_10_000_2_000_2_000_canvases_in_0_to_1() -> None:
    data = load("digit_pairs")
    assert [len(s) for s in data.splits.values()] == [10_000, 2_000, 2_000]
    assert data.train.x.shape[1:] == (1, 8, 16)
    assert (data.train.x.min(), data.train.x.max()) == (0, 1)
    assert data.concepts.names[3] == "left is 3"
    assert data.concepts.groups == (tuple(range(10)), tuple(range(10, 20)))
    assert data.classes == tuple(range(19))


@pytest.mark.parametrize(
    ("task", "truth", "classes"),
    [
        ("parity", lambda total: "odd" if total % 2 else "even", ("even", "odd")),
        ("at_least:10", lambda total: total >= 10, (False, True)),
        ("at_least:1", lambda total: total >= 1, (False, True)),
    ],
)
def test_tasks_are_functions_of_the_sum(task: str, truth: Any, classes: tuple[Any, ...]) -> None:
    data = pairs(task=task)
    assert data.classes == classes
    for split in data.splits.values():
        assert split.labels == [truth(t) for t in digits_of(split.c.numpy()).sum(1).tolist()]


def test_full_co_occurrence_makes_right_a_permutation_of_left() -> None:
    seen = set()
    for split in pairs(co_occurrence=1.0).splits.values():
        seen |= set(map(tuple, digits_of(split.c.numpy()).tolist()))
    assert sorted(left for left, _ in seen) == list(range(10))
    assert sorted(right for _, right in seen) == list(range(10))
    assert all(left != right for left, right in seen)


def test_without_co_occurrence_left_and_right_are_independent_and_uniform() -> None:
    shown = digits_of(load("digit_pairs").train.c.numpy())
    table = np.histogram2d(shown[:, 0], shown[:, 1], bins=10)[0]
    assert stats.chi2_contingency(table).pvalue > 0.001
    assert stats.chisquare(table.ravel()).pvalue > 0.001


def test_partial_co_occurrence_ties_that_share_of_the_pairs() -> None:
    shown = digits_of(pairs(co_occurrence=0.6, sizes=(10_000, 10, 10)).train.c.numpy())
    tied = ((3 * shown[:, 0] + 1) % 10 == shown[:, 1]).mean()
    # Untied pairs agree by chance once in ten; five standard deviations are 0.025.
    assert abs(tied - (0.6 + 0.4 * 0.1)) < 0.025


def test_exactly_the_asked_share_of_train_annotations_is_missing() -> None:
    data, full = pairs(missing=0.3), pairs()
    unknown = data.train.c.isnan()
    assert int(unknown.sum()) == round(0.3 * 2000 * 20)
    assert data.train.c[~unknown].equal(full.train.c[~unknown])
    assert data.test.known.all()
    # Each concept loses its share: a binomial deviation is 0.010, five of them 0.051.
    assert (unknown.double().mean(0) - 0.3).abs().max() < 0.051
    assert not pairs(missing=1.0).train.known.any()


@pytest.mark.parametrize("options", [{"missing": 0.2}, {"shift": "noise:0.3"}, {"shift": "patch"}])
def test_a_knob_leaves_the_rest_of_the_data_as_it_was(options: dict[str, Any]) -> None:
    plain, turned = pairs(), pairs(**options)
    for name, split in plain.splits.items():
        assert split.y.equal(turned.splits[name].y)
        assert split.ids == turned.splits[name].ids


def test_the_seed_decides_everything() -> None:
    options = {"co_occurrence": 0.5, "shift": "patch", "missing": 0.1}
    prints = [pairs(seed=seed, **options).fingerprint for seed in (1, 1, 2)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("shift", "change"),
    [("invert", lambda x: 1 - x), ("contrast:0.4", lambda x: 0.5 + 0.4 * (x - 0.5))],
)
def test_shifts_change_test_images_only(shift: str, change: Any) -> None:
    plain, moved = pairs(), pairs(shift=shift)
    assert moved.train.x.equal(plain.train.x)
    assert moved.val.x.equal(plain.val.x)
    assert np.allclose(moved.test.x.numpy(), change(plain.test.x.numpy().astype(float)), atol=1e-6)


def test_the_patch_tells_the_class_in_train_and_another_in_test() -> None:
    data = pairs(shift="patch", shift_strength=0.8, task="parity", sizes=(5000, 5000, 5000))
    for name, split in data.splits.items():
        corner = split.x[:, 0, :2, :2].flatten(1).numpy()
        assert np.array_equal(corner.min(1), corner.max(1))
        agree = (corner[:, 0] == split.y.numpy()).mean()
        # Strength 0.8 plus half of the rest; five standard deviations are 0.021.
        assert abs(agree - (0.1 if name == "test" else 0.9)) < 0.022


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (10, 0, 10)}, "sizes"),
        ({"sizes": (10, 10)}, "sizes"),
        ({"sizes": (1.5, 1, 1)}, "sizes"),
        ({"task": "product"}, "task: found 'product'"),
        ({"task": "at_least:19"}, "task"),
        ({"task": "at_least:0"}, "task"),
        ({"task": "at_least:"}, "task"),
        ({"seed": -1}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"co_occurrence": 1.1}, "co_occurrence: found 1.1"),
        ({"co_occurrence": float("nan")}, "co_occurrence: found nan"),
        ({"missing": -0.1}, "missing"),
        ({"shift": "blur"}, "shift: found 'blur'"),
        ({"shift": "patch", "shift_strength": 2}, "shift_strength"),
    ],
)
def test_knobs_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        pairs(**options)
