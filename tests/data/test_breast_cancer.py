"""The medical data, against scikit-learn's own arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from narrows.data import load
from narrows.errors import InvalidInput

BUNCH = load_breast_cancer()
ROWS = {row.tobytes(): i for i, row in enumerate(BUNCH.data[:, :20].astype(np.float32))}


def test_features_labels_and_concepts_are_those_of_the_source_rows() -> None:
    data = load("breast_cancer_nuclei", seed=3)
    where = {
        name: [ROWS[row.tobytes()] for row in split.x.numpy()]
        for name, split in data.splits.items()
    }
    assert sorted(i for rows in where.values() for i in rows) == list(range(569))
    worst = BUNCH.data[:, 20:]
    middle = np.median(worst[where["train"]], axis=0)
    for name, split in data.splits.items():
        assert split.labels == BUNCH.target_names[BUNCH.target[where[name]]].tolist()
        assert np.array_equal(split.c.numpy(), worst[where[name]] > middle)
    assert data.concepts.names == tuple(f"high {n}" for n in BUNCH.feature_names[20:])
    assert data.settings["features"] == BUNCH.feature_names[:20].tolist()


def test_half_of_train_lies_above_its_median() -> None:
    share = load("breast_cancer_nuclei").train.c.mean(0)
    assert ((share > 0.48) & (share <= 0.5)).all()


def test_classes_are_stratified() -> None:
    data = load("breast_cancer_nuclei")
    shares = [split.y.double().mean().item() for split in data.splits.values()]
    assert max(shares) - min(shares) < 0.02


@pytest.mark.parametrize("seed", [-1, 1.5, "0"])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(InvalidInput, match="seed"):
        load("breast_cancer_nuclei", seed=seed)
