"""The prototype layer against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestCentroid

from narrows.errors import InvalidInput, UnknownName
from narrows.prototypes import PrototypeLayer


def _data(seed: int, n: int, classes: int, features: int):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=n)])
    return rng.normal(size=(len(y), features)).astype(np.float32), y


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 40), classes=st.integers(1, 6))
def test_units_are_squared_distances_and_evidence_is_the_nearest_row(seed, n, classes) -> None:
    h, y = _data(seed, n, classes, 4)
    layer = PrototypeLayer(4, range(classes)).fit(torch.tensor(h), torch.tensor(y))
    centres = np.stack([h[y == k].astype(float).mean(0) for k in range(classes)])
    units = -((h[:, None].astype(float) - centres) ** 2).sum(2)
    reading = layer.read(torch.tensor(h))
    np.testing.assert_allclose(reading.units.numpy(), units, atol=1e-4)
    for k, evidence in enumerate(layer.evidence(torch.tensor(h), reading, layer.names)):
        assert (evidence.unit, evidence.kind) == (f"like {k}", "example")
        assert evidence.value.shape == (len(h),)
        row = evidence.value.unique().item()
        assert y[row] == k
        own = ((h[y == k] - centres[k]) ** 2).sum(1)
        assert ((h[row] - centres[k]) ** 2).sum() <= own.min() + 1e-5


def test_the_likest_class_is_that_of_nearest_centroid() -> None:
    h, y = _data(0, 300, 5, 8)
    layer = PrototypeLayer(8, range(5)).fit(torch.tensor(h), torch.tensor(y))
    likest = layer.read(torch.tensor(h)).units.argmax(1)
    assert likest.tolist() == NearestCentroid().fit(h.astype(float), y).predict(h).tolist()


def test_the_first_of_equally_near_rows_is_the_evidence() -> None:
    h = torch.tensor([[5.0], [1.0], [-1.0], [1.0]])
    layer = PrototypeLayer(1, ["far", "middle"]).fit(h[[0, 1, 2]], torch.tensor([0, 1, 1]))
    assert layer.nearest.tolist() == [0, 1]


def test_units_are_named_after_the_classes() -> None:
    assert PrototypeLayer(2, ["cat", 7, False]).names == ("like cat", "like 7", "like False")
    with pytest.raises(InvalidInput, match="unique names"):
        PrototypeLayer(2, ["1", 1])


def test_reading_before_fitting_is_refused() -> None:
    with pytest.raises(InvalidInput, match="call fit"):
        PrototypeLayer(2, "ab").read(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("h", "y", "text"),
    [
        (torch.zeros(2, 2), [0, 0], "no example for 'like b'"),
        (torch.zeros(3, 2), [0, 1, 2], "class id 2"),
        (torch.zeros(3, 2), [0, 1, -1], "class id -1"),
        (torch.zeros(2, 3), [0, 1], "shape"),
        (torch.full((2, 2), torch.nan), [0, 1], "NaN"),
    ],
)
def test_rows_it_cannot_learn_from_are_refused(h, y, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        PrototypeLayer(2, "ab").fit(h, torch.tensor(y))


def test_a_wrong_width_and_an_unknown_unit_are_refused() -> None:
    layer = PrototypeLayer(2, "ab").fit(torch.eye(2), torch.tensor([0, 1]))
    reading = layer.read(torch.eye(2))
    with pytest.raises(InvalidInput, match=r"h: found shape \(1, 3\)"):
        layer.read(torch.zeros(1, 3))
    with pytest.raises(UnknownName, match="like a"):
        layer.evidence(torch.eye(2), reading, ["like A"])
