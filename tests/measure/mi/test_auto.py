"""The choice of an estimator: which, why, and the word of an unlike one beside it."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import numpy as np
import pytest

from narrows.errors import InvalidInput, NarrowsError
from narrows.measure.mi import ESTIMATORS, Estimator, mutual_information
from narrows.measure.mi.auto import CHOICES, auto, chosen
from narrows.measure.mi.calibrate import calibrate
from narrows.measure.mi.known import tasks
from narrows.measure.mi.result import Estimate

C, D = "continuous", "discrete"
SUITE = tasks()


def of(name: str, n: int = 800, seed: int = 0, **settings):
    task = SUITE[name]
    x, y = task.sample(n, seed)
    kinds = {"x_kind": task.x_kind, "y_kind": task.y_kind}
    return mutual_information(x, y, "auto", **kinds, **settings)


@pytest.fixture
def fakes(monkeypatch):
    """Estimators that say what a test wants, under names of the table."""

    def put(name: str, value: float, stderr: float, kind: str = "estimate", error: str = ""):
        def function(x, y):
            if error:
                raise InvalidInput(error)
            return Estimate(value, stderr)

        row = dataclasses.replace(ESTIMATORS["mixed"], name=name, kind=kind)
        real = Estimator.load
        monkeypatch.setitem(ESTIMATORS, name, row)
        monkeypatch.setattr(
            Estimator,
            "load",
            lambda self, each=False: function if self.name == name else real(self, each),
        )

    return put


@pytest.mark.parametrize("kinds", [(C, C), (C, D), (D, C), (D, D)])
@pytest.mark.parametrize("columns", [1, 2, 5, 6, 7, 30, 5000])
@pytest.mark.parametrize("rows", [5, 1000, 10**7])
def test_every_size_and_kind_has_a_row_that_some_estimator_answers(kinds, columns, rows):
    row = chosen(kinds, columns, rows)
    if columns > 60 and sorted(kinds) == [C, D]:
        assert not row.first
        return
    for calls in (row.first, row.beside):
        names = [name for name, _ in calls if name in ESTIMATORS]
        assert any(kinds in ESTIMATORS[name].takes for name in names)
    assert row.because
    assert row.apart


def test_choices_are_estimates_beside_estimates_or_bounds_and_never_this_method():
    for row in CHOICES:
        for calls, kinds in ((row.first, {"estimate"}), (row.beside, {"estimate", "lower"})):
            for name, settings in calls:
                assert name != "auto"
                assert ESTIMATORS[name].kind in kinds
                assert set(settings) <= set(inspect.signature(ESTIMATORS[name].load()).parameters)


def test_the_table_of_choices_is_ordered_from_narrow_to_wide():
    for earlier, later in itertools.combinations(CHOICES, 2):
        if earlier.kinds == later.kinds:
            assert earlier.columns < later.columns


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("normal-0.9", "ksg"),
        ("dense-3x3", "ksg"),
        ("classes-3", "ross"),
        ("integers-5", "ross"),
        ("xor", "discrete"),
        ("pairs-5x5-2", "gaussian"),
        ("erasure-channel-0.1", "discrete"),
    ],
)
def test_the_value_is_that_of_the_chosen_method_and_near_the_truth(name, method):
    task = SUITE[name]
    x, y = task.sample(800, 0)
    kinds = {"x_kind": task.x_kind, "y_kind": task.y_kind}
    found, plain = of(name), mutual_information(x, y, method, **kinds)
    assert (found.value, found.stderr, found.ceiling) == (plain.value, plain.stderr, plain.ceiling)
    assert found.settings["method"] == method
    assert found.settings["of the method"] == dict(plain.settings)
    assert found.value == pytest.approx(task.truth, abs=0.1)
    assert len(found.settings["nats"]) == 2
    assert found.settings["beside"] in found.settings["nats"]
    assert (found.method, found.kind) == ("auto", "estimate")


def test_dependence_that_no_line_shows_is_called_out_in_many_columns():
    """The linear part of the spiral is an eighth of its information; neighbours see a third."""
    found = of("2-pair-5x5-spiral", 1000)
    assert found.settings["method"] == "gaussian"
    assert found.settings["beside"] == "ksg"
    assert any("disagree" in text and "see what no line shows" in text for text in found.warnings)


def test_very_many_columns_are_never_left_to_neighbours():
    x, y = np.random.default_rng(0).standard_normal((2, 200, 40))
    found = mutual_information(x, y + x, "auto")
    assert set(found.settings["nats"]) == {"gaussian", "gcmi"}
    pictures = SUITE["blobs-2"].sample(50, 0)
    with pytest.raises(InvalidInput, match=r"gaussian: .*fewer columns .*'sliced'"):
        mutual_information(*pictures, "auto")
    with pytest.raises(InvalidInput, match=r"very many columns.*'sliced'"):
        mutual_information(pictures[0], np.arange(50) % 2, "auto", y_kind=D)


def test_it_is_the_same_under_a_seed_and_in_bits():
    nats, bits = of("normal-0.75", seed=1), of("normal-0.75", seed=1, units="bits")
    assert bits.value == pytest.approx(nats.value / np.log(2), rel=1e-12)
    assert bits.settings["nats"] == nats.settings["nats"]


def test_each_column_gets_its_own_choice():
    x = np.random.default_rng(0).standard_normal((300, 3))
    found = mutual_information(x, x[:, :1] + x[:, 1:2], "auto", each=True)
    alone = [mutual_information(one, x[:, :1] + x[:, 1:2], "auto").value for one in x.T]
    assert found.value.tolist() == alone


def test_unlike_methods_that_disagree_are_called_out(fakes):
    fakes("gcmi", 3.0, 0.1)
    (told,) = [w for w in of("normal-0.75").warnings if "disagree" in w]
    assert "ksg" in told
    assert "gcmi 3.000 nats (2.804 to 3.196)" in told


@pytest.mark.parametrize(
    ("value", "stderr", "kind"),
    [
        (0.45, 0.02, "estimate"),  # the intervals overlap
        (3.0, 2.0, "estimate"),
        (0.0, 0.01, "lower"),  # a lower bound may lie below
        (9.0, 0.01, "upper"),
    ],
)
def test_overlapping_intervals_and_bounds_on_their_side_agree(fakes, value, stderr, kind):
    fakes("gcmi", value, stderr, kind)
    found = of("normal-0.75")
    assert found.settings["beside"] == "gcmi"
    assert not [w for w in found.warnings if "disagree" in w]


@pytest.mark.parametrize(("value", "kind"), [(9.0, "lower"), (0.0, "upper")])
def test_bounds_on_the_wrong_side_disagree(fakes, value, kind):
    fakes("gcmi", value, 0.01, kind)
    assert "disagree" in of("normal-0.75").warnings[-1]


def test_values_without_a_spread_are_compared_as_they_are(fakes):
    fakes("gcmi", 3.0, float("nan"))
    assert "gcmi 3.000 nats (3.000 to 3.000)" in of("normal-0.75").warnings[-1]


def test_a_refusal_is_told_and_the_next_method_taken(fakes):
    fakes("gcmi", 0, 0, error="not today")
    found = of("normal-0.75")
    assert found.settings["refused"] == {"gcmi": "not today"}
    assert found.settings["beside"] != "gcmi"


def test_a_surrogate_never_stands_beside_a_value(fakes):
    fakes("gcmi", 0.4, 0.1, "surrogate")
    assert of("normal-0.75").settings["beside"] != "gcmi"


def test_where_no_method_answers_all_reasons_are_told():
    with pytest.raises(InvalidInput, match=r"no method that answers \(ksg: .*k \+ 1"):
        mutual_information([0.0, 1.0, 2.0], [0.1, 1.4, 0.3], "auto")
    with pytest.raises(NarrowsError, match="x_kind, y_kind"):
        chosen(("wide", C), 1, 10)


def test_it_can_be_calibrated_like_any_other():
    found = calibrate(300, tasks=["normal-0.9", "xor"], methods=["auto"], seeds=2)
    assert [row.method for row in found.rows] == ["auto", "auto"]
    assert not found.refusals
    assert max(abs(row.bias) for row in found.rows) < 0.15


def test_the_module_is_listed_by_its_function():
    assert ESTIMATORS["auto"].load() is auto
