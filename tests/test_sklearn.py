"""scikit-learn's own checks, and pipelines and searches over concept models."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from matrix import ROWS
from narrows.concepts import CBM
from narrows.registry import methods

# A method that needs concept labels cannot be fitted by checks that pass only X and y.
_WITHOUT_CONCEPTS = [
    methods()[name](**row.sklearn)
    for name, row in ROWS.items()
    if not methods()[name].info.needs_concepts
]


@parametrize_with_checks(
    _WITHOUT_CONCEPTS,
    expected_failed_checks=lambda method: ROWS[method.info.name].expected,
    xfail_strict=False,  # whether a last digit differs depends on the processor
)
def test_scikit_learn_accepts_the_method(estimator, check) -> None:
    check(estimator)


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5))
    c = (x[:, :3] > 0).astype(float)
    y = np.where(c.sum(1) >= 2, "many", "few")
    c[::4, 1] = np.nan
    return x, y, c


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("_routing")
def test_concepts_are_routed_through_pipelines_searches_and_cross_validation() -> None:
    x, y, c = _table()
    cbm = CBM("sequential", encoder="identity", epochs=2).set_fit_request(concepts=True)
    pipeline = make_pipeline(StandardScaler(), cbm)
    search = GridSearchCV(pipeline, {"cbm__mode": ["sequential", "independent"]}, cv=3)
    search.fit(x, y, concepts=c)
    assert search.score(x, y) > 0.85
    predicted = cross_val_predict(clone(pipeline), x, y, cv=3, params={"concepts": c})
    assert (predicted == y).mean() > 0.8


def test_clone_keeps_settings_and_forgets_training() -> None:
    x, y, c = _table()
    fitted = CBM("sequential", encoder="identity").fit(x, y, concepts=c)
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    assert not hasattr(again, "model_")


def test_transform_gives_named_concept_scores() -> None:
    x, y, c = _table()
    fitted = CBM("sequential", encoder="identity").fit(x, y, concepts=c)
    scores = fitted.transform(x)
    assert scores.shape == (120, 3)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert fitted.get_feature_names_out().tolist() == ["concept 0", "concept 1", "concept 2"]
    assert np.allclose(fitted.predict_proba(x).sum(1), 1, atol=1e-12)
