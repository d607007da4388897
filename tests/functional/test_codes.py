"""Nearest codes against brute force, moving averages against their closed form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.errors import InvalidInput
from narrows.functional.codes import code_sums, ema_start, ema_update, nearest_code


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 8), st.integers(0, 10_000))
def test_the_nearest_code_is_the_brute_force_one(n: int, c: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=(n, d)), rng.normal(size=(c, d))
    distance = ((x[:, None] - codes) ** 2).sum(2)
    found = nearest_code(torch.tensor(x).float(), torch.tensor(codes).float()).numpy()
    assert found.shape == (n,)
    best = distance.min(1) if n else np.zeros(0)
    assert (distance[np.arange(n), found] <= best + 1e-5).all()


def test_equal_codes_give_the_lowest_index() -> None:
    codes = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    x = codes.repeat(3, 1)
    assert nearest_code(x, torch.cat([codes, codes, codes])).tolist() == list(range(7)) * 3


def test_many_pieces_answer_as_one() -> None:
    source = torch.Generator().manual_seed(1)
    x, codes = torch.randn(3000, 4, generator=source), torch.randn(900, 4, generator=source)
    wanted = torch.cdist(x.double(), codes.double()).argmin(1)
    assert torch.equal(nearest_code(x, codes), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_is_searched_in_single(dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(2)
    x, codes = torch.randn(200, 6, generator=source), torch.randn(50, 6, generator=source)
    x, codes = x.to(dtype), codes.to(dtype)
    wanted = torch.cdist(x.double(), codes.double()).argmin(1)
    assert torch.equal(nearest_code(x, codes), wanted)


def test_without_memory_the_codes_are_the_batch_means() -> None:
    source = torch.Generator().manual_seed(3)
    x = torch.randn(60, 5, generator=source, dtype=torch.float64)
    index = torch.arange(60) % 4
    old = torch.randn(4, 5, generator=source, dtype=torch.float64)
    batch = code_sums(x, index, 4)
    codes, counts, _ = ema_update(old, *ema_start(old), batch, decay=0.0, epsilon=0.0)
    wanted = torch.stack([x[index == k].mean(0) for k in range(4)])
    assert torch.allclose(codes, wanted, atol=1e-12)
    assert counts.tolist() == [15] * 4


@given(st.floats(0, 0.99), st.integers(1, 20))
def test_averages_of_a_constant_stream_have_the_closed_form(decay: float, steps: int) -> None:
    x, index = torch.tensor([[3.0], [5.0]]).double(), torch.tensor([0, 1])
    codes, counts, sums = torch.zeros(2, 1).double(), torch.zeros(2).double(), torch.zeros(2, 1)
    sums = sums.double()
    for _ in range(steps):
        batch = code_sums(x, index, 2)
        codes, counts, sums = ema_update(codes, counts, sums, batch, decay)
    share = 1 - decay**steps
    assert torch.allclose(counts, torch.full((2,), share).double(), atol=1e-12)
    assert torch.allclose(sums, share * x, atol=1e-12)


def test_starting_averages_give_back_the_codes() -> None:
    old = torch.randn(3, 2, generator=torch.Generator().manual_seed(4))
    nothing = (torch.zeros(3), torch.zeros(3, 2))
    codes, _, _ = ema_update(old, *ema_start(old, count=7.0), nothing, decay=0.5)
    assert torch.allclose(codes, old, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="codebook"):
        nearest_code(torch.zeros(2, 3), torch.zeros(0, 3))
    with pytest.raises(InvalidInput, match="codebook: found shape"):
        nearest_code(torch.zeros(2, 3), torch.zeros(5, 4))
    old = torch.ones(1, 1)
    with pytest.raises(InvalidInput, match="decay"):
        ema_update(old, *ema_start(old), code_sums(old, torch.zeros(1).long(), 1), decay=1.0)


@pytest.mark.slow
def test_a_large_search_keeps_no_array_of_vectors_by_codes() -> None:
    code = (
        "import resource, torch; from narrows.functional.codes import nearest_code; "
        "torch.set_num_threads(1); x, c = torch.ones(100_000, 2), torch.ones(10_000, 2); "
        "nearest_code(x[:10], c); "
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
        "before = peak(); nearest_code(x, c); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 200e6  # all scores at once would be 4e9
