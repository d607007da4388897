"""RankMe and alpha-ReQ against closed forms, limit laws and published reference values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import entropy, ortho_group
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType, UnknownName
from narrows.measure.geometry import CovarianceStream, alpha_req, rankme, spectrum_of


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of(covariance: Tensor, n: int = 1000) -> CovarianceStream:
    return CovarianceStream.of_covariance(covariance, n)


@pytest.mark.parametrize("d", [1, 2, 17])
def test_the_identity_has_rank_d_and_a_projector_its_own(d: int) -> None:
    assert rankme(of(torch.eye(d))) == pytest.approx(d, abs=1e-12)
    basis = torch.from_numpy(ortho_group.rvs(20, random_state=0))[:, :d]
    assert rankme(of(basis @ basis.T)) == pytest.approx(d, abs=1e-10)


@given(st.floats(0.05, 0.95), st.integers(2, 60))
def test_a_geometric_spectrum_has_the_entropy_in_closed_form(q: float, d: int) -> None:
    values = q ** torch.arange(d, dtype=torch.float64)
    total = (1 - q**d) / (1 - q)
    moment = sum(i * q**i for i in range(d))
    closed = math.log(total) - math.log(q) * moment / total
    assert math.log(rankme(values)) == pytest.approx(closed, abs=1e-10)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("d", [40, 250])
def test_an_exact_power_law_gives_its_exponent_back(alpha: float, d: int) -> None:
    law = alpha_req(torch.arange(1, d + 1, dtype=torch.float64) ** -alpha)
    assert law.alpha == pytest.approx(alpha, abs=1e-10)
    assert float(law) == law.alpha
    assert law.r2 == pytest.approx(1, abs=1e-12)
    assert law.range == ((11, 100) if d > 99 else (4, 28))
    assert alpha_req(torch.ones(d)).alpha == pytest.approx(0, abs=1e-12)
    assert alpha_req(torch.ones(d)).r2 == 1


def test_the_fit_is_numpys_weighted_least_squares() -> None:
    values = spectrum_of(draw(400, 60))
    ranks = np.arange(5, 41)
    y = np.log(values.numpy()[4:40])
    slope, offset = np.polyfit(np.log(ranks), y, 1, w=np.sqrt(1 / ranks))
    left = np.average((y - offset - slope * np.log(ranks)) ** 2, weights=1 / ranks)
    whole = np.average((y - np.average(y, weights=1 / ranks)) ** 2, weights=1 / ranks)
    law = alpha_req(draw(400, 60), range=(5, 40))
    assert law.alpha == pytest.approx(-slope, abs=1e-10)
    assert law.r2 == pytest.approx(1 - left / whole, abs=1e-10)


def test_the_values_the_reptrix_library_gives_for_one_thousand_rows() -> None:
    x = draw(1000, 1024)
    assert rankme(x, "reptrix") == pytest.approx(613.4726, abs=2e-4)
    for _ in range(2):  # a second call must see the same range
        assert alpha_req(x, (11, 100)).alpha == pytest.approx(0.148936, abs=1e-6)


def test_the_first_proposal_is_the_entropy_of_singular_values() -> None:
    x = draw(300, 20) + 2
    s = np.linalg.svd(x.double().numpy(), compute_uv=False)
    p = s / s.sum() + 1e-7
    assert rankme(x, "garrido") == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-9)
    centred = np.linalg.eigvalsh(np.cov(x.double().T, bias=True))
    assert rankme(x) == pytest.approx(math.exp(entropy(centred)), rel=1e-9)
    assert rankme(x, singular=True) == pytest.approx(math.exp(entropy(centred**0.5)), rel=1e-9)
    assert rankme(x, center=False) == pytest.approx(math.exp(entropy(s**2)), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.floats(0.01, 100), st.floats(-50, 50))
def test_turning_moving_and_scaling_change_neither_number(seed, scale, shift) -> None:
    x = draw(200, 12, seed=seed).double() * torch.arange(1, 13)
    turn = torch.from_numpy(ortho_group.rvs(12, random_state=seed))
    other = scale * (x @ turn) + shift
    assert rankme(other) == pytest.approx(rankme(x), rel=1e-8)
    assert alpha_req(other).alpha == pytest.approx(alpha_req(x).alpha, rel=1e-7)


def test_white_noise_has_the_rank_of_the_marchenko_pastur_law() -> None:
    ratio = 0.25  # d / M
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2

    def density(v: float) -> float:
        return math.sqrt((high - v) * (v - low)) / (2 * math.pi * ratio * v)

    mean_log = quad(lambda v: density(v) * v * math.log(v), low, high)[0]
    limit = 500 * math.exp(-mean_log)  # the mean eigenvalue is 1, so p = v / d
    assert rankme(draw(2000, 500)) == pytest.approx(limit, rel=0.01)


def test_streams_and_features_say_the_same() -> None:
    x = draw(300, 8)
    stream = CovarianceStream(8)
    for part in x.split(77):
        stream.update(part)
    assert rankme(stream) == pytest.approx(rankme(x), abs=1e-10)
    assert alpha_req(stream).alpha == pytest.approx(alpha_req(x).alpha, abs=1e-10)


def test_rounding_does_not_count_as_a_direction() -> None:
    x = draw(100, 3).double() @ draw(3, 30, seed=1).double()
    assert (spectrum_of(x) > 0).sum() == 3
    assert rankme(x) <= 3


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (torch.tensor([[1.0, float("nan")], [0.0, 1.0]]), "nan"),
        (torch.ones(1, 4), "at least 2"),
        (torch.ones(5, 4), "all equal"),
        (torch.full((50, 7), 1 / 3), "all equal"),
        (torch.ones(2, 3, 4), "shape"),
        (torch.tensor([1.0, -1.0]), "eigenvalues"),
        (torch.zeros(3), "eigenvalues"),
        (torch.ones(0), "eigenvalues"),
    ],
)
def test_features_without_a_spectrum_are_refused(features: Tensor, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        rankme(features)
    with pytest.raises(InvalidInput, match=words):
        alpha_req(features)


def test_ranges_without_three_ranks_and_unknown_presets_are_refused() -> None:
    values = torch.ones(50)
    for span in [(11, 100), (3, 4), (0, 9), (9, 3)]:
        with pytest.raises(InvalidInput, match="range"):
            alpha_req(values, span)
    with pytest.raises(InvalidInput, match="range"):
        alpha_req(torch.ones(3))
    with pytest.raises(UnknownName, match="garrido"):
        rankme(values, "garido")
    with pytest.raises(InvalidType):
        rankme([1.0, 2.0])  # type: ignore[arg-type]
