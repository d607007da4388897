"""The reference rows: chance is scikit-learn's dummy, random directions are a projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from narrows import measure
from narrows.baselines import BlackBox, Chance, RandomBottleneck
from narrows.data import load
from narrows.errors import InvalidInput


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=40).filter(lambda y: len(set(y)) > 1))
def test_chance_is_scikit_learns_dummy_classifier(labels: list[str]) -> None:
    x = np.zeros((len(labels), 2))
    ours, theirs = Chance().fit(x, labels), DummyClassifier(strategy="prior").fit(x, labels)
    np.testing.assert_allclose(ours.predict_proba(x[:1]), theirs.predict_proba(x[:1]), atol=1e-6)
    assert ours.score(x, labels) == theirs.score(x, labels)


def test_chance_passes_no_bits_and_ignores_its_input() -> None:
    data = load("digit_pairs", seed=0, sizes=(60, 20, 20))
    chance = Chance().fit(data)
    bits = measure.bits(chance.model_, data)
    assert bits.value * bits.rows <= 64  # what an empty stream costs
    said = chance.predict_proba(data.test)
    assert (said == said[0]).all()
    share = np.bincount(data.train.y.numpy(), minlength=len(data.classes)) / len(data.train)
    np.testing.assert_allclose(said[0], share, atol=1e-6)


def test_a_random_bottlenecks_head_is_a_logistic_regression_on_projections() -> None:
    x = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    y = x @ np.arange(-2, 4) > 0
    method = RandomBottleneck(units=3, encoder="identity").fit(x, y)
    directions = method.model_.bottleneck.directions.numpy()
    standard = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(method.transform(x), standard @ directions.T, atol=1e-4)
    theirs = LogisticRegression(C=1e6, tol=1e-8).fit(standard @ directions.T, y)
    assert method.score(x, y) == pytest.approx(theirs.score(standard @ directions.T, y), abs=0.02)


def test_a_black_box_without_a_hidden_layer_is_a_logistic_regression() -> None:
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    y = x @ np.array([2.0, -1.0, 0.5, 0.0]) + np.random.default_rng(1).normal(size=300) > 0
    ours = BlackBox(encoder="identity").fit(x, y).predict_proba(x)
    theirs = LogisticRegression(C=1e4, tol=1e-8).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(ours, theirs, atol=0.02)


@pytest.mark.parametrize("units", [0, -1])
def test_a_random_bottleneck_needs_a_unit(units: int) -> None:
    with pytest.raises(InvalidInput, match="units"):
        RandomBottleneck(units=units).fit(np.eye(4), [0, 1, 0, 1])
