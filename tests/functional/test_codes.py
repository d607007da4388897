"""Nearest codes against brute force, moving averages against their closed form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.errors import InvalidInput, InvalidType
from narrows.functional import codes as module
from narrows.functional.codes import code_sums, ema_start, ema_update, nearest_code, replace_dead


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


@settings(max_examples=150, deadline=None)
@given(
    heads=st.integers(1, 4),
    n=st.integers(0, 30),
    c=st.integers(1, 30),
    d=st.integers(1, 9),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    place=st.sampled_from([0.0, 10.0]),
    tile=st.sampled_from([1, 40, 2**21]),
    seed=st.integers(0, 2**31),
)
def test_heads_masks_and_tiles_agree_with_brute_force_where_it_is_no_tie(
    heads: int, n: int, c: int, d: int, scale: float, place: float, tile: int, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    x = scale * (torch.randn(heads, n, d, generator=g) + place)
    book = scale * (torch.randn(heads, c, d, generator=g) + place)
    allowed = torch.rand(heads, c, generator=g) < 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TILE", tile)
        found, masked = nearest_code(x, book), nearest_code(x, book, allowed)
    for got, use in ((found, torch.ones_like(allowed)), (masked, allowed)):
        for h in range(heads):
            distance = (x[h, :, None].double() - book[h].double()).square().sum(2)
            distance = distance.masked_fill(~use[h], torch.inf)
            if not use[h].any():
                assert (got[h] == -1).all()
                continue
            least = distance.sort(1).values
            margin = 1e-5 * scale**2 * (1 + place**2) * d
            clear = torch.ones(n, dtype=torch.bool)
            if c > 1:
                clear = least[:, 1] - least[:, 0] > margin
            assert torch.equal(got[h][clear], distance.argmin(1)[clear])
            chosen = distance.gather(1, got[h][:, None])[:, 0]
            assert (chosen <= least[:, 0] + margin).all()


def test_equal_codes_give_the_lowest_allowed_index_in_each_head() -> None:
    g = torch.Generator().manual_seed(5)
    base = torch.randn(2, 4, 3, generator=g)
    book = torch.cat([base, base, base], 1)
    allowed = torch.ones(2, 12, dtype=torch.bool)
    allowed[0, :4] = False
    allowed[1, [1, 5]] = False
    found = nearest_code(base, book, allowed)
    assert found.tolist() == [[4, 5, 6, 7], [0, 9, 2, 3]]


def test_exact_ties_between_different_codes_go_to_the_lowest() -> None:
    book = torch.tensor([[5.0, 5.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert nearest_code(torch.zeros(3, 2), book).tolist() == [1, 1, 1]


def test_a_mask_for_one_codebook_works_without_heads() -> None:
    book = torch.tensor([[0.0], [1.0], [2.0]])
    allowed = torch.tensor([False, True, True])
    assert nearest_code(torch.tensor([[0.0], [5.0]]), book, allowed).tolist() == [1, 2]
    assert nearest_code(torch.tensor([[0.0]]), book, torch.zeros(3).bool()).tolist() == [-1]


def test_searching_needs_no_graph_and_changes_nothing() -> None:
    x, book = torch.ones(3, 2, requires_grad=True), torch.zeros(4, 2, requires_grad=True)
    assert nearest_code(x, book).tolist() == [0, 0, 0]
    assert (x == 1).all()
    assert (book == 0).all()


def test_sums_of_heads_are_those_of_each_head() -> None:
    g = torch.Generator().manual_seed(6)
    x, index = torch.randn(3, 40, 2, generator=g), torch.randint(0, 5, (3, 40), generator=g)
    counts, sums = code_sums(x, index, 5)
    for h in range(3):
        for k in range(5):
            mine = x[h][index[h] == k]
            assert counts[h, k] == len(mine)
            torch.testing.assert_close(sums[h, k], mine.sum(0))


def test_heads_move_as_each_alone() -> None:
    g = torch.Generator().manual_seed(7)
    book, x = torch.randn(3, 5, 2, generator=g), torch.randn(3, 40, 2, generator=g)
    batch = code_sums(x, nearest_code(x, book), 5)
    together = ema_update(book, *ema_start(book, 3.0), batch, decay=0.9)
    for h in range(3):
        own = (batch[0][h], batch[1][h])
        alone = ema_update(book[h], *ema_start(book[h], 3.0), own, decay=0.9)
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[h], b)


@given(st.sampled_from([0.0, 0.5, 0.95, 0.999]), st.floats(0, 1.0), st.integers(0, 10_000))
def test_an_update_is_the_papers_formula(decay: float, epsilon: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    book, n, m = rng.normal(size=(4, 3)), rng.random(4) + 0.1, rng.normal(size=(4, 3))
    x, index = rng.normal(size=(9, 3)), rng.integers(0, 4, 9)
    for k in range(4):
        n[k] = decay * n[k] + (1 - decay) * (index == k).sum()
        m[k] = decay * m[k] + (1 - decay) * x[index == k].sum(0)
    start = np.random.default_rng(seed)
    book, n0, m0 = start.normal(size=(4, 3)), start.random(4) + 0.1, start.normal(size=(4, 3))
    batch = code_sums(torch.from_numpy(x), torch.from_numpy(index), 4)
    parts = (torch.from_numpy(a) for a in (book, n0, m0))
    codes, counts, sums = ema_update(*parts, batch, decay, epsilon)
    np.testing.assert_allclose(counts.numpy(), n, atol=1e-12)
    np.testing.assert_allclose(sums.numpy(), m, atol=1e-12)
    smooth = (n + epsilon) / (n.sum() + 4 * epsilon) * n.sum()
    used = n > 0
    np.testing.assert_allclose(codes.numpy()[used], m[used] / smooth[used, None], rtol=1e-9)
    np.testing.assert_array_equal(codes.numpy()[~used], book[~used])


def test_a_count_that_has_faded_to_nothing_keeps_its_code() -> None:
    book = torch.tensor([[3.0], [4.0]])
    counts, sums = torch.tensor([1.0, 1e-45]), torch.tensor([[3.0], [1e-45]])
    nothing = (torch.zeros(2), torch.zeros(2, 1))
    kept, _, _ = ema_update(book, counts, sums, nothing, decay=0.9, epsilon=0.0)
    torch.testing.assert_close(kept, book)


def test_well_separated_clusters_are_found_by_their_means() -> None:
    g = torch.Generator().manual_seed(8)
    means = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]]).double()
    x = (means[:, None] + torch.randn(3, 500, 2, generator=g).double()).flatten(0, 1)
    book = means + 2
    state = ema_start(book, 500.0)
    for _ in range(200):
        book, *state = ema_update(book, *state, code_sums(x, nearest_code(x, book), 3), 0.9)
    torch.testing.assert_close(book, x.reshape(3, 500, 2).mean(1), atol=1e-5, rtol=0)


def _books(heads: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(9)
    book, counts = torch.randn(heads, 6, 2, generator=g), torch.rand(heads, 6, generator=g)
    return book, counts, book * counts[..., None]


def test_dead_codes_become_inputs_and_living_ones_stay_bit_for_bit() -> None:
    book, counts, sums = _books()
    x = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(10))
    before = [t.clone() for t in (book, counts, sums)]
    new, n, m, dead = replace_dead(book, counts, sums, x, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(dead, counts < 0.5)
    assert 0 < dead.sum() < dead.numel()
    for got, old in zip((new, n, m), (book, counts, sums), strict=True):
        assert torch.equal(got[~dead], old[~dead])
    for h in range(3):
        drawn = new[h][dead[h]]
        same = (drawn[:, None] == x[h]).all(2)
        assert (same.sum(1) == 1).all()
        assert len(drawn.unique(dim=0)) == len(drawn)  # none twice
    assert (n[dead] == 0.5).all()
    assert torch.equal(m[dead], 0.5 * new[dead])
    for old, kept in zip((book, counts, sums), before, strict=True):
        assert torch.equal(old, kept)
    again = replace_dead(book, counts, sums, x, 0.5, torch.Generator().manual_seed(0))
    other = replace_dead(book, counts, sums, x, 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(again[0], new)
    assert not torch.equal(other[0], new)


def test_replaced_codes_keep_their_place_in_the_next_average() -> None:
    book, counts, sums = _books(1)
    x = torch.randn(1, 50, 2, generator=torch.Generator().manual_seed(10))
    new, n, m, _ = replace_dead(book, counts, sums, x, 0.5, torch.Generator().manual_seed(0))
    nothing = (torch.zeros_like(n), torch.zeros_like(m))
    kept, _, _ = ema_update(new, n, m, nothing, decay=0.5, epsilon=0.0)
    torch.testing.assert_close(kept, new)


def test_fewer_inputs_than_dead_codes_are_used_in_turn() -> None:
    book, counts, sums = _books(1)
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    new = replace_dead(book, counts, sums, x, 2.0, torch.Generator().manual_seed(0))[0][0]
    assert sorted(new.tolist()) == [[1.0, 2.0]] * 3 + [[3.0, 4.0]] * 3


@pytest.mark.parametrize(
    ("x", "book", "allowed", "error", "message"),
    [
        (torch.full((2, 3), torch.nan), torch.zeros(4, 3), None, InvalidInput, "x: found NaN"),
        (torch.zeros(2, 3), torch.full((4, 3), torch.inf), None, InvalidInput, "codebook: found"),
        (torch.zeros(3), torch.zeros(4, 3), None, InvalidInput, "x: found shape"),
        (torch.zeros(2, 0), torch.zeros(4, 0), None, InvalidInput, "x: found shape"),
        (torch.zeros(2, 5, 3), torch.zeros(3, 4, 3), None, InvalidInput, "codebook: found shape"),
        (torch.zeros(2, 3).long(), torch.zeros(4, 3), None, InvalidType, "x: found torch.int64"),
        (torch.zeros(2, 3), torch.zeros(4, 3), torch.ones(4), InvalidType, "allowed: found"),
        (torch.zeros(2, 3), torch.zeros(4, 3), torch.ones(3).bool(), InvalidInput, "allowed"),
    ],
)
def test_bad_searches_are_named(
    x: torch.Tensor,
    book: torch.Tensor,
    allowed: torch.Tensor | None,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        nearest_code(x, book, allowed)


def test_bad_averages_are_named() -> None:
    x, book = torch.zeros(5, 2), torch.zeros(3, 2)
    for index in (torch.full((5,), 3), torch.full((5,), -1), torch.zeros(4).long()):
        with pytest.raises(InvalidInput, match="indices"):
            code_sums(x, index, 3)
    batch = code_sums(x, torch.zeros(5).long(), 3)
    counts, sums = ema_start(book)
    for arguments, message in (
        ((counts[1:], sums, batch, 0.9), "counts: found shape"),
        ((counts, sums[1:], batch, 0.9), "sums: found shape"),
        ((counts, sums, (batch[0], batch[1][1:]), 0.9), "batch sums: found shape"),
        ((counts, sums, batch, 0.9, -1.0), "epsilon"),
        ((counts, sums, batch, -0.1), "decay"),
    ):
        with pytest.raises(InvalidInput, match=message):
            ema_update(book, *arguments)
    with pytest.raises(InvalidInput, match="count"):
        ema_start(book, 0.0)
    g = torch.Generator()
    for x_, threshold, message in (
        (torch.zeros(5, 3), 1.0, "x: found shape"),
        (torch.zeros(0, 2), 1.0, "x: found shape"),
        (x, 0.0, "threshold"),
    ):
        with pytest.raises(InvalidInput, match=message):
            replace_dead(book, counts, sums, x_, threshold, g)


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
