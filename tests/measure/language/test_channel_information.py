"""The channel's information is the closed form where there is one, and says what caps it."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from narrows.errors import InvalidInput, InvalidType
from narrows.measure import (
    ChannelStream,
    channel_information,
    conditional_channel_information,
)


def whole_channel(p: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities `(N, Z, N)` of every outcome under every context, and weights `(N, Z)`."""
    ll = p.log().T.expand(len(p), -1, -1).clone()
    return ll, p / len(p)


def exact(p: Tensor, marginal: str = "include_self") -> float:
    """The estimator's expectation over outcomes, in bits, all contexts in the batch once."""
    ll, weights = whole_channel(p)
    possible = p > 0
    ll[~possible[..., None].expand_as(ll)] = 0.0  # outcomes that never come out of a context
    terms = channel_information(ll, "bits", marginal, clip=False).terms
    return float((weights * torch.where(possible, terms, 0.0)).sum())


def entropy2(p: float) -> float:
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q)


@given(st.floats(0.001, 0.999))
def test_a_binary_symmetric_channel_has_one_less_the_entropy_of_its_flips(p: float) -> None:
    channel = torch.tensor([[1 - p, p], [p, 1 - p]], dtype=torch.float64)
    assert exact(channel) == pytest.approx(1 - entropy2(p), abs=1e-12)


@given(st.floats(0.0, 1.0), st.integers(2, 6))
def test_an_erasure_channel_keeps_what_is_not_erased(p: float, n: int) -> None:
    kept = torch.eye(n, dtype=torch.float64) * (1 - p)
    channel = torch.cat([kept, torch.full((n, 1), p, dtype=torch.float64)], 1)
    assert exact(channel) == pytest.approx((1 - p) * math.log2(n), abs=1e-12)


def test_any_small_channel_is_its_mutual_information_by_sums() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        p = generator.dirichlet(np.ones(5), 4)
        mean = p.mean(0)
        wanted = float((p * np.log2(p / mean)).sum() / 4)
        assert exact(torch.from_numpy(p)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("marginal", ["include_self", "leave_one_out"])
def test_its_expectation_is_that_over_all_tuples_of_contexts(marginal: str) -> None:
    """A 3 x 3 channel, N contexts drawn at random: every tuple and every outcome, by hand."""
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
    n, by_hand, found = 3, 0.0, 0.0
    for drawn in itertools.product(range(3), repeat=n):
        rows = p[list(drawn)]
        for outcome in itertools.product(range(3), repeat=n):
            chance = math.prod(rows[i, z] for i, z in enumerate(outcome)) / 3**n
            ll = np.log(rows[:, list(outcome)]).T[:, None]  # (z_i, 1, x_l)
            kind = channel_information(torch.from_numpy(ll), "nats", marginal, clip=False)
            found += chance * kind.value
            for i, z in enumerate(outcome):
                others = [rows[j, z] for j in range(n) if marginal == "include_self" or j != i]
                by_hand += chance * math.log(rows[i, z] / np.mean(others)) / n
    truth = float((p * np.log(p / p.mean(0))).sum() / 3)
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert (found < truth) == (marginal == "include_self")


def gaussian(n: int, snr: float, d: int, seed: int) -> Tensor:
    """`(N, 1, N)` log-densities of z = x + noise, x of variance `snr`."""
    generator = torch.Generator().manual_seed(seed)
    x = math.sqrt(snr) * torch.randn(n, d, generator=generator, dtype=torch.float64)
    z = x + torch.randn(n, d, generator=generator, dtype=torch.float64)
    return (-0.5 * torch.cdist(z, x) ** 2 - d / 2 * math.log(2 * math.pi))[:, None]


def test_a_gaussian_channel_is_within_its_error_where_contexts_are_many() -> None:
    truth = 0.5 * 3 * math.log2(1.2)
    off = []
    for seed in range(20):
        found = channel_information(gaussian(1500, 0.2, 3, seed))
        off.append((found.value - truth) / found.stderr)
    assert abs(float(np.mean(off))) < 1.0  # of 20 means one error wide lies 4.5 apart
    assert 0.6 < float(np.std(off)) < 1.5


def test_a_gaussian_channel_of_much_information_is_capped() -> None:
    found = channel_information(gaussian(64, 100.0, 20, 0))
    assert found.value == pytest.approx(6.0, abs=1e-6)
    assert found.cap == pytest.approx(6.0, rel=1e-15)
    assert any("too low" in note for note in found.warnings)


def test_both_marginals_surround_the_truth() -> None:
    truth = 0.5 * 2 * math.log2(2.0)
    low, high = ([channel_information(gaussian(40, 1.0, 2, s), "bits", m).value for s in range(60)]
                 for m in ("include_self", "leave_one_out"))  # fmt: skip
    assert np.mean(low) < truth < np.mean(high)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_an_injective_channel_has_log_n_and_a_constant_one_nothing(n: int) -> None:
    injective = torch.where(torch.eye(n, dtype=torch.bool), 0.0, -math.inf)
    found = channel_information(injective)
    assert found.value == pytest.approx(math.log2(n), rel=1e-15)
    assert found.value == found.cap
    assert found.stderr == 0
    constant = channel_information(torch.full((n, 3, n), -5.0))
    assert constant.value == 0.0
    assert constant.unclipped == pytest.approx(0.0, abs=1e-12)
    high = channel_information(injective, marginal="leave_one_out")
    assert high.value == math.inf
    assert any("infinite" in note for note in high.warnings)


@given(st.integers(2, 8), st.integers(1, 3), st.integers(0, 10**6))
def test_order_and_what_all_contexts_share_change_nothing(n: int, m: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ll = 5 * torch.randn(n, m, n, generator=generator, dtype=torch.float64)
    order = torch.randperm(n, generator=generator)
    shift = 100 * torch.randn(n, m, 1, generator=generator, dtype=torch.float64)
    for marginal in ("include_self", "leave_one_out"):
        one = channel_information(ll, "nats", marginal, clip=False)
        two = channel_information(ll[order][:, :, order], "nats", marginal, clip=False)
        three = channel_information(ll + shift, "nats", marginal, clip=False)
        assert two.value == pytest.approx(one.value, abs=1e-10)
        assert three.value == pytest.approx(one.value, abs=1e-10)
        assert torch.allclose(two.terms, one.terms[order])
        assert float(one.terms.max()) <= math.log(n) + 1e-12 or marginal == "leave_one_out"


def test_log_probabilities_of_minus_ten_thousand_are_handled() -> None:
    ll = torch.randn(6, 2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    far = channel_information(ll - 1e4, clip=False)
    assert far.value == pytest.approx(channel_information(ll, clip=False).value, abs=1e-9)
    spread = channel_information(1e4 * ll - 1e8, clip=False)
    assert math.isfinite(spread.value)
    assert torch.isfinite(spread.terms).all()


def test_repeated_contexts_lower_the_ceiling_to_their_entropy() -> None:
    names = ["a", "b", "b", "c"]
    same = torch.tensor([[names[i] == names[j] for j in range(4)] for i in range(4)])
    found = channel_information(torch.where(same, 0.0, -math.inf), contexts=names)
    wanted = -(0.25 * math.log2(0.25) * 2 + 0.5 * math.log2(0.5))
    assert found.cap == pytest.approx(wanted)
    assert found.value == pytest.approx(wanted)  # and it is reached
    assert found.settings["distinct"] == 3
    untold = channel_information(torch.where(same, 0.0, -math.inf))
    assert untold.cap == pytest.approx(2.0)
    assert any("1 contexts give all summaries" in note for note in untold.warnings)


def test_a_stream_of_blocks_in_any_order_is_the_whole() -> None:
    ll = 4 * torch.randn(9, 2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stream = ChannelStream(9, 2)
    for which in ([3, 0], [8], [1, 2, 4, 5, 6, 7]):
        assert not stream.complete
        with pytest.raises(InvalidInput, match="not seen all"):
            channel_information(stream)
        stream.update(which, ll[:, :, which])
    for marginal in ("include_self", "leave_one_out"):
        one = channel_information(stream, "nats", marginal)
        two = channel_information(ll, "nats", marginal)
        assert torch.allclose(one.terms, two.terms)
        by_hand = ll[range(9), :, range(9)]
        pool = ll if marginal == "include_self" else ll.masked_fill(
            torch.eye(9, dtype=torch.bool)[:, None], -math.inf
        )  # fmt: skip
        size = 9 if marginal == "include_self" else 8
        by_hand = by_hand - (pool.exp().sum(2) / size).log()
        assert torch.allclose(one.terms, by_hand)


def test_given_a_query_it_is_the_mean_over_queries() -> None:
    generator = torch.Generator().manual_seed(0)
    lls = {q: 3 * torch.randn(8, 2, 8, generator=generator) for q in "abc"}
    found = conditional_channel_information(lls, "nats", clip=False)
    each = [channel_information(ll, "nats", clip=False) for ll in lls.values()]
    assert found.value == pytest.approx(np.mean([one.value for one in each]))
    assert found.terms.shape == (8, 6)
    assert found.settings["queries"] == 3
    assert "given the query" in repr(found)
    with pytest.raises(InvalidInput, match="no queries"):
        conditional_channel_information([])
    with pytest.raises(InvalidInput, match="as many contexts"):
        conditional_channel_information([lls["a"], lls["a"][:, :1]])


def test_what_is_below_zero_is_clipped_but_kept_beside() -> None:
    ll = torch.zeros(4, 1, 4)
    ll[range(4), :, range(4)] = -1.0
    found = channel_information(ll, "nats")
    assert found.value == 0.0
    assert found.unclipped < 0
    assert channel_information(ll, "nats", clip=False).value == found.unclipped


def test_kinds_proxy_units_and_json_are_told() -> None:
    ll = gaussian(32, 1.0, 2, 0)
    assert channel_information(ll).kind == "lower"
    assert channel_information(ll, marginal="leave_one_out").kind == "upper"
    proxied = channel_information(ll, proxy=True)
    assert proxied.kind == "estimate"
    assert "proxy-scored" in repr(proxied)
    bits, nats = channel_information(ll), channel_information(ll, "nats")
    assert bits.value == pytest.approx(nats.value / math.log(2))
    assert bits.to("nats").value == pytest.approx(nats.value)
    assert torch.allclose(bits.to("nats").terms, nats.terms)
    assert "cap 5.000 bits (N = 32)" in repr(bits)
    told = json.loads(json.dumps(bits.to_dict(), allow_nan=False))
    assert told["ceiling"] == bits.cap == pytest.approx(5.0)
    assert len(told["terms"]) == 32
    assert told["interval"][0] < bits.value < told["interval"][1]


@pytest.mark.parametrize(
    ("ll", "error", "said"),
    [
        (torch.zeros(3, 2), InvalidInput, r"ll: found shape \(3, 1, 2\)"),
        (torch.zeros(3, 0, 3), InvalidInput, "shape"),
        (torch.zeros(1, 1), InvalidInput, "N of 2 or more"),
        (torch.zeros(3), InvalidInput, "shape"),
        (torch.zeros(3, 3).long(), InvalidType, "ll: found torch.int64"),
        (torch.tensor([[0.0, math.nan], [0, 0]]), InvalidInput, r"nan at \(0, 0, 1\)"),
        (torch.tensor([[0.0, 0], [math.inf, 0]]), InvalidInput, r"inf at \(1, 0, 0\)"),
        (torch.tensor([[0.0, 0], [0, -math.inf]]), InvalidInput, "context 1 under itself"),
    ],
)
def test_log_probabilities_that_are_none_are_refused(ll: Tensor, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        channel_information(ll)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"unit": "bans"}, "unit: found 'bans'"),
        ({"marginal": "all"}, "marginal: found 'all'"),
        ({"contexts": ["a"]}, "contexts: found 1"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        channel_information(torch.zeros(2, 2), **given)


def test_streams_refuse_contexts_twice_out_of_range_or_of_another_shape() -> None:
    stream = ChannelStream(3, 1)
    stream.update([0], torch.zeros(3, 1, 1))
    for which, block in (([0], torch.zeros(3, 1, 1)), ([3], torch.zeros(3, 1, 1)),
                         ([1, 1], torch.zeros(3, 1, 2)), ([1], torch.zeros(3, 1, 2)),
                         ([1], torch.zeros(2, 1, 1))):  # fmt: skip
        with pytest.raises(InvalidInput):
            stream.update(which, block)
    with pytest.raises(InvalidType):
        stream.update([1], torch.zeros(3, 1, 1).long())
    for wrong in ((1, 1), (2, 0), (2.0, 1)):
        with pytest.raises(InvalidInput):
            ChannelStream(*wrong)  # type: ignore[arg-type]
