"""The known truths, against quadrature, exact densities, counts and inverses of the maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.spatial.transform import Rotation

from narrows.errors import InvalidInput, InvalidType
from narrows.measure.mi import mutual_information
from narrows.measure.mi.known import STANDARD, Task, images, maps, noise, tasks
from narrows.measure.mi.known.normal import dense, information, normal, paired, pairs, student

SUITE = tasks()


def averaged(task: Task, density, n: int = 40_000) -> tuple[float, float]:
    """Mean and standard error of log p(x, y)/p(x)p(y) over the task's own samples."""
    x, y = task.sample(n, 7)
    local = density(x, y)
    return local.mean(), local.std() / math.sqrt(n)


def normal_ratio(covariance: np.ndarray, dx: int):
    def ratio(x, y):
        both = stats.multivariate_normal(cov=covariance).logpdf(np.concatenate([x, y], 1))
        one = stats.multivariate_normal(cov=covariance[:dx, :dx]).logpdf(x)
        return both - one - stats.multivariate_normal(cov=covariance[dx:, dx:]).logpdf(y)

    return ratio


def student_ratio(dispersion: np.ndarray, dx: int, df: int):
    def ratio(x, y):
        parts = (dispersion, np.concatenate([x, y], 1)), (dispersion[:dx, :dx], x)
        both, one = (stats.multivariate_t(shape=s, df=df).logpdf(rows) for s, rows in parts)
        return both - one - stats.multivariate_t(shape=dispersion[dx:, dx:], df=df).logpdf(y)

    return ratio


@pytest.mark.parametrize(
    ("rho", "truth"), [(0.5, 0.143841), (0.75, 0.413339), (0.9, 0.830366), (0.99, 1.958518)]
)
def test_correlated_normals_have_the_published_truths(rho, truth):
    assert SUITE[f"normal-{rho}"].truth == pytest.approx(truth, abs=5e-7)


def test_a_correlated_normal_pair_by_quadrature():
    both = stats.multivariate_normal(cov=[[1, 0.75], [0.75, 1]])
    grid = np.linspace(-9, 9, 1201)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    log = both.logpdf(np.stack([x, y], -1))
    local = np.exp(log) * (log - stats.norm.logpdf(x) - stats.norm.logpdf(y))
    whole = np.trapezoid(np.trapezoid(local, grid), grid)
    assert SUITE["normal-0.75"].truth == pytest.approx(whole, abs=1e-9)


def test_a_student_pair_by_quadrature():
    """Polar coordinates: log p(x, y) depends on the radius alone, and p(x), p(y) are Student."""
    df = 3

    def local(angle, radius):
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        log = np.log(1 / (2 * np.pi)) - (df + 2) / 2 * np.log1p(radius**2 / df)
        return np.exp(log) * (log - stats.t.logpdf(x, df) - stats.t.logpdf(y, df)) * radius

    def ring(radius):
        return 4 * integrate.fixed_quad(local, 0, np.pi / 2, args=(radius,), n=60)[0]

    whole = integrate.quad(ring, 0, np.inf, limit=200)[0]
    assert student("t", np.eye(2), 1, df).truth == pytest.approx(whole, abs=1e-7)


@pytest.mark.parametrize(
    ("covariance", "dx"), [(dense(3, 2), 3), (paired(3, 3, 2, 0.8), 3), (pairs(2, 4, 1.5), 2)]
)
def test_normal_samples_have_the_density_and_the_truth(covariance, dx):
    mean, error = averaged(normal("n", covariance, dx), normal_ratio(covariance, dx))
    assert information(covariance, dx) == pytest.approx(mean, abs=4 * error)
    rows = np.concatenate(normal("n", covariance, dx).sample(40_000, 1), 1)
    assert np.cov(rows.T) == pytest.approx(covariance, abs=0.04)


@pytest.mark.parametrize(("df", "dx", "dy"), [(1, 2, 2), (2, 3, 1), (5, 2, 3)])
def test_student_samples_have_the_density_and_the_truth(df, dx, dy):
    dispersion = dense(dx, dy)
    task = student("t", dispersion, dx, df)
    mean, error = averaged(task, student_ratio(dispersion, dx, df))
    assert task.truth == pytest.approx(mean, abs=4 * error)
    radius = np.abs(task.sample(20_000, 3)[0][:, 0])
    assert stats.kstest(radius, lambda r: 2 * stats.t.cdf(r, df) - 1).pvalue > 1e-3


def test_many_degrees_of_freedom_are_the_normal_case():
    assert student("t", dense(2, 2), 2, 10**6).truth == pytest.approx(
        information(dense(2, 2), 2), abs=1e-5
    )


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 8))
def test_pairs_have_the_information_asked_for(dx, dy, nats):
    assert information(pairs(dx, dy, nats), dx) == pytest.approx(nats, abs=1e-7)


@pytest.mark.parametrize("width", [0.1, 0.5, 0.75, 2.0])
def test_uniform_noise_by_quadrature(width):
    """I = h(Y) - h(Y given X); the density of Y is the overlap of two intervals."""

    def overlap(y):
        return max(0.0, min(1, y + width) - max(0, y - width)) / (2 * width)

    def lost(y):
        return -overlap(y) * math.log(overlap(y)) if overlap(y) > 0 else 0.0

    bends = sorted({-width, width, 1 - width, 1 + width})
    entropy = integrate.quad(lost, -width, 1 + width, points=bends[1:-1], limit=200)[0]
    task = noise.uniform_noise("u", width)
    assert task.truth == pytest.approx(entropy - math.log(2 * width), abs=1e-7)
    x, y = task.sample(5000, 0)
    assert np.abs(y - x).max() <= width
    assert stats.kstest(x[:, 0], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("count", [2, 5, 12])
def test_integers_with_noise_by_the_entropy_of_a_staircase(count):
    heights = np.convolve(np.full(count, 1 / count), [0.5, 0.5])  # of Y on each unit interval
    entropy = -(heights * np.log(heights)).sum()
    task = noise.integers("i", count)
    assert task.truth == pytest.approx(entropy - math.log(2), abs=1e-12)
    x, y = task.sample(2000, 0)
    assert set(x[:, 0]) == set(range(count))
    assert 0 <= (y - x).min() < (y - x).max() <= 2


@pytest.mark.parametrize(("columns", "centre"), [(1, 1.0), (3, 0.4), (2, 2.5)])
def test_two_classes_by_quadrature_and_by_their_density(columns, centre):
    def mixture(x):
        return (stats.norm.pdf(x, centre) + stats.norm.pdf(x, -centre)) / 2

    entropy = integrate.quad(lambda x: -mixture(x) * np.log(mixture(x)), -12, 12, limit=300)[0]
    task = noise.classes("c", columns, centre)
    assert task.truth == pytest.approx(entropy - stats.norm.entropy(), abs=1e-7)

    def ratio(x, y):
        at = [stats.norm.logpdf(x - s * centre / columns**0.5).sum(1) for s in (-1, 1)]
        return np.where(y[:, 0] == 1, at[1], at[0]) - np.logaddexp(*at) + math.log(2)

    mean, error = averaged(task, ratio)
    assert task.truth == pytest.approx(mean, abs=4 * error)


@pytest.mark.parametrize(
    "name", [n for n, t in SUITE.items() if t.x_kind == t.y_kind != "continuous"]
)
def test_channels_agree_with_the_counts_of_many_samples(name):
    task = SUITE[name]
    x, y = task.sample(200_000, 0)
    seen = mutual_information(
        x, y, "discrete", x_kind="discrete", y_kind="discrete", correction="none"
    )
    assert task.truth == pytest.approx(seen.value, abs=0.006)


@pytest.mark.parametrize("error", [0.01, 0.2, 0.5])
def test_channels_by_their_table(error):
    tables = {
        "symmetric": np.array([[1 - error, error], [error, 1 - error]]) / 2,
        "erasure": np.array([[1 - error, 0, error], [0, 1 - error, error]]) / 2,
    }
    for name, table in tables.items():
        alone = table.sum(0)[None] * table.sum(1)[:, None]
        seen = table > 0
        truth = (table[seen] * np.log(table[seen] / alone[seen])).sum()
        made = getattr(noise, f"{name}_channel")("c", error)
        assert made.truth == pytest.approx(truth, abs=1e-12)


GRID = np.linspace(-6, 6, 200_001)[:, None]


@pytest.mark.parametrize(
    "one",
    [
        maps.normal_cdf,
        maps.half_cube,
        maps.asinh,
        maps.wiggly_x,
        maps.wiggly_y,
        maps.bimodal((0.3, 0.7), (0, 5)),
        maps.even,
    ],
)
def test_maps_of_a_column_rise_everywhere(one):
    assert (
        np.diff(one(GRID if one is not maps.normal_cdf else GRID[GRID[:, 0] < 5])[:, 0]) > 0
    ).all()


def test_waves_rise_at_least_as_steeply_as_they_say():
    step = GRID[1, 0] - GRID[0, 0]
    assert np.diff(maps.wiggly_x(GRID)[:, 0]).min() / step > 0.16
    assert np.diff(maps.wiggly_y(GRID)[:, 0]).min() / step > 0.5


def test_the_bimodal_map_gives_its_mixture():
    x = np.random.default_rng(0).standard_normal((20_000, 1))
    bent = maps.bimodal((0.3, 0.7), (0, 5))(x)[:, 0]
    mixture = lambda at: 0.3 * stats.norm.cdf(at) + 0.7 * stats.norm.cdf(at - 5)  # noqa: E731
    assert stats.kstest(bent, mixture).pvalue > 1e-3
    assert mixture(bent) == pytest.approx(stats.norm.cdf(x[:, 0]), abs=1e-12)


def test_the_swiss_roll_can_be_unrolled():
    u = np.random.default_rng(0).random((1000, 1))
    length = 21 * np.linalg.norm(maps.swiss_roll(u), axis=1)
    assert (length / (1.5 * np.pi) - 1) / 2 == pytest.approx(u[:, 0], abs=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_spiral_can_be_undone(seed):
    x = np.random.default_rng(seed).standard_normal((20, 3)) * 2
    turned = maps.spiral(1, 2)(x)
    angle = (turned**2).sum(1)[:, None] / 3 * np.array([1.0, 0, 0])
    assert Rotation.from_rotvec(-angle).apply(turned) == pytest.approx(x, abs=1e-9)


def test_a_rotation_keeps_lengths_and_angles():
    turn = maps.rotation(4, 1)(np.eye(4))
    assert turn @ turn.T == pytest.approx(np.eye(4), abs=1e-12)
    assert np.abs(turn - np.eye(4)).max() > 0.1


def test_blobs_show_their_centres():
    """Neighbouring pixels of log exp(-10 |u - c|^2) differ by a line in c."""
    centres = np.random.default_rng(0).random((50, 2))
    log = np.log(images.blob(centres)).reshape(50, 32, 32)
    at = (np.arange(32) + 0.5) / 32
    middle = (at[1:] + at[:-1]) / 2
    across = np.diff(log, axis=2)[:, 0] * 32 / 20 + middle
    down = np.diff(log, axis=1)[:, :, 0] * 32 / 20 + middle
    assert np.stack([across.mean(1), down.mean(1)], 1) == pytest.approx(centres, abs=1e-9)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_rectangles_show_their_ends(seed):
    wanted = np.random.default_rng(seed).random((1, 4))
    picture = images.rectangle(wanted).reshape(32, 32)
    assert picture.max() == pytest.approx(1)  # one pixel is covered in full
    found = []
    for profile in (picture.max(0), picture.max(1)):
        first = np.flatnonzero(profile)[0]
        near = (first + 1 - profile[first]) / 32
        far = near + profile.sum() / 32
        found += [near / (1 - 1 / 16), (far - near - 1 / 16) / (1 - 1 / 16 - near)]
    assert found == pytest.approx(wanted[0], abs=1e-6)


def test_a_rectangle_covers_its_area_and_nothing_else():
    parameters = np.array([[0.2, 0.3, 0.6, 0.9]])
    near = parameters[0, ::2] * (1 - 1 / 16)
    size = 1 / 16 + parameters[0, 1::2] * (1 - 1 / 16 - near)
    picture = images.rectangle(parameters).reshape(32, 32)
    assert picture.mean() == pytest.approx(size.prod())
    fine = (np.arange(32 * 8) + 0.5) / (32 * 8)  # by eight points a pixel and side
    inside = [(fine > a) & (fine < a + s) for a, s in zip(near, size, strict=True)]
    brute = (inside[1][:, None] & inside[0]).reshape(32, 8, 32, 8).mean((1, 3))
    assert picture == pytest.approx(brute, abs=0.15)


def test_pictures_carry_the_information_of_their_centres():
    """The centres read from the pictures, made normal again, correlate as asked."""
    x, y = SUITE["blobs-2"].sample(4000, 0)
    sides = []
    for pictures in (x, y):
        log = np.log(pictures.reshape(-1, 32, 32))
        step = [log[:, 16, 16] - log[:, 16, 15], log[:, 16, 16] - log[:, 15, 16]]
        sides.append(stats.norm.ppf(np.stack(step, 1) * 32 / 20 + 0.5))
    both = np.corrcoef(np.concatenate(sides, 1).T)
    assert information(both, 2) == pytest.approx(2.0, abs=0.1)


BENT = {
    "normal-cdf": stats.norm.ppf,
    "half-cube": lambda v: np.sign(v) * np.abs(v) ** (2 / 3),
    "asinh": np.sinh,
}


@pytest.mark.parametrize("label", BENT)
def test_bent_tasks_are_their_base_seen_through_a_map(label):
    """The map undone by its textbook inverse gives the base's own samples, and its truth."""
    bent = [name for name in SUITE if name.endswith(label)]
    assert len(bent) >= 4
    for name in bent:
        base, task = SUITE[name.removesuffix(f"-{label}")], SUITE[name]
        assert task.truth == base.truth
        for seen, was in zip(task.sample(40, 5), base.sample(40, 5), strict=True):
            assert BENT[label](seen) == pytest.approx(was, rel=1e-6, abs=1e-9)


def test_other_maps_keep_the_truth_too():
    for label in ("wiggly", "bimodal"):
        assert SUITE[f"normal-0.75-{label}"].truth == SUITE["normal-0.75"].truth
    for d in (3, 5, 25):
        for label in ("spiral", "normal-cdf-spiral"):
            assert SUITE[f"2-pair-{d}x{d}-{label}"].truth == SUITE[f"2-pair-{d}x{d}"].truth
    assert SUITE["swiss-roll-2x1"].truth == SUITE["normal-0.75"].truth


def test_the_suite_holds_the_forty_tasks_and_the_short_list():
    assert set(STANDARD) <= set(SUITE)
    bent = sum("normal-0.75-" in n for n in SUITE)
    spirals = sum(n.startswith("2-pair") and n.count("-") > 2 for n in SUITE)
    assert (bent, spirals) == (4, 12)
    assert all(name == task.name for name, task in SUITE.items())
    assert {(t.x_kind, t.y_kind) for t in SUITE.values()} == {
        ("continuous", "continuous"),
        ("continuous", "discrete"),
        ("discrete", "continuous"),
        ("discrete", "discrete"),
    }


@pytest.mark.parametrize("suite", [None, 1, (4, 1), (1, 3), 2, (2, 5), 7])
def test_samples_have_the_stated_columns_and_repeat_under_a_seed(suite):
    for task in tasks(suite).values():
        x, y = task.sample(12, 3)
        assert x.shape == (12, task.dx)
        assert y.shape == (12, task.dy)
        again, other = task.sample(12, 3), task.sample(12, 4)
        assert (x == again[0]).all()
        assert (y == again[1]).all()
        assert not ((x == other[0]).all() and (y == other[1]).all())
        assert task.truth >= 0
        if suite is not None:
            wanted = (suite, suite) if isinstance(suite, int) else suite
            assert (task.dx, task.dy) == wanted


def test_bad_dimensions_and_counts_are_named():
    with pytest.raises(InvalidInput, match=r"dims: found 0, wanted 1 or more"):
        tasks(0)
    with pytest.raises(InvalidType, match="dims"):
        tasks((1, 2, 3))
    with pytest.raises(InvalidType, match="dims"):
        tasks(True)
    with pytest.raises(InvalidInput, match="n: found 0"):
        SUITE["xor"].sample(0, 1)
    with pytest.raises(InvalidType, match="seed"):
        SUITE["xor"].sample(3, 0.5)
    with pytest.raises(InvalidInput, match="seed: found -1"):
        SUITE["xor"].sample(3, -1)
