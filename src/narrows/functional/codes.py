"""Nearest-code search and the moving averages that train a codebook.

    nearest   argmin_j |x - e_j|^2  =  argmax_j  x . e_j - |e_j|^2 / 2
    averages  n_j <- g n_j + (1 - g) count_j      m_j <- g m_j + (1 - g) sum of the x nearest to j
              e_j = m_j / n~_j,   n~_j = (n_j + eps) / (sum n + C eps) * sum n   (Laplace)

The averages are those of van den Oord, Vinyals and Kavukcuoglu (arXiv:1711.00937, appendix A.1).
Everything takes one codebook `(C, D)` with inputs `(N, D)`, or one per head, `(H, C, D)` with
`(H, N, D)`. All functions return new tensors and change none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type

_TILE = 2**21  # scores held at a time: 8 MB in float32


def nearest_code(x: Tensor, codebook: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Index of the nearest code of each input; of equally near ones the lowest.

    Computed in float32, or float64 for float64 inputs, and right up to that rounding: squared
    distances that differ by less than about 1e-6 of `|x|^2 + |e|^2` may change places.

    Memory: two million scores at a time (more only for over 2^17 codes), never all `N x C`.

    Args:
        x: `(N, D)` or `(H, N, D)`, finite.
        codebook: `(C, D)` or `(H, C, D)`, finite.
        allowed: bool `(C,)` or `(H, C)`, codes that may be chosen; None is all.

    Returns:
        `(N,)` or `(H, N)` int64; -1 where no code is allowed.

    Raises:
        InvalidInput: shapes that do not fit, no codes, NaN or infinite values.
        InvalidType: not floating point, or `allowed` not bool.

    Example:
        >>> codebook = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> nearest_code(torch.tensor([[0.2, 0.1], [0.9, 2.0], [0.5, 0.5]]), codebook)
        tensor([0, 1, 0])
    """
    x, codebook = x.detach(), codebook.detach()
    _check(x, codebook, allowed)
    if x.ndim == 2:
        mask = None if allowed is None else allowed[None]
        return nearest_code(x[None], codebook[None], mask)[0]
    heads, n, dim = x.shape
    codes = codebook.shape[1]
    dtype = torch.promote_types(torch.promote_types(x.dtype, codebook.dtype), torch.float32)
    codebook = codebook.to(dtype)
    bias = codebook.square().sum(2, keepdim=True) / -2
    first = _first_of_equal(codebook, bias[..., 0], allowed)
    if allowed is not None:
        bias = bias.masked_fill(~allowed[..., None], -torch.inf)
    # A one behind each input makes the bias part of the product: no second pass over scores.
    columns = torch.cat([codebook, bias], 2).mT
    rows = max(1, min(n, max(16, _TILE // codes)))
    together = max(1, min(heads, _TILE // (codes * rows)))
    inputs = columns.new_ones(together, rows, dim + 1)
    scores = columns.new_empty(together * rows * codes)
    indices = torch.empty(heads, n, dtype=torch.int64, device=x.device)
    for h in range(0, heads, together):
        for i in range(0, n, rows):
            part = x[h : h + together, i : i + rows]
            k, r = part.shape[:2]
            inputs[:k, :r, :dim] = part
            tile = scores[: k * r * codes].view(k, r, codes)
            torch.bmm(inputs[:k, :r], columns[h : h + k], out=tile)
            indices[h : h + k, i : i + r] = _argmax(tile)
    if first is not None:
        indices = first.gather(1, indices)
    if allowed is not None:
        indices = indices.masked_fill(~allowed.any(1, keepdim=True), -1)
    return indices


def code_sums(x: Tensor, indices: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many inputs chose each code, and their sums; processes add these up before an update.

    Args:
        x: `(N, D)` or `(H, N, D)`.
        indices: `(N,)` or `(H, N)` in [0, codes).
        codes: size of the codebook.

    Returns:
        Counts `(C,)` or `(H, C)` and sums `(C, D)` or `(H, C, D)`, float32 at least.

    Raises:
        InvalidInput: indices of another shape or range.

    Example:
        >>> x = torch.tensor([[1.0], [2.0], [5.0]])
        >>> counts, sums = code_sums(x, torch.tensor([0, 0, 2]), codes=3)
        >>> counts.tolist(), sums.flatten().tolist()
        ([2.0, 0.0, 1.0], [3.0, 0.0, 5.0])
    """
    if indices.shape != x.shape[:-1]:
        raise wrong("indices", f"shape {tuple(indices.shape)}", f"shape {tuple(x.shape[:-1])}")
    if indices.numel() and not (indices.min() >= 0 and indices.max() < codes):
        found = f"values in [{indices.min()}, {indices.max()}]"
        raise wrong("indices", found, f"values in [0, {codes})")
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    lead = x.shape[:-2]
    place = torch.arange(lead.numel(), device=x.device).reshape(*lead, 1) * codes
    flat = (indices + place).flatten()
    counts = torch.bincount(flat, minlength=lead.numel() * codes).to(x.dtype)
    sums = x.new_zeros(len(counts), x.shape[-1]).index_add_(0, flat, x.flatten(0, -2))
    return counts.reshape(*lead, codes), sums.reshape(*lead, codes, -1)


def ema_start(codebook: Tensor, count: float = 1.0) -> tuple[Tensor, Tensor]:
    """Averages that give back `codebook`: counts `n = count`, sums `m = n e`.

    Starting the sums from anything else makes the first update overwrite the codes.

    Args:
        codebook: `(C, D)` or `(H, C, D)`.
        count: how many inputs each code stands for, above 0.

    Example:
        >>> counts, sums = ema_start(torch.tensor([[3.0]]), count=2)
        >>> counts.item(), sums.item()
        (2.0, 6.0)
    """
    if not 0 < count < float("inf"):
        raise wrong("count", count, "a finite number above 0")
    codebook = codebook.detach()
    return torch.full_like(codebook[..., 0], count), codebook * count


def ema_update(
    codebook: Tensor,
    counts: Tensor,
    sums: Tensor,
    batch: tuple[Tensor, Tensor],
    decay: float,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the moving averages.

    Args:
        codebook: `(*H, C, D)`; kept only where a code's average count is 0.
        counts: `(*H, C)` averages so far, see `ema_start`.
        sums: `(*H, C, D)` likewise.
        batch: counts and sums of the new inputs, from `code_sums`.
        decay: g in [0, 1). With 0 and `epsilon` 0 the codes are the exact means of the batch.
        epsilon: of the Laplace smoothing, at least 0.

    Returns:
        New codebook, counts and sums.

    Raises:
        InvalidInput: values or shapes other than these.

    Example:
        >>> codebook = torch.tensor([[0.0], [9.0]])
        >>> batch = code_sums(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 0]), 2)
        >>> new, _, _ = ema_update(codebook, *ema_start(codebook), batch, decay=0.0, epsilon=0.0)
        >>> new.flatten().tolist()
        [1.5, 9.0]
    """
    if not 0 <= decay < 1:
        raise wrong("decay", decay, "a number in [0, 1)")
    if not 0 <= epsilon < float("inf"):
        raise wrong("epsilon", epsilon, "a finite number >= 0")
    for name, value, like in (
        ("counts", counts, codebook[..., 0]),
        ("sums", sums, codebook),
        ("batch counts", batch[0], counts),
        ("batch sums", batch[1], sums),
    ):
        if value.shape != like.shape:
            raise wrong(name, f"shape {tuple(value.shape)}", f"shape {tuple(like.shape)}")
    counts = torch.lerp(batch[0].to(counts), counts, decay)
    sums = torch.lerp(batch[1].to(sums), sums, decay)
    total = counts.sum(-1, keepdim=True)
    smooth = (counts + epsilon) * (total / (total + counts.shape[-1] * epsilon))
    used = counts > torch.finfo(counts.dtype).tiny
    means = sums / torch.where(used, smooth, 1.0)[..., None]
    return torch.where(used[..., None], means, codebook.detach()), counts, sums


def replace_dead(
    codebook: Tensor,
    counts: Tensor,
    sums: Tensor,
    x: Tensor,
    threshold: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put codes that are hardly used in the place of random inputs.

    A replaced code starts with `threshold` as its count, and sums to match. With several
    processes all need the same `x` and generator state.

    Args:
        codebook: `(*H, C, D)`.
        counts: `(*H, C)` average counts.
        sums: `(*H, C, D)`.
        x: `(*H, N, D)` inputs to draw from, without repetition where there are enough.
        threshold: codes with a count below it are replaced.
        generator: on the device of `x`.

    Returns:
        New codebook, counts and sums, and which codes were replaced, bool `(*H, C)`.

    Raises:
        InvalidInput: shapes that do not fit, or no inputs.

    Example:
        >>> codebook = torch.tensor([[0.0], [9.0]])
        >>> counts, sums = torch.tensor([5.0, 0.0]), torch.tensor([[0.0], [0.0]])
        >>> x, generator = torch.tensor([[4.0]]), torch.Generator().manual_seed(0)
        >>> new, counts, sums, dead = replace_dead(codebook, counts, sums, x, 1.0, generator)
        >>> new.flatten().tolist(), counts.tolist(), dead.tolist()
        ([0.0, 4.0], [5.0, 1.0], [False, True])
    """
    if x.shape[:-2] != codebook.shape[:-2] or x.shape[-1] != codebook.shape[-1] or not x.shape[-2]:
        lead, dim = tuple(codebook.shape[:-2]), codebook.shape[-1]
        raise wrong("x", f"shape {tuple(x.shape)}", _shape(*lead, "N >= 1", dim))
    if not 0 < threshold < float("inf"):
        raise wrong("threshold", threshold, "a finite number above 0")
    dead = counts < threshold
    count, dim = codebook.shape[-2:]
    rank = (dead.cumsum(-1) - 1).reshape(-1, count) % x.shape[-2]
    order = torch.rand(len(rank), x.shape[-2], generator=generator, device=x.device).argsort(1)
    drawn = order.gather(1, rank.clamp(min=0))[..., None].expand(-1, -1, dim)
    fresh = x.detach().reshape(len(rank), -1, dim).gather(1, drawn).reshape(codebook.shape)
    fresh = fresh.to(codebook.dtype)
    return (
        torch.where(dead[..., None], fresh, codebook.detach()),
        torch.where(dead, threshold, counts),
        torch.where(dead[..., None], threshold * fresh.to(sums.dtype), sums),
        dead,
    )


def _check(x: Tensor, codebook: Tensor, allowed: Tensor | None) -> None:
    for name, value in (("x", x), ("codebook", codebook)):
        if not value.is_floating_point():
            raise wrong_type(name, value.dtype, "a floating point dtype")
    lead, shape = x.shape[:-2], tuple(codebook.shape)
    if x.ndim not in (2, 3) or x.shape[-1] == 0:
        raise wrong("x", f"shape {tuple(x.shape)}", "shape (N, D) or (heads, N, D), D >= 1")
    if shape[:-2] != lead or shape[-1:] != x.shape[-1:] or codebook.shape[-2] == 0:
        raise wrong("codebook", f"shape {shape}", _shape(*lead, "C >= 1", x.shape[-1]))
    if allowed is not None and allowed.dtype != torch.bool:
        raise wrong_type("allowed", allowed.dtype, "bool")
    if allowed is not None and allowed.shape != codebook.shape[:-1]:
        raise wrong("allowed", f"shape {tuple(allowed.shape)}", f"shape {shape[:-1]}")
    for name, value in (("x", x), ("codebook", codebook)):
        # NaN and infinity survive a sum, and a sum is one cheap pass.
        if not value.sum(dtype=torch.promote_types(value.dtype, torch.float32)).isfinite():
            raise wrong(name, "NaN, infinite or overflowing values", "finite values")


def _shape(*sizes: int | str) -> str:
    return f"shape ({', '.join(map(str, sizes))})"


def _argmax(scores: Tensor) -> Tensor:
    """First place of the greatest value in each row."""
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    # numpy's arg-max is vectorised and over ten times as fast as torch's on a CPU.
    return torch.from_numpy(scores.numpy().argmax(-1))


def _first_of_equal(codebook: Tensor, bias: Tensor, allowed: Tensor | None) -> Tensor | None:
    """For each code the lowest allowed one equal to it, `(H, C)`; None where all differ.

    A matrix product may round equal columns differently, so arg-max alone can't tell.
    """
    order = bias.argsort(1)
    ranked = bias.gather(1, order)
    # Equal codes have equal norms, so only codes that share theirs with another are compared.
    twin = torch.nn.functional.pad(ranked[:, 1:] == ranked[:, :-1], (1, 1))
    suspect = torch.zeros_like(twin[:, 1:]).scatter_(1, order, twin[:, 1:] | twin[:, :-1])
    if allowed is not None:
        suspect &= allowed
    head, code = suspect.nonzero(as_tuple=True)
    if not len(head):
        return None
    rows = torch.cat([head[:, None].to(codebook.dtype), codebook[head, code]], 1)
    _, group = rows.unique(dim=0, return_inverse=True)
    lowest = code.new_full((len(head),), bias.shape[1]).scatter_reduce_(0, group, code, "amin")
    result = torch.arange(bias.shape[1], device=bias.device).repeat(len(bias), 1)
    result[head, code] = lowest[group]
    return result
