"""Rows in any batches, in any order, on any machine give one covariance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from narrows import store
from narrows.errors import FileRefused, InvalidInput, InvalidType
from narrows.measure.geometry import CovarianceStream


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(a: CovarianceStream, b: CovarianceStream) -> None:
    assert (a.n, a.dim) == (b.n, b.dim)
    torch.testing.assert_close(a.mean, b.mean, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(a.scatter, b.scatter, rtol=1e-10, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7), st.integers(0, 99))
def test_batches_and_merged_streams_hold_what_numpy_finds_at_once(sizes, dim, seed) -> None:
    x = draw(sum(sizes), dim, seed=seed) * 3 + 100
    one, merged = CovarianceStream(dim), CovarianceStream(dim)
    for part in x.split(sizes):
        one.update(part)
        merged.merge(CovarianceStream(dim).update(part))
    same(one, merged)
    found = (
        np.cov(x.numpy(), rowvar=False, bias=True, ddof=0) if len(x) > 1 else np.zeros((dim,) * 2)
    )
    np.testing.assert_allclose(one.scatter.numpy() / len(x), found.reshape(dim, dim), atol=1e-9)
    np.testing.assert_allclose(one.mean.numpy(), x.numpy().mean(0), rtol=1e-12)


def test_more_rows_than_one_piece_are_still_exact() -> None:
    x = draw(2500, 5)
    before = x.clone()
    stream = CovarianceStream(5).update(x)
    assert torch.equal(x, before)
    np.testing.assert_allclose(stream.covariance(), np.cov(x.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(stream.second_moment(), x.T @ x / 2500, atol=1e-12)


def test_a_weight_of_three_is_the_row_three_times() -> None:
    x, w = draw(20, 4), torch.arange(20) % 4
    weighted = CovarianceStream(4).update(x, w)
    repeated = CovarianceStream(4).update(x.repeat_interleave(w, 0))
    torch.testing.assert_close(weighted.covariance(), repeated.covariance())
    torch.testing.assert_close(weighted.mean, repeated.mean)
    assert CovarianceStream(4).update(x, torch.zeros(20)).weight == 0


def test_half_precision_features_are_summed_in_doubles() -> None:
    x = draw(4000, 3).bfloat16()
    found = CovarianceStream(3).update(x).covariance()
    np.testing.assert_allclose(found, np.cov(x.double().T, bias=True), rtol=1e-10)


def test_vectors_of_a_sequence_are_rows() -> None:
    x = draw(4, 6, 3)
    same(CovarianceStream(3).update(x), CovarianceStream(3).update(x.reshape(24, 3)))


def test_a_covariance_given_is_the_one_taken() -> None:
    x = draw(50, 3)
    seen = CovarianceStream(3).update(x)
    given_ = CovarianceStream.of_covariance(seen.covariance(), 50, seen.mean)
    same(seen, given_)
    for bad in (torch.ones(2, 3), torch.tensor([[1.0, 0.5], [0.0, 1.0]])):
        with pytest.raises(InvalidInput, match="covariance"):
            CovarianceStream.of_covariance(bad, 5)


def test_standardized_columns_have_variance_one_and_the_same_correlations() -> None:
    x = draw(100, 3) * torch.tensor([1.0, 10.0, 1000.0])
    found = CovarianceStream(3).update(x).standardized().covariance()
    np.testing.assert_allclose(found, np.corrcoef(x.T), atol=1e-12)
    with pytest.raises(InvalidInput, match="column 1"):
        CovarianceStream(2).update(torch.tensor([[1.0, 5.0], [2.0, 5.0]])).standardized()


def test_a_file_gives_the_stream_back_and_others_are_refused(tmp_path: Path) -> None:
    stream = CovarianceStream(3).update(draw(10, 3), torch.rand(10))
    stream.save(tmp_path / "a.safetensors")
    again = CovarianceStream.load(tmp_path / "a.safetensors")
    same(stream, again)
    assert again.weight == stream.weight
    store.save(tmp_path / "b.safetensors", {"mean": torch.ones(2)})
    with pytest.raises(FileRefused, match="no covariance"):
        CovarianceStream.load(tmp_path / "b.safetensors")
    notes = {"kind": "covariance stream", "n": 3, "weight": 3}
    parts = {"mean": torch.ones(2), "scatter": torch.ones(3, 3)}
    store.save(tmp_path / "c.safetensors", parts, notes)
    with pytest.raises(FileRefused, match="do not fit"):
        CovarianceStream.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("batch", "weights"),
    [
        (torch.tensor([[1.0, float("nan")]]), None),
        (torch.tensor([[1.0, float("inf")]]), None),
        (torch.ones(2, 3), None),
        (torch.ones(2), None),
        (torch.ones(2, 2), torch.tensor([1.0, -1.0])),
        (torch.ones(2, 2), torch.ones(3)),
    ],
)
def test_a_bad_batch_is_refused_and_nothing_of_it_is_taken(batch, weights) -> None:
    stream = CovarianceStream(2).update(draw(5, 2))
    before = stream.scatter.clone()
    with pytest.raises(InvalidInput):
        stream.update(batch, weights)
    assert stream.n == 5
    assert torch.equal(stream.scatter, before)


def test_what_is_no_stream_or_no_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="dim"):
        CovarianceStream(0)
    with pytest.raises(InvalidType):
        CovarianceStream(2).merge(draw(2, 2))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="columns"):
        CovarianceStream(2).merge(CovarianceStream(3))
    with pytest.raises(InvalidType):
        CovarianceStream(2).update(torch.ones(2, 2, dtype=torch.cfloat))
    with pytest.raises(InvalidInput, match="at least 2"):
        CovarianceStream(2).update(torch.ones(1, 2)).covariance()
    with pytest.raises(InvalidInput, match="all equal"):
        CovarianceStream(2).update(torch.full((9, 2), 0.1)).covariance()
