"""Calibration: its figures against numpy's, its refusals, its text and its JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.mi import ESTIMATORS, mutual_information
from narrows.measure.mi.calibrate import calibrate, summarised
from narrows.measure.mi.known import STANDARD, Task, tasks
from narrows.measure.mi.result import MIResult

SUITE = tasks()


def made(values, kind="estimate", stderr=0.1, ceiling=math.inf, truth=1.0, warnings=((),)):
    task = Task("made", 1, 1, "continuous", "continuous", truth, SUITE["xor"].draw)
    results = [
        MIResult(v, stderr, kind, "m", 50, ceiling=ceiling, warnings=warnings[i % len(warnings)])
        for i, v in enumerate(values)
    ]
    return summarised(task, "m", [(one, 0.1 * i) for i, one in enumerate(results)])


def test_figures_are_those_of_the_single_estimates():
    task, seeds = SUITE["normal-0.9"], 6
    row = calibrate(300, tasks=[task], methods=["ksg"], seeds=seeds).rows[0]
    runs = [mutual_information(*task.sample(300, seed)) for seed in range(seeds)]
    values = np.array([run.value for run in runs])
    assert row.mean == pytest.approx(values.mean(), abs=1e-12)
    assert row.bias == pytest.approx(values.mean() - task.truth, abs=1e-12)
    assert row.spread == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert row.bias_stderr == pytest.approx(row.spread / 6**0.5, abs=1e-12)
    assert row.rmse == pytest.approx(np.sqrt(np.mean((values - task.truth) ** 2)), abs=1e-12)
    assert row.rmse**2 == pytest.approx(row.bias**2 + row.spread**2 * 5 / 6, abs=1e-12)
    assert row.stderr == pytest.approx(np.mean([run.stderr for run in runs]), abs=1e-12)
    inside = [run.interval[0] <= task.truth <= run.interval[1] for run in runs]
    assert row.coverage == pytest.approx(np.mean(inside))
    assert (row.runs, row.kind, row.task) == (6, "estimate", "normal-0.9")
    assert row.seconds > 0


def test_a_bound_covers_where_the_truth_is_on_its_side():
    values = [0.5, 1.0, 1.5]  # intervals of 0.196 either way, truth 1
    assert made(values).coverage == pytest.approx(1 / 3)
    assert made(values, "lower").coverage == pytest.approx(2 / 3)
    assert made(values, "upper").coverage == pytest.approx(2 / 3)


def test_a_surrogate_has_no_bias_and_no_coverage():
    row = made([0.2, 0.3], "surrogate")
    assert math.isnan(row.bias)
    assert math.isnan(row.rmse)
    assert math.isnan(row.coverage)
    assert row.mean == pytest.approx(0.25)


def test_values_without_standard_errors_have_no_coverage():
    assert math.isnan(made([1.0, 1.0], stderr=math.nan).coverage)


def test_ceilings_are_flagged_where_they_decide():
    assert made([0.5, 0.5], ceiling=5.0).ceiling == 0
    assert made([4.7, 4.9], ceiling=5.0).ceiling == 0.5  # the second interval reaches it
    assert made([0.1, 0.1], ceiling=0.9).ceiling == 1  # the truth lies above
    assert made([5.0], ceiling=5.0, stderr=math.nan).ceiling == 1


def test_warnings_are_kept_once_each_in_order():
    row = made([1.0] * 4, warnings=(("b", "a"), ("a",)))
    assert row.warnings == ("b", "a")


def test_one_seed_has_no_spread():
    row = calibrate(50, tasks=["xor"], methods=["discrete"], seeds=1).rows[0]
    assert math.isnan(row.spread)
    assert "nan" not in calibrate(50, tasks=["xor"], methods=["discrete"], seeds=1).table()


def test_every_pair_of_task_and_method_is_a_row_or_a_refusal():
    names = ["normal-0.9", "classes-1", "integers-5", "xor", "swiss-roll-2x1"]
    methods = ["ksg", "ross", "mixed", "discrete", "auto"]
    found = calibrate(60, tasks=names, methods=methods, seeds=2)
    answered = [(row.task, row.method) for row in found.rows]
    refused = [(no.task, no.method) for no in found.refusals]
    assert sorted(answered + refused) == sorted((t, m) for t in names for m in methods)
    for no in found.refusals:
        assert "wanted one of" in no.reason
        assert (no.runs, no.of) == (2, 2)
        assert f"{no.method} refused" in found.table()


def test_a_method_that_refuses_some_samples_is_counted_in_both():
    """In about half of the draws y is constant, which no estimator takes."""

    def draw(n, generator):
        x = generator.standard_normal((n, 1))
        return x, (x > 0) if generator.random() < 0.5 else np.zeros((n, 1))

    task = Task("sometimes constant", 1, 1, "continuous", "discrete", math.log(2), draw)
    found = calibrate(200, tasks=[task], methods=["ross"], seeds=12)
    (row,), (no,) = found.rows, found.refusals
    assert row.runs + no.runs == 12
    assert 0 < no.runs < 12
    assert "one value in all rows" in no.reason
    assert f"ross refused sometimes constant ({no.runs} of 12)" in found.table()


def test_by_default_all_estimators_that_train_nothing_meet_the_short_list():
    quick = [name for name in STANDARD if "25x25" not in name]
    found = calibrate(40, tasks=quick, seeds=1)
    met = {row.method for row in found.rows} | {no.method for no in found.refusals}
    assert met == {name for name, row in ESTIMATORS.items() if not (row.trained or row.of_function)}
    short = calibrate(30, methods=["discrete"], seeds=1)
    names = {row.task for row in short.rows} | {no.task for no in short.refusals}
    assert names == set(STANDARD)


def test_dims_choose_the_tasks_of_that_size():
    found = calibrate(40, (2, 1), methods=["mixed"], seeds=1)
    assert {row.task for row in found.rows} == set(tasks((2, 1)))
    one = calibrate(40, 4, tasks=["dense-4x4", "xor"], methods=["mixed"], seeds=1)
    assert [row.task for row in one.rows] == ["dense-4x4", "xor"]


def test_methods_may_carry_settings_and_names_of_their_own():
    methods = {"three": {"method": "ksg", "k": 3}, "nine": {"method": "ksg", "k": 9}, "mixed": {}}
    rows = calibrate(400, tasks=["independent-1x1"], methods=methods, seeds=8).rows
    assert [row.method for row in rows] == ["three", "nine", "mixed"]
    assert rows[1].spread < rows[0].spread  # more neighbours, less variance


def test_more_samples_lower_the_error():
    few, many = (
        calibrate(n, tasks=["uniform-noise-0.1"], methods=["ksg"], seeds=5).rows[0].rmse
        for n in (50, 1600)
    )
    assert many < few / 2


def test_the_table_has_a_line_for_each_row_and_aligned_numbers():
    found = calibrate(60, tasks=["normal-0.9", "independent-1x1"], methods=["ksg"], seeds=3)
    lines = str(found).splitlines()
    assert lines[0] == "60 samples, 3 seeds; nats"
    body = lines[2:7]
    assert [body[1], body[3]] == ["normal-0.9: 0.830 nats", "independent-1x1: 0.000 nats"]
    assert [body[i].split()[0] for i in (0, 2, 4)] == ["method", "ksg", "ksg"]
    assert len({len(body[i]) for i in (0, 2, 4)}) == 1
    assert f"{found.rows[0].bias:+.3f}" in body[2]
    assert f"{found.rows[1].bias:+.3f}" in body[4]


def test_json_holds_every_figure_and_no_nan():
    found = calibrate(60, tasks=["normal-0.9", "xor"], methods=["ksg"], seeds=1)
    read = json.loads(found.to_json())
    assert read == found.to_dict()
    assert read["rows"][0]["bias"] == found.rows[0].bias
    assert read["rows"][0]["spread"] is None
    assert read["refusals"][0]["method"] == "ksg"
    assert (read["n"], read["seeds"], read["units"]) == (60, 1, "nats")


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        ({"n": 5}, InvalidInput, "n: found 5, wanted 10 or more"),
        ({"n": 20.0}, InvalidType, "n: found 20.0"),
        ({"seeds": 0}, InvalidInput, "seeds: found 0"),
        ({"tasks": []}, InvalidInput, "tasks: found none"),
        ({"tasks": ["normal-0.8"]}, UnknownName, "nearest: 'normal-0.9'"),
        ({"methods": []}, InvalidInput, "methods: found none"),
        ({"methods": ["ksq"]}, UnknownName, "nearest: 'ksg'"),
        ({"methods": {"ksg": {"units": "bits"}}}, InvalidInput, "in nats"),
        ({"dims": 0}, InvalidInput, "dims: found 0"),
    ],
)
def test_bad_requests_are_named(wanted, error, said):
    with pytest.raises(error, match=said):
        calibrate(**{"n": 50, **wanted})
