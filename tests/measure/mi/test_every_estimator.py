"""What holds for every estimator of mutual information, whoever wrote it: the table's rows."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.mi import ESTIMATORS, Estimator, MIResult, mutual_information
from narrows.measure.mi.known import tasks as known_tasks

BOTH = ("continuous", "continuous")
# What makes a method fit for samples of this size: eigenvalues, directions, given noise.
SETTINGS: dict[str, dict] = {
    "mixture-upper": {"noise": 0.1},
    "mixture-lower": {"noise": 0.1},
}
# Trained ones, with a small and short training; their digits follow the split of the rows.
TRAINED = {row.name for row in ESTIMATORS.values() if row.trained}
SETTINGS |= {name: {"seeds": 2, "width": 32, "steps": 60} for name in TRAINED}
SETTINGS["club"] |= {"width": 64, "steps": 150}  # no bound before q is fitted
ROWS = {"renyi": 300}
# Their value does not depend on which output belongs to which input.
UNPAIRED = {"mixture-upper", "mixture-lower"}
CONTINUOUS = sorted(name for name, row in ESTIMATORS.items() if BOTH in row.takes)
PAIRED = [name for name in CONTINUOUS if name not in UNPAIRED]


def kinds(name: str) -> list[str]:
    return [method for method in PAIRED if ESTIMATORS[method].kind == name]


def normal(n: int, rho: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x, noise = np.random.default_rng(seed).standard_normal((2, n, 1))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def measure(name: str, x: object, y: object, **more: object) -> MIResult:
    return mutual_information(x, y, name, **{**SETTINGS.get(name, {}), **more})


def slack(found: MIResult) -> float:
    """What two runs that should agree may differ by: rounding, or the split of the rows."""
    return 3 * found.stderr if found.method in TRAINED else 1e-9


@functools.cache
def at(name: str, rho: float) -> MIResult:
    return measure(name, *normal(ROWS.get(name, 2000), rho, seed=int(10 * rho)))


@pytest.mark.parametrize("name", PAIRED)
def test_independence_stays_within_three_deviations_of_its_null(name):
    x, y = normal(ROWS.get(name, 2000), 0.0, seed=3)
    generator = np.random.default_rng(4)
    draws = 6 if name in TRAINED else 20
    null = [measure(name, x, generator.permutation(y)).value for _ in range(draws)]
    assert abs(measure(name, x, y).value - np.mean(null)) < 3 * np.std(null, ddof=1) + 1e-12


@pytest.mark.parametrize("name", kinds("estimate"))
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_estimates_find_the_information_of_correlated_normals(name, rho):
    truth = -0.5 * math.log(1 - rho**2)
    assert abs(at(name, rho).value - truth) < 0.05 + 0.05 * truth


@pytest.mark.parametrize("name", [*kinds("lower"), *kinds("upper")])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_bounds_stay_on_their_side_of_the_truth(name, rho):
    truth, found = -0.5 * math.log(1 - rho**2), at(name, rho)
    over = found.value - truth if ESTIMATORS[name].kind == "lower" else truth - found.value
    assert over <= 3 * found.stderr


@pytest.mark.parametrize("name", PAIRED)
def test_more_dependence_gives_more(name):
    values = [at(name, rho).value for rho in (0.0, 0.3, 0.6, 0.9)]
    assert all(a < b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_no_value_passes_its_ceiling(name):
    assert at(name, 0.9).value <= at(name, 0.9).ceiling


@pytest.mark.parametrize("name", PAIRED)
def test_x_of_y_is_y_of_x(name):
    x, y = normal(250, 0.7, seed=5)
    forth, back = measure(name, x, y), measure(name, y, x)
    assert forth.value == pytest.approx(back.value, abs=slack(back))


@pytest.mark.parametrize("name", PAIRED)
def test_the_order_of_the_rows_does_not_matter(name):
    x, y = normal(250, 0.7, seed=6)
    order = np.random.default_rng(0).permutation(250)
    here, there = measure(name, x, y), measure(name, x[order], y[order])
    assert here.value == pytest.approx(there.value, abs=slack(there))


@pytest.mark.parametrize("name", PAIRED)
def test_scale_and_shift_of_both_do_not_matter(name):
    """One factor for x and y where neighbours are sought in both, as the max-norm joins them."""
    x, y = normal(250, 0.7, seed=7)
    here, there = measure(name, x, y), measure(name, 4 * x + 8, 4 * y - 2)
    assert here.value == pytest.approx(there.value, abs=1e-9)


@pytest.mark.parametrize("name", sorted({*kinds("estimate"), *kinds("lower")} - {"gaussian"}))
def test_monotone_maps_of_each_side_hardly_matter(name):
    x, y = normal(1000, 0.75, seed=1)
    bent = measure(name, np.arctan(x), y + 0.4 * np.tanh(y))
    assert bent.value == pytest.approx(measure(name, x, y).value, abs=0.08)


@pytest.mark.parametrize("name", PAIRED)
def test_noise_added_step_by_step_loses_information_in_mean(name):
    n, means = ROWS.get(name, 500), np.zeros(3)
    for seed in range(3):
        generator = np.random.default_rng(seed)
        x = generator.standard_normal((n, 1))
        y = x
        for step in range(3):
            y = y + 0.6 * generator.standard_normal((n, 1))
            means[step] += measure(name, x, y).value
    assert means[0] > means[1] > means[2]


@pytest.mark.parametrize("name", sorted(UNPAIRED))
def test_noise_of_given_size_loses_information(name):
    """No pairs to spoil: more noise on the output itself."""
    x = np.random.default_rng(0).standard_normal((500, 1))
    values = [mutual_information(x, x, name, noise=noise).value for noise in (0.01, 0.1, 1.0)]
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_bits_are_nats_over_log_two_where_there_is_a_unit(name):
    x, y = normal(200, 0.6, seed=0)
    nats, bits = measure(name, x, y), measure(name, x, y, units="bits")
    by = 1 if ESTIMATORS[name].unitless else math.log(2)
    assert bits.value == pytest.approx(nats.value / by)
    assert bits.ceiling == pytest.approx(nats.ceiling / by)
    assert bits.stderr == pytest.approx(nats.stderr / by, nan_ok=True)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_same_samples_give_the_same_digits(name):
    x, y = normal(200, 0.6, seed=0)
    assert measure(name, x, y).value == measure(name, x, y).value


@pytest.mark.parametrize("name", CONTINUOUS)
def test_inputs_are_left_alone_and_results_can_be_written(name):
    x, y = normal(200, 0.6, seed=0)
    before = x.copy(), y.copy()
    found = measure(name, x, y)
    assert (x == before[0]).all()
    assert (y == before[1]).all()
    assert found.to_dict()["method"] == name
    assert found.kind == ESTIMATORS[name].kind
    assert found.samples == 200
    assert f"({name}, {found.kind}, 200 samples)" in repr(found)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_that_cannot_be_used_are_named(name):
    x, y = normal(30, 0.5, seed=0)
    spoiled = x.copy()
    spoiled[4, 0] = np.nan
    with pytest.raises(InvalidInput, match="x: found nan at row 4"):
        measure(name, spoiled, y)
    with pytest.raises(InvalidInput, match="y: found column 0 with one value"):
        measure(name, x, np.ones(30))
    with pytest.raises(InvalidInput, match="y: found 29 rows"):
        measure(name, x, y[:-1])
    with pytest.raises(InvalidType, match="y: found dtype <U1"):
        measure(name, x, list("ab" * 15))
    with pytest.raises(InvalidInput, match=f"setting of {name}"):
        measure(name, x, y, temperature=3)


@pytest.mark.parametrize("name", PAIRED)
def test_repeated_rows_give_a_number_or_a_defined_error(name):
    x = np.random.default_rng(0).integers(0, 4, (200, 1)).astype(float)
    y = (x + np.random.default_rng(1).integers(0, 2, (200, 1))) / 2
    found = measure(name, x, y)
    assert math.isfinite(found.value)
    neighbours = {"ksg", "lnc", "gcmi"}
    assert not neighbours & {name} or any("discrete" in note for note in found.warnings)


@pytest.mark.parametrize("name", kinds("estimate"))
def test_a_function_of_x_is_called_out(name):
    x = np.random.default_rng(0).standard_normal((500, 1))
    few = {"k": 3} if name == "mixed" else {}
    try:
        told = list(measure(name, x, 2 * x, **few).warnings)
    except InvalidInput as error:
        told = [str(error)]
    assert any("infinite" in note for note in told)


@pytest.mark.parametrize("row", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_every_pair_of_kinds_it_takes_gets_an_answer(row: Estimator):
    generator = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], 60)
    for x_kind, y_kind in row.takes:
        x = codes if x_kind == "discrete" else codes + 0.3 * generator.standard_normal(180)
        y = codes % 2 if y_kind == "discrete" else codes + 0.3 * generator.standard_normal(180)
        if row.name in UNPAIRED:
            y = np.asarray(x, dtype=float) ** 2
        found = measure(row.name, x, y, x_kind=x_kind, y_kind=y_kind)
        assert found.value > 0
        assert found.value <= found.ceiling + 1e-9


@pytest.mark.parametrize("row", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_the_table_says_what_a_row_is(row: Estimator):
    assert row.kind in {"estimate", "lower", "upper", "surrogate"}
    assert row.summary.endswith(".")
    assert row.load().__doc__


def test_an_estimate_far_below_zero_says_that_the_method_fails() -> None:
    x, y = known_tasks()["swiss-roll-2x1"].sample(300, 0)
    (note,) = [text for text in mutual_information(x, y, "lnc").warnings if "below 0" in text]
    assert "another" in note
    assert not any("below 0" in text for text in mutual_information(x, y, "ksg").warnings)
