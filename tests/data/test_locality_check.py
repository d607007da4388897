"""Which concepts a model could know without looking: against loops, ridge regression, plants."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from narrows.data import Concepts, Dataset, Examples, check_locality, load
from narrows.errors import InvalidInput

NAN = math.nan


def split(c: np.ndarray | None, y: np.ndarray, schema: Concepts, start: int = 0) -> Examples:
    c = None if c is None else torch.from_numpy(c.astype(np.float32))
    x = torch.arange(start, start + len(y), dtype=torch.float32)[:, None]
    return Examples(x, torch.from_numpy(y), c, (0, 1, 2), schema)


def data(
    seed: int, n: int = 60, k: int = 5, missing: float = 0.0, groups: tuple = ()
) -> tuple[Dataset, list[np.ndarray], list[np.ndarray]]:
    """Random correlated annotations; the arrays are those of train, val and test."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(3, k))
    schema = Concepts(tuple(f"c{j}" for j in range(k)), groups)
    cs, ys, parts = [], [], []
    for index in range(3):
        hidden = rng.normal(size=(n, 3))
        c = (hidden @ mix + rng.normal(size=(n, k)) > 0).astype(float)
        for group in groups:
            c[:, group] = np.eye(len(group))[rng.integers(len(group), size=n)]
        c[rng.random((n, k)) < missing] = NAN
        y = np.where(hidden[:, 0] > 0.3, 2, (hidden[:, 1] > 0).astype(int))
        cs.append(c)
        ys.append(y)
        parts.append(split(c, y, schema, index * n))
    return Dataset("made", *parts), cs, ys


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
@settings(max_examples=25, deadline=None)
def test_one_concepts_word_for_another_is_the_area_under_its_roc_curve(
    seed: int, missing: float
) -> None:
    made, (c, *_), _ = data(seed, missing=missing)
    found = check_locality(made).predicts.numpy()
    for i in range(5):
        for j in range(5):
            both = ~np.isnan(c[:, i]) & ~np.isnan(c[:, j])
            one, other = c[both, i], c[both, j]
            if i == j or min(len(set(one)), len(set(other))) < 2:
                assert np.isnan(found[i, j])
            else:
                area = roc_auc_score(other, one)
                assert found[i, j] == pytest.approx(max(area, 1 - area))


def test_all_others_together_are_a_ridge_regression_judged_on_held_rows() -> None:
    groups = ((0, 2),)
    for seed in range(6):
        made, (c, *held), _ = data(seed, groups=groups)
        found = check_locality(made).together.numpy()
        rest = np.concatenate(held)
        mean, deviation = c.mean(0), c.std(0)
        z, z_held = (c - mean) / deviation, (rest - mean) / deviation
        for j in range(5):
            others = [i for i in range(5) if i != j and {i, j} != {0, 2}]
            model = Ridge(alpha=1.0, fit_intercept=False).fit(z[:, others], z[:, j])
            said = model.predict(z_held[:, others]) > 0
            assert found[j] == pytest.approx(balanced_accuracy_score(rest[:, j], said))


def test_an_annotation_that_is_unknown_counts_as_the_mean() -> None:
    made, (c, *held), _ = data(4, n=200, missing=0.3)
    found = check_locality(made).together.numpy()
    rest = np.concatenate(held)
    mean, deviation = np.nanmean(c, 0), np.nanstd(c, 0)
    z, z_held = (np.nan_to_num((part - mean) / deviation) for part in (c, rest))
    for j in range(5):
        others = [i for i in range(5) if i != j]
        said = Ridge(alpha=1.0, fit_intercept=False).fit(z[:, others], z[:, j])
        known = ~np.isnan(rest[:, j])
        wanted = balanced_accuracy_score(rest[known, j], said.predict(z_held[known][:, others]) > 0)
        assert found[j] == pytest.approx(wanted)


def test_the_class_says_a_concept_that_it_has_more_often_than_all_do() -> None:
    made, (c, *held), (y, *y_held) = data(7)
    found = check_locality(made).label.numpy()
    for j in range(5):
        more = [c[y == k, j].mean() > c[:, j].mean() for k in range(3)]
        said = [more[k] for k in np.concatenate(y_held)]
        wanted = balanced_accuracy_score(np.concatenate(held)[:, j], said)
        assert found[j] == pytest.approx(wanted)


def test_twins_are_found_and_only_they() -> None:
    made, *_ = data(1, k=6)
    schema = Concepts(("a", "b", "same as a", "not b", "one", "other"), ((4, 5),))
    parts = []
    for number, part in enumerate(made.splits.values()):
        c = part.c.numpy().copy()
        c[:, 2], c[:, 3] = c[:, 0], 1 - c[:, 1]
        c[:, 5] = 1 - c[:, 4]
        c[:3, 2] = NAN
        parts.append(split(c, part.y.numpy(), schema, 100 * number))
    report = check_locality(Dataset("made", *parts))
    first = parts[0].c.numpy()
    # An exclusive pair is a twin by its schema, not by accident: it is left out.
    assert [(t.first, t.second, t.opposite) for t in report.twins] == [
        ("a", "same as a", False),
        ("b", "not b", True),
    ]
    assert (report.twins[0].rows, report.twins[0].true) == (57, int(first[3:, 0].sum()))
    assert (report.twins[1].rows, report.twins[1].true) == (60, int(first[:, 1].sum()))
    assert {"a", "b", "same as a", "not b"} <= set(report.cheated)
    assert report.predicts[4, 5].isnan()
    assert "'b' and 'not b': never together" in " ".join(str(report).split())


def test_pairs_that_always_meet_need_not_be_looked_at_and_independent_ones_do() -> None:
    sizes = (2000, 300, 300)
    tied = check_locality("digit_pairs", sizes=sizes, co_occurrence=1.0)
    assert {(t.first, t.second) for t in tied.twins} == {
        (f"left is {d}", f"right is {(3 * d + 1) % 10}") for d in range(10)
    }
    assert len(tied.cheated) == 20
    free = check_locality("digit_pairs", sizes=sizes)
    assert free.twins == free.cheated == ()
    assert free.predicts.nan_to_num(0.5).max() < 0.65
    assert not free.per_class.any()


def test_annotations_per_class_are_told() -> None:
    report = check_locality("digit_hands", sizes=(400, 200, 200), condition="class_level")
    shown = load("digit_hands", sizes=(400, 5, 5), condition="class_level").train.c.bool().any(0)
    assert torch.equal(report.per_class, shown)
    assert (report.label[shown] == 1).all()
    assert report.label[~shown].isnan().all()
    assert "9 of 10 concepts are annotated per class" in " ".join(str(report).split())


def test_every_line_fits_forty_columns_and_nothing_escapes() -> None:
    names = (
        "\x1b[31mred",
        "a name that is much longer than any column could ever be",
        "c",
        "d",
        "e",
    )
    made, *_ = data(2)
    parts = [
        split(s.c.numpy(), s.y.numpy(), Concepts(names), 100 * i)
        for i, s in enumerate(made.splits.values())
    ]
    for report in (check_locality(Dataset("made", *parts)), check_locality(made)):
        text = str(report)
        assert max(map(len, text.splitlines())) <= 40, text
        assert "\x1b" not in text
    wide = check_locality("digit_pairs", sizes=(300, 50, 50), co_occurrence=1.0)
    assert max(map(len, str(wide).splitlines())) <= 40


def test_reports_are_json_with_none_where_nothing_can_be_said() -> None:
    made, *_ = data(3, k=3)
    parts = []
    for number, part in enumerate(made.splits.values()):
        c = part.c.numpy().copy()
        c[:, 1] = 1
        parts.append(split(c, part.y.numpy(), made.concepts, 100 * number))
    report = check_locality(Dataset("made", *parts))
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["concepts"]["c1"] == {
        "best": None, "predicts": None, "together": None, "label": None, "per_class": False,
    }  # fmt: skip
    assert found["concepts"]["c0"]["best"] == "c2"
    assert report.best[1][0] is None


def test_held_rows_without_annotations_leave_what_train_can_say() -> None:
    made, *_ = data(5)
    bare = [split(None, part.y.numpy(), made.concepts, 100 + 60 * i) for i, part in
            enumerate((made.val, made.test))]  # fmt: skip
    report = check_locality(Dataset("made", made.train, *bare))
    assert torch.equal(report.predicts.nan_to_num(-1), check_locality(made).predicts.nan_to_num(-1))
    assert report.together.isnan().all()
    assert report.label.isnan().all()
    assert str(report)


def test_data_without_concepts_are_refused() -> None:
    y = np.arange(9) % 3
    parts = [split(None, y, Concepts(()), 10 * i) for i in range(3)]
    with pytest.raises(InvalidInput, match="concepts: found no concept labels"):
        check_locality(Dataset("made", *parts))
