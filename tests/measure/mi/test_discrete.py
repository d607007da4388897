"""Discrete information: closed forms, scikit-learn, scipy, and the corrections' known sums."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.mi import mutual_information
from narrows.measure.mi.discrete import (
    CORRECTIONS,
    chao_shen,
    codes,
    grassberger,
    miller_madow,
    plugin,
    shrinkage,
)

BOTH = {"method": "discrete", "x_kind": "discrete", "y_kind": "discrete"}
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=60)


def varies(rows: list[tuple[int, int]]) -> bool:
    return len({a for a, _ in rows}) > 1 and len({b for _, b in rows}) > 1


@given(pairs.filter(varies))
def test_the_plug_in_equals_scikit_learn(rows):
    a, b = zip(*rows, strict=True)
    found = mutual_information(a, b, correction="none", **BOTH)
    assert found.value == pytest.approx(mutual_info_score(a, b), abs=1e-12)
    assert found.value <= found.ceiling + 1e-12


@given(pairs.filter(varies))
def test_it_is_symmetric_and_blind_to_names(rows):
    a, b = zip(*rows, strict=True)
    named = [f"label {value}" for value in a]
    for correction in CORRECTIONS:
        found = mutual_information(a, b, correction=correction, **BOTH).value
        assert found == pytest.approx(
            mutual_information(b, named, correction=correction, **BOTH).value, abs=1e-12
        )


def test_the_symmetric_channel_erasure_and_xor():
    """Exact tables: 1 - H2(p), 1 - p and 0 or 1 bit."""
    x = np.repeat([0, 1], 500)
    flipped = x.copy()
    flipped[[*range(50), *range(500, 550)]] ^= 1
    noisy = mutual_information(x, flipped, units="bits", correction="none", **BOTH).value
    assert noisy == pytest.approx(1 - scipy.stats.entropy([0.1, 0.9], base=2), abs=1e-12)
    erased = x.copy()
    erased[[*range(150), *range(500, 650)]] = 2
    kept = mutual_information(x, erased, units="bits", correction="none", **BOTH).value
    assert kept == pytest.approx(0.7, abs=1e-12)
    a, b = np.tile([0, 0, 1, 1], 100), np.tile([0, 1, 0, 1], 100)
    xor = a ^ b
    assert mutual_information(a, xor, correction="none", **BOTH).value == pytest.approx(0)
    both = np.stack([a, b], axis=1)
    told = mutual_information(both, xor, units="bits", correction="none", **BOTH)
    assert told.value == pytest.approx(1)


def test_entropies_against_their_definitions():
    counts = np.array([1, 1, 2, 5, 11])
    n, share = counts.sum(), counts / counts.sum()
    assert plugin(counts) == pytest.approx(scipy.stats.entropy(share))
    assert miller_madow(counts) == pytest.approx(scipy.stats.entropy(share) + 4 / 40)
    by_integral = [
        scipy.special.digamma(c)
        + (-1) ** c / 2 * (scipy.special.digamma((c + 1) / 2) - scipy.special.digamma(c / 2))
        for c in counts
    ]
    assert grassberger(counts) == pytest.approx(np.log(n) - (counts * by_integral).sum() / n)
    covered = 0.9 * share
    terms = covered * np.log(covered) / (1 - (1 - covered) ** n)
    assert chao_shen(counts) == pytest.approx(-terms.sum())
    pull = (1 - (share**2).sum()) / ((n - 1) * ((0.2 - share) ** 2).sum())
    drawn = min(1, pull) / 5 + max(0, 1 - pull) * share
    assert shrinkage(counts) == pytest.approx(scipy.stats.entropy(drawn))


@pytest.mark.parametrize("correction", ["miller-madow", "grassberger", "chao-shen"])
def test_a_correction_comes_nearer_to_the_truth_than_the_plug_in(correction):
    generator = np.random.default_rng(0)
    truth = np.log(20)
    samples = [np.bincount(generator.integers(0, 20, 60)) for _ in range(300)]
    samples = [counts[counts > 0] for counts in samples]
    error = abs(np.mean([CORRECTIONS[correction](counts) for counts in samples]) - truth)
    assert error < abs(np.mean([plugin(counts) for counts in samples]) - truth) / 2


def test_the_interval_covers_the_truth_nine_times_in_ten():
    generator = np.random.default_rng(1)
    truth = np.log(2) - scipy.stats.entropy([0.2, 0.8])
    hits = 0
    for _ in range(200):
        x = generator.integers(0, 2, 400)
        y = x ^ (generator.random(400) < 0.2)
        low, high = mutual_information(x, y, **BOTH).interval
        hits += low <= truth <= high
    assert hits >= 180


def test_cells_seen_once_are_called_a_ceiling():
    values = np.arange(50)
    found = mutual_information(values, values[::-1], **BOTH)
    assert "alone in their cell" in found.warnings[0]
    assert "alone in their cell" in repr(found)


def test_each_column_gets_its_own_result():
    generator = np.random.default_rng(2)
    x = generator.integers(0, 3, (200, 4))
    y = x[:, 1]
    many = mutual_information(x, y, each=True, **BOTH)
    assert len(many) == 4
    one = [mutual_information(x[:, j], y, **BOTH).value for j in range(4)]
    assert many.value == pytest.approx(one)
    assert many.value.argmax() == 1


def test_bad_samples_are_named():
    good = [0, 1, 0, 1]
    with pytest.raises(InvalidInput, match="y: found 3 rows, wanted as many as x has, 4"):
        mutual_information(good, [0, 1, 0], **BOTH)
    with pytest.raises(InvalidInput, match="x: found one value in all rows"):
        mutual_information([1, 1], [0, 1], **BOTH)
    with pytest.raises(UnknownName, match="correction: found 'miller'"):
        mutual_information(good, good, correction="miller", **BOTH)
    with pytest.raises(UnknownName, match="setting of discrete: found 'k'"):
        mutual_information(good, good, k=3, **BOTH)
    with pytest.raises(InvalidInput, match="x_kind: found 'binary'"):
        mutual_information(good, good, "discrete", x_kind="binary", y_kind="discrete")
    with pytest.raises(InvalidInput, match="method: found 'discrete' for x continuous"):
        mutual_information(good, good, "discrete")
    with pytest.raises(InvalidInput, match="x: found a missing value"):
        mutual_information(["a", None, "b", "a"], good, **BOTH)
    with pytest.raises(InvalidType, match="x: found dtype complex128"):
        mutual_information(np.array([1j, 2, 3, 4]), good, **BOTH)


@given(st.lists(st.integers(-2, 9), min_size=1, max_size=30), st.sampled_from([0.0, 0.5]))
def test_codes_are_those_of_sorting_also_where_they_are_counted(
    values: list[int], shift: float
) -> None:
    rows = np.array(values, dtype=np.float64)[:, None] + shift
    _, wanted = np.unique(rows, return_inverse=True)
    np.testing.assert_array_equal(codes(rows), wanted.reshape(-1))
