"""Information through compressors against closed forms, data processing and O(N^2) sums."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gamma, gammaln
from scipy.stats import norm

from narrows.errors import InvalidInput, UnknownName
from narrows.measure import compressed_mi, entropy, mutual_information
from narrows.measure.mi.compression import AutoencoderCompressor, PCACompressor
from narrows.measure.mi.knn_entropy import berrett, weighted_entropy
from narrows.measure.mi.known.images import blob, pictures, rectangle

N = 5000


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def pairs(n: int, d: int, nats: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """d equally correlated pairs that share `nats`, each side mixed."""
    source = np.random.default_rng(seed)
    rho = math.sqrt(1 - math.exp(-2 * nats / d))
    x = source.standard_normal((n, d))
    y = rho * x + math.sqrt(1 - rho**2) * source.standard_normal((n, d))
    return x @ source.standard_normal((d, d)), y @ source.standard_normal((d, d))


@pytest.mark.parametrize("d", range(1, 9))
def test_entropy_of_normal_rows_is_the_closed_form(d) -> None:
    root = np.random.default_rng(d).standard_normal((d, d)) + 2 * np.eye(d)
    truth = 0.5 * (d * math.log(2 * math.pi * math.e) + np.linalg.slogdet(root @ root.T)[1])
    found = entropy(rows(N, d) @ root.T, "weighted-knn", k=5)
    allowed = 3 * found.stderr if d <= 4 else 4 * found.stderr
    assert abs(found.value - truth) < allowed
    cube = entropy(np.random.default_rng(0).random((N, min(d, 4))), "weighted-knn", k=5)
    assert abs(cube.value) < 4 * cube.stderr + 0.05


@pytest.mark.parametrize("d", range(4, 17))
def test_the_weights_sum_to_one_and_their_gamma_moments_vanish(d) -> None:
    w, j = berrett(5, d), np.arange(1, 6)
    assert w.sum() == pytest.approx(1, abs=1e-8)
    for order in range(1, d // 4 + 1):
        ratio = gamma(j + 2 * order / d) / gamma(j)
        assert abs(w @ ratio) < 1e-8 * ratio.max()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_few_columns_need_no_weights(d) -> None:
    assert berrett(5, d).tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("d", [3, 6, 9])
def test_the_weighted_entropy_is_the_sum_over_all_distances(d) -> None:
    """O(N^2) and in the paper's terms, with log(N - 1) and not psi(N)."""
    x = rows(300, d)
    far = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    np.fill_diagonal(far, np.inf)
    near = np.sort(far, axis=1)[:, :5]
    ball = d / 2 * math.log(math.pi) - gammaln(d / 2 + 1)
    logs = digamma(np.arange(1, 6)) - math.log(299) - ball - d * np.log(near)
    reference = -(logs @ berrett(5, d)).mean() + digamma(300) - math.log(299)
    assert weighted_entropy(x, k=5, whiten=False).value == pytest.approx(reference, abs=1e-6)


@pytest.mark.parametrize("nats", [0.0, 1.0, 2.0, 5.0])
def test_normal_pairs_of_two_and_two_columns(nats) -> None:
    x, y = pairs(N, 2, nats)
    found = compressed_mi(x, y)
    assert abs(found.value - nats) < 0.15
    assert (found.kind, found.reconstruction_error) == ("estimate", {"x": 0.0, "y": 0.0})


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(-3, 3))
def test_linear_maps_of_either_side_change_nothing(seed, log_size) -> None:
    x, y = pairs(400, 3, 1.0, seed)
    turn = np.random.default_rng(seed + 1).standard_normal((3, 3)) + 3 * np.eye(3)
    found, other = compressed_mi(x, y), compressed_mi(10**log_size * x @ turn + 7, y)
    assert other.value == pytest.approx(found.value, abs=1e-6)


class Ends:
    """Reads a rectangle's parameters off its picture: a compressor that loses nothing."""

    k = 4

    def encode(self, x: np.ndarray) -> np.ndarray:
        image = np.asarray(x).reshape(len(x), 32, 32)
        found = []
        for side in (image.max(1), image.max(2)):  # covered share of each column, of each row
            length = side.sum(1) / 32
            # the last pixel begun is covered to (far end - its left edge)
            last = 31 - (side[:, ::-1] > 0).argmax(1)
            whole = (side > 1 - 1e-9).sum(1) == (side > 0).sum(1)
            far = (last + np.where(whole, 1, side[np.arange(len(side)), last])) / 32
            near = far - length
            found += [near / (1 - 2 / 32), (length - 2 / 32) / np.maximum(30 / 32 - near, 1e-9)]
        return np.stack(found, 1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return rectangle(np.clip(codes, 0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("nats", [1.0, 5.0])
def test_blobs_tell_what_their_centres_do(nats) -> None:
    task = pictures("blobs", blob, 2, nats)
    assert task.truth == pytest.approx(nats)
    x, y = task.sample(3000, 1)
    learner = AutoencoderCompressor(2, hidden=64, epochs=40, batch=128, rate=1e-2, loss="l2")
    fitted = learner.fit(blob(np.random.default_rng(9).random((2000, 2))))
    found = compressed_mi(x, y, compress_x=fitted, compress_y=fitted, normal_margins=True)
    assert abs(found.value - nats) < 0.3
    assert found.columns == {"x": 2, "y": 2}
    assert 0 < found.reconstruction_error["x"] < 0.05
    # two components cannot: a blob that leaves the picture folds their plane
    linear = PCACompressor(2).fit(x)
    folded = compressed_mi(x, y, compress_x=linear, compress_y=linear, normal_margins=True)
    assert folded.value < nats - 0.25
    assert folded.reconstruction_error["x"] > 0.3


@pytest.mark.parametrize("nats", [0.5, 2.0, 5.0])
def test_rectangles_tell_what_their_four_parameters_do(nats) -> None:
    x, y = pictures("rectangles", rectangle, 4, nats).sample(3000, 2)
    found = compressed_mi(x, y, compress_x=Ends(), compress_y=Ends(), normal_margins=True)
    assert abs(found.value - nats) < 0.3
    assert found.columns == {"x": 4, "y": 4}
    assert found.reconstruction_error["y"] < 1e-9


@pytest.mark.parametrize(
    ("estimator", "d"),
    [("weighted-knn", 1), ("weighted-knn", 2), ("knn", 1), ("knn", 2), ("ksg", 1)],
)
def test_normal_margins_leave_the_information_and_help_at_hard_edges(estimator, d) -> None:
    x, y = pairs(N, d, 1.0)
    a, b = (norm.cdf((one - one.mean(0)) / one.std(0)) for one in (x, y))
    found = compressed_mi(a, b, estimator=estimator, normal_margins=True)
    assert abs(found.value - 1.0) < 0.1
    again = compressed_mi(np.exp(5 * a), b, estimator=estimator, normal_margins=True)
    assert again.value == found.value  # increasing maps of a column change not a digit
    assert found.settings["normal_margins"]


def test_ties_are_put_in_an_order_and_told() -> None:
    x, y = pairs(500, 2, 1.0)
    x[:, 0] = np.maximum(x[:, 0], 0)
    found = compressed_mi(x, y, normal_margins=True)
    assert any("random order" in note for note in found.warnings)


@pytest.mark.parametrize("kept", [1, 2])
def test_what_is_discarded_is_lost_and_what_is_kept_is_the_closed_form(kept) -> None:
    """Four pairs of falling variance: principal components keep the first ones."""
    source, rho = np.random.default_rng(3), np.array([0.9, 0.8, 0.9, 0.9])
    x = source.standard_normal((N, 4))
    y = rho * x + np.sqrt(1 - rho**2) * source.standard_normal((N, 4))
    each = -0.5 * np.log(1 - rho**2)
    x, y = x * [8, 4, 2, 1], y * [8, 4, 2, 1]
    found = compressed_mi(x, y, compress_x=PCACompressor(kept), compress_y=PCACompressor(kept))
    assert abs(found.value - each[:kept].sum()) < 3 * found.stderr
    assert abs(found.value - each[:kept].sum()) < 0.1
    assert found.value <= each.sum() + 3 * found.stderr
    assert found.kind == "lower"
    variance = np.array([64, 16, 4, 1])
    lost = variance[kept:].sum() / variance.sum()
    assert found.reconstruction_error["x"] == pytest.approx(lost, abs=0.02)


def test_two_classes_far_apart_tell_the_label_and_two_alike_tell_nothing() -> None:
    y = np.arange(N) % 2
    apart, alike = rows(N, 3) + 50 * y[:, None], rows(N, 3)
    found = compressed_mi(apart, y, y_kind="discrete")
    assert abs(found.value - math.log(2)) < 0.1
    assert found.ceiling == pytest.approx(math.log(2))
    none = compressed_mi(alike, y, y_kind="discrete")
    assert abs(none.value) < 0.1
    for result in (found, none):
        outside = not 0 <= result.value <= result.ceiling
        assert outside == any("lies outside" in note for note in result.warnings)


def test_other_estimators_see_the_same_codes_and_bits_are_nats_by_log_two() -> None:
    x, y = rows(500, 8), rows(500, 8, 1)
    y[:, 0] = x[:, 0] + 0.5 * y[:, 0]
    x[:, 0] *= 5
    y[:, 0] *= 5
    both = {"compress_x": PCACompressor(2), "compress_y": PCACompressor(2)}
    found = compressed_mi(x, y, estimator="ksg", k=4, **both)
    codes = [PCACompressor(2).fit(one).encode(one) for one in (x, y)]
    codes = [one / one.std() for one in codes]
    assert found.value == pytest.approx(mutual_information(*codes, "ksg", k=4).value, abs=1e-9)
    assert found.ceiling == pytest.approx(math.log(500))
    nats, bits = compressed_mi(x, y, **both), compressed_mi(x, y, units="bits", **both)
    assert bits.value == pytest.approx(nats.value / math.log(2))
    assert bits.columns == {"x": 2, "y": 2}
    assert "variance lost" in repr(bits)
    assert json.loads(json.dumps(bits.to_dict(), allow_nan=False))["units"] == "bits"


def test_strong_dependence_is_warned_of() -> None:
    x, y = pairs(500, 2, 8.0)
    assert any("within 2 of log N" in note for note in compressed_mi(x, y).warnings)


class Saturated:
    """Codes that differ by a few of the last digits only, as of a saturated sigmoid."""

    k = 1

    def encode(self, x: np.ndarray) -> np.ndarray:
        return 1 - 2.0**-50 * np.clip(np.round(3 * x[:, :1]), -4, 4)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.repeat(codes, 3, axis=1)


def test_codes_that_saturate_are_measured_and_called_discrete() -> None:
    x = rows(400, 3)
    y = x[:, :1] + 0.5 * rows(400, 1, 1)
    found = compressed_mi(x, y, compress_x=Saturated(), estimator="ksg")
    assert 0.4 < found.value < 1.0  # 0.80 before rounding
    assert any("looks discrete" in note for note in found.warnings)
    assert math.isfinite(compressed_mi(x, y, compress_x=Saturated()).value)


class Unused(Saturated):
    """Two coordinates of which one stays 0, and both where nothing is read."""

    def __init__(self, size: float) -> None:
        self.size = size

    def encode(self, x: np.ndarray) -> np.ndarray:
        return np.stack([self.size * x[:, 0], 0 * x[:, 0]], 1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.repeat(codes[:, :1], 3, axis=1)


def test_a_coordinate_left_unused_is_dropped_and_told() -> None:
    x = rows(400, 3)
    y = x[:, :1] + 0.5 * rows(400, 1, 1)
    found = compressed_mi(x, y, compress_x=Unused(1.0))
    assert found.columns["x"] == 1
    assert "compressed x: 1 of 2 coordinates never vary" in found.warnings
    assert found.value == pytest.approx(compressed_mi(x[:, :1], y).value, abs=1e-9)
    with pytest.raises(InvalidInput, match="compressed x: found column 0 with one value"):
        compressed_mi(x, y, compress_x=Unused(0.0))


def test_what_cannot_be_measured_is_refused_by_name() -> None:
    x, y = rows(50, 3), rows(50, 3, 1)
    constant, missing = x.copy(), x.copy()
    constant[:, 1], missing[3, 2] = 2.0, math.nan
    two = np.arange(50) % 2
    rare = np.zeros(50)
    rare[:4] = 1
    for match, call in (
        ("column 1 with one value", lambda: compressed_mi(constant, y)),
        ("nan at row 3, column 2", lambda: compressed_mi(missing, y)),
        ("nan at row 3", lambda: compressed_mi(missing, y, compress_x=PCACompressor(2))),
        (
            "k: found 4, wanted at most the 3",
            lambda: compressed_mi(x, y, compress_x=PCACompressor(4)),
        ),
        ("5 rows", lambda: compressed_mi(x[:5], y[:5])),
        ("49 rows", lambda: compressed_mi(x, y[:49])),
        ("linear function of x", lambda: compressed_mi(x, x[:, :1] + x[:, 1:2])),
        ("class of 4 rows", lambda: compressed_mi(x, rare, y_kind="discrete")),
        ("class 0", lambda: compressed_mi(x * two[:, None], two, y_kind="discrete")),
        ("not fitted", lambda: compressed_mi(x, y, compress_x=AutoencoderCompressor(2))),
        (
            "compress_y",
            lambda: compressed_mi(x, two, compress_y=PCACompressor(1), y_kind="discrete"),
        ),
        ("surrogate", lambda: compressed_mi(x, y, estimator="hsic")),
    ):
        with pytest.raises(InvalidInput, match=match):
            call()
    for call in (
        lambda: compressed_mi(x, y, estimator="ksh"),
        lambda: compressed_mi(x, y, neighbours=3),
    ):
        with pytest.raises(UnknownName):
            call()
