"""Concept directions against scikit-learn, scipy, geometry and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.functional.cav import KINDS, fit_directions, signed_distances
from narrows.functional.cav_calibration import platt

NAN = float("nan")


def blobs(n: int, width: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features with a different scale each, and noisy linear concepts of them."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, width)) * np.linspace(0.5, 2.0, width) + 1.5
    c = h @ rng.normal(size=(width, k)) + rng.normal(size=(n, k)) > 1.0
    return torch.as_tensor(h), torch.as_tensor(c).double()


def angle(a: Tensor, b: Tensor) -> float:
    """Degrees between two vectors."""
    cosine = float(a.double() @ b.double() / (a.double().norm() * b.double().norm()))
    return math.degrees(math.acos(min(1.0, cosine)))


@pytest.mark.parametrize("kind", list(KINDS))
def test_two_round_clouds_give_the_difference_of_their_means(kind: str) -> None:
    rng = np.random.default_rng(1)
    towards = np.array([2.0, -1.0, 1.0])
    t = np.arange(5000) % 2
    h = torch.as_tensor(rng.normal(size=(5000, 3)) + np.outer(t, towards))
    found = fit_directions(h, torch.as_tensor(t)[:, None].double(), kind)
    assert angle(found.vectors[0], torch.as_tensor(towards)) < 2.0


def test_a_distance_is_that_to_the_foot_of_the_perpendicular() -> None:
    h, c = blobs(200, 5, 3)
    found = fit_directions(h, c, "ridge")
    distances = signed_distances(h, found.vectors, found.biases)
    for j, (v, b) in enumerate(zip(found.vectors.numpy(), found.biases.numpy(), strict=True)):
        for row in range(5):
            x = h[row].numpy()
            foot = x - (v @ x + b) / (v @ v) * v
            assert v @ foot + b == pytest.approx(0, abs=1e-9)
            side = np.sign(v @ x + b)
            assert float(distances[row, j]) == pytest.approx(side * np.linalg.norm(x - foot))


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 100))
def test_distances_ignore_the_length_of_a_vector_and_follow_its_sign(s: float, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    h, v, b = (torch.randn(*shape, generator=source).double() for shape in ((6, 4), (3, 4), (3,)))
    distances = signed_distances(h, v, b)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(signed_distances(h, s * v, s * b), distances, **close)
    torch.testing.assert_close(signed_distances(h, -s * v, -s * b), -distances, **close)


def test_mean_is_the_difference_of_the_means_and_halfway_between_them() -> None:
    h, c = blobs(60, 4, 2)
    found = fit_directions(h, c, "mean")
    for j in range(2):
        rows = c[:, j].numpy() == 1
        high, low = h.numpy()[rows].mean(0), h.numpy()[~rows].mean(0)
        np.testing.assert_allclose(found.vectors[j], high - low, rtol=1e-9)
        assert float(found.biases[j]) == pytest.approx(-(high - low) @ (high + low) / 2)


@pytest.mark.parametrize(("n", "width"), [(300, 6), (20, 50)])
def test_ridge_is_the_explicit_inverse_with_more_and_with_fewer_rows_than_features(
    n: int, width: int
) -> None:
    h = blobs(n, width, 1)[0]
    c = (torch.arange(n)[:, None] % torch.tensor([2, 3, 5]) == 0).double()
    found = fit_directions(h, c, "ridge", shrinkage=0.05)
    x = h.numpy() - h.numpy().mean(0)
    covariance = x.T @ x / n
    covariance += 0.05 * np.trace(covariance) / width * np.eye(width)
    for j in range(3):
        rows = c[:, j].numpy() == 1
        apart = h.numpy()[rows].mean(0) - h.numpy()[~rows].mean(0)
        np.testing.assert_allclose(found.vectors[j], np.linalg.solve(covariance, apart), rtol=1e-7)


@pytest.mark.parametrize(("n", "width"), [(60, 6), (20, 50)])
def test_the_shrinkage_has_the_least_error_under_generalised_cross_validation(
    n: int, width: int
) -> None:
    h = blobs(n, width, 1)[0]
    c = (torch.arange(n)[:, None] % torch.tensor([2, 3]) == 0).double()
    c[: n // 2, 0] = (h[: n // 2, 0] > 1.5).double()
    found = fit_directions(h, c, "ridge")
    x = h.numpy() - h.numpy().mean(0)
    ridges = np.mean(x**2) * 10 ** np.arange(-3, 3.5, 0.5)
    for j in range(2):
        t = c[:, j].numpy() - c[:, j].numpy().mean()
        errors = []
        for ridge in ridges:
            hat = x @ np.linalg.solve(x.T @ x / n + ridge * np.eye(width), x.T) / n
            left = t - hat @ t
            errors.append(left @ left / (n - 1 - np.trace(hat)) ** 2)
        best = ridges[int(np.argmin(errors))]
        apart = h.numpy()[c[:, j] == 1].mean(0) - h.numpy()[c[:, j] == 0].mean(0)
        wanted = np.linalg.solve(x.T @ x / n + best * np.eye(width), apart)
        np.testing.assert_allclose(found.vectors[j], wanted, rtol=1e-6)


def test_ridge_without_shrinkage_is_linear_discriminant_analysis() -> None:
    h, c = blobs(400, 5, 3)
    found = fit_directions(h, c, "ridge", shrinkage=1e-10)
    for j in range(3):
        lda = LinearDiscriminantAnalysis(solver="lsqr").fit(h.numpy(), c[:, j].numpy())
        share = float(c[:, j].mean())
        halfway = lda.intercept_[0] - math.log(share / (1 - share))
        ratio = found.vectors[j].numpy() / lda.coef_[0]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)  # one direction
        assert float(found.biases[j]) == pytest.approx(ratio[0] * halfway, rel=1e-6)


def test_logistic_is_scikit_learns() -> None:
    h, c = blobs(150, 4, 3)
    found = fit_directions(h, c, "logistic", cost=0.7)
    for j in range(3):
        reference = LogisticRegression(C=0.7, tol=1e-10, max_iter=10_000)
        reference.fit(h.numpy(), c[:, j].numpy())
        np.testing.assert_allclose(found.vectors[j], reference.coef_[0], rtol=1e-4, atol=1e-5)
        assert float(found.biases[j]) == pytest.approx(reference.intercept_[0], rel=1e-4)


def test_squared_hinge_is_the_optimum_a_general_solver_finds() -> None:
    h, c = blobs(120, 4, 4)
    found = fit_directions(h, c, "squared-hinge", cost=0.3)
    x = h.numpy()
    for j in range(4):
        s = 2 * c[:, j].numpy() - 1

        def objective(w: np.ndarray, s: np.ndarray = s) -> tuple[float, np.ndarray]:
            short = np.maximum(0, 1 - s * (x @ w[:-1] + w[-1]))
            pull = -2 * short * s
            gradient = np.append(pull @ x + w[:-1] / 0.3, pull.sum())
            return float(short @ short + w[:-1] @ w[:-1] / 0.6), gradient

        best = minimize(objective, np.zeros(5), jac=True, options={"gtol": 1e-9})
        ours = np.append(found.vectors[j].numpy(), float(found.biases[j]))
        assert objective(ours)[0] == pytest.approx(best.fun, rel=1e-8)
        np.testing.assert_allclose(ours, best.x, rtol=1e-3, atol=1e-4)


def test_svm_is_libsvm() -> None:
    h, c = blobs(80, 4, 2)
    found = fit_directions(h.float(), c.float(), "svm", cost=0.5)
    for j in range(2):
        reference = SVC(kernel="linear", C=0.5).fit(h.float().numpy(), c[:, j].numpy())
        np.testing.assert_allclose(found.vectors[j], reference.coef_[0], rtol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_unknown_labels_take_no_part(kind: str) -> None:
    h, c = blobs(90, 4, 3)
    known = torch.rand(c.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    found = fit_directions(h, torch.where(known, c, NAN), kind)
    for j in range(3):
        rows = known[:, j]
        alone = fit_directions(h[rows], c[rows][:, [j]], kind)
        torch.testing.assert_close(found.vectors[j], alone.vectors[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.biases[j], alone.biases[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", list(KINDS))
def test_concepts_without_two_kinds_of_rows_are_undefined(kind: str) -> None:
    h, c = blobs(40, 3, 4)
    c[:, 0], c[:, 1], c[:, 2] = NAN, 1.0, 0.0
    found = fit_directions(h, c, kind)
    assert found.defined.tolist() == [False, False, False, True]
    assert not found.vectors[:3].any()
    assert not found.biases[:3].any()


@pytest.mark.parametrize("kind", list(KINDS))
def test_rows_that_are_all_alike_have_no_direction_and_no_nan(kind: str) -> None:
    h = torch.full((10, 3), 2.5)
    found = fit_directions(h, (torch.arange(10) % 2).float()[:, None], kind)
    assert not found.defined.any()
    assert not found.vectors.any()


@pytest.mark.parametrize("kind", ["mean", "ridge", "logistic", "squared-hinge"])
def test_flipping_the_labels_flips_the_direction(kind: str) -> None:
    h, c = blobs(100, 4, 3)
    there, back = fit_directions(h, c, kind), fit_directions(h, 1 - c, kind)
    torch.testing.assert_close(there.vectors, -back.vectors, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(there.biases, -back.biases, rtol=1e-4, atol=1e-6)


def test_inputs_are_not_modified() -> None:
    h, c = blobs(50, 3, 2)
    before = h.clone(), c.clone()
    for kind in KINDS:
        fit_directions(h, c, kind)
    platt(h[:, :2], c)
    assert torch.equal(h, before[0])
    assert torch.equal(c, before[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": torch.full((4, 2), NAN)}, "h: found a value that is NaN"),
        ({"h": torch.zeros(0, 2)}, r"h: found shape \(0, 2\)"),
        ({"h": torch.zeros(4)}, r"h: found shape \(4,\)"),
        ({"targets": torch.zeros(3, 1)}, r"targets: found shape \(3, 1\), wanted shape \(4"),
        ({"targets": torch.full((4, 1), 2.0)}, "targets: found values"),
        ({"kind": "cosine"}, "kind: found 'cosine'"),
        ({"cost": 0.0}, "cost: found 0.0"),
        ({"shrinkage": NAN}, "shrinkage: found nan"),
        ({"targets": torch.full((4, 1), 0.5), "kind": "svm"}, "between 0 and 1"),
    ],
)
def test_bad_input_is_named(change: dict, message: str) -> None:
    good = {"h": torch.randn(4, 2), "targets": torch.tensor([[0.0], [0.0], [1.0], [1.0]])}
    with pytest.raises(InvalidInput, match=message):
        fit_directions(**(good | change))


def test_whole_number_features_are_refused() -> None:
    with pytest.raises(InvalidType, match=r"h: found torch\.int64"):
        fit_directions(torch.ones(4, 2, dtype=torch.long), torch.ones(4, 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_platt_is_the_optimum_a_general_solver_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.normal(size=30) * 3 + 1
    t = (d + rng.normal(size=30) * rng.uniform(0, 4) > 1).astype(float)
    if t.min() == t.max():
        return
    gain, offset = platt(torch.as_tensor(d)[:, None], torch.as_tensor(t)[:, None])
    n1, n0 = t.sum(), (1 - t).sum()
    soft = np.where(t == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))

    def loss(w: np.ndarray) -> float:
        eta = w[0] * d + w[1]
        return float((np.logaddexp(0, eta) - soft * eta).sum())

    best = minimize(loss, np.zeros(2), method="BFGS")
    assert loss(np.array([float(gain), float(offset)])) <= best.fun + 1e-6


def test_platt_forgets_unknown_labels_and_survives_those_all_alike() -> None:
    h, c = blobs(60, 3, 3)
    d = h - h.mean(0)
    known = torch.rand(c.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    gain, offset = platt(d, torch.where(known, c, NAN))
    for j in range(3):
        alone = platt(d[known[:, j]][:, [j]], c[known[:, j]][:, [j]])
        assert float(gain[j]) == pytest.approx(float(alone[0]))
        assert float(offset[j]) == pytest.approx(float(alone[1]))
    none = torch.full((60, 1), NAN)
    assert [float(part) for part in platt(d[:, :1], none)] == [0.0, 0.0]
    gain, offset = platt(d[:, :1], torch.zeros(60, 1))
    assert float(gain) == 0
    assert float(offset) == pytest.approx(math.log(1 / 61))
    gain, offset = platt(torch.ones(60, 1), c[:, :1])
    assert float(gain) == 0


def test_platt_refuses_what_it_cannot_use() -> None:
    with pytest.raises(InvalidInput, match="distances, targets"):
        platt(torch.zeros(3, 1), torch.zeros(3, 2))
    with pytest.raises(InvalidInput, match="distances: found a value"):
        platt(torch.full((3, 1), NAN), torch.zeros(3, 1))
