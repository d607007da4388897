"""The information a noisy code keeps of its input, from the code's own densities.

For stochastic layers q(z|x) = N(mu(x), diag s(x)^2), as "How Does Information Bottleneck Help Deep
Learning?" (Kawaguchi, Deng, Ji, Huang; ICML 2023, arXiv 2305.18887) measures them. The released
code draws evaluation and reference rows with repetition, apart from each other; here the row's own
density is always among its references, which makes the marginal form a lower bound in expectation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import unknown, wrong
from narrows.measure.generalization.chance import own_source
from narrows.measure.generalization.densities import FORMS, checked_code, local_information
from narrows.measure.mi.result import MIResult
from narrows.measure.mi.samples import sample

_KINDS = {"marginal": "lower", "jensen": "upper"}
_AT, _NEAR = 0.05, 2.0  # nats below the ceiling: at it, and where the form is clearly too low


def sandwich_mi(
    mean: Tensor,
    std: Tensor | float,
    y: Any = None,
    *,
    form: str = "marginal",
    ref: int | None = None,
    shares: Sequence[float] | None = None,
    draws: int = 1,
    seed: int = 0,
    units: str = "nats",
) -> MIResult:
    """I(X; Z), or I(X; Z | Y), of a code Z ~ N(mean(x), diag std(x)^2).

    `marginal` bounds the information from below and cannot pass log M, M the references; where
    the truth is not at least 2 nats below that, the value is clearly too low. `jensen` has no
    ceiling; for X uniform over the references it bounds from above, and it is (M - 1) / M of the
    population's bound. Pairs of rows far apart rule it, and it grows with the number of columns:
    do not compare it across widths.

    Args:
        mean: `(N, d)` one code a row.
        std: `(N, d)` or what broadcasts to it, a number too: for a deterministic layer the
            deviation of the noise that it is imagined to have.
        y: `(N,)` labels; then the information within each class, weighted by its share.
        form: marginal or jensen.
        ref: reference rows, drawn at random (within each class); all by default.
        shares: p(y) of the sorted labels, where the rows are not in proportion; their shares of
            the rows by default.
        draws: codes drawn for each row.
        seed: of codes and references.
        units: nats or bits.

    Returns:
        A result whose settings hold the references M, and the least, median and largest deviation.
        Memory: `N d` float64 a few times, and pieces of 32 MB.

    Raises:
        InvalidInput: shapes that do not fit, values that are not finite, deviations not above 0,
            a class with fewer than 2 rows, fewer than 2 references, no draw.
        UnknownName: another form.

    Example:
        >>> x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))
        >>> found = sandwich_mi(x, 0.5)  # the truth is log(5) / 2 = 0.805
        >>> round(found.value, 1), round(found.ceiling, 2), found.kind
        (0.8, 7.6, 'lower')
    """
    code, spread = checked_code(mean, std)
    _check(form, ref, draws)
    generator = own_source(seed)
    noise = torch.randn(draws, *code.shape, generator=generator, dtype=torch.float64)
    noise = noise.to(code.device)
    parts = [torch.arange(len(code))] if y is None else classes_of(y, len(code))
    weights = _weights(parts, shares)
    found = [_one(code[r], spread[r], noise[:, r], form, ref, generator) for r in parts]
    return _joined(found, weights, spread, form, draws, seed, given_y=y is not None).to(units)


def classes_of(y: Any, rows: int) -> list[Tensor]:
    """The rows of each class, in the order of the sorted labels.

    Raises:
        InvalidInput: not one label a row; a class with fewer than 2 rows.

    Example:
        >>> classes_of(["b", "a", "b", "a"], 4)
        [tensor([1, 3]), tensor([0, 2])]
    """
    labels = sample("y", y, "discrete")[:, 0] if len(np.shape(y)) == 1 else np.empty(0)
    if len(labels) != rows:
        raise wrong("y", f"shape {np.shape(y)}", f"one label for each of {rows} rows")
    found = []
    for code in np.unique(labels):
        of = np.flatnonzero(labels == code)
        if len(of) < 2:
            label = np.asarray(y)[of[0]].item()
            raise wrong("y", f"class {label!r} with {len(of)} row", "2 rows or more of each class")
        found.append(torch.from_numpy(of))
    return found


def _joined(
    parts: list[tuple[Tensor, int]],
    weights: list[float],
    std: Tensor,
    form: str,
    draws: int,
    seed: int,
    *,
    given_y: bool,
) -> MIResult:
    """One result of local values and references a class, and the classes' weights."""
    rows = sum(len(local) for local, _ in parts)
    share = torch.tensor(weights, dtype=torch.float64)
    values = torch.stack([local.mean() for local, _ in parts]).cpu()
    errors = torch.stack([local.std() / math.sqrt(len(local)) for local, _ in parts]).cpu()
    counts = [count for _, count in parts]
    top = float(share @ torch.tensor(counts, dtype=torch.float64).log())
    value = float(share @ values)
    references: Any = counts if len(set(counts)) > 1 else counts[0]
    return MIResult(
        value,
        float((share * errors).square().sum().sqrt()),
        _KINDS[form],
        "sandwich, given y" if given_y else "sandwich",
        rows,
        ceiling=top if form == "marginal" else math.inf,
        warnings=_notes(value, top, form),
        settings={
            "form": form,
            "references": references,
            "deviation": _spread(std),
            "draws": draws,
            "seed": seed,
        },
    )


def _one(
    mean: Tensor, std: Tensor, noise: Tensor, form: str, ref: int | None, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Local values, mean over draws, and how many references each row had."""
    count = len(mean) if ref is None else min(ref, len(mean))
    chosen = torch.randperm(len(mean), generator=generator)[:count].to(mean.device)
    total = torch.zeros(len(mean), dtype=torch.float64, device=mean.device)
    for draw in noise:
        total += local_information(mean, std, draw, form, chosen)
    return total / len(noise), count


def _notes(value: float, top: float, form: str) -> tuple[str, ...]:
    if form == "jensen":
        if value <= top:
            return ()
        return (f"above log M = {top:.2f} nats: the mean of logarithms is ruled by far pairs",)
    if value > top - _AT:
        return (f"{value:.2f} nats is the ceiling log M = {top:.2f}: a limit, not a finding",)
    if value > top - _NEAR:
        return (f"within 2 nats of the ceiling log M = {top:.2f}: too low; take more rows",)
    return ()


def _spread(std: Tensor) -> float | list[float]:
    """The deviation; or its least, median and largest value."""
    low, high = float(std.min()), float(std.max())
    return low if low == high else [low, float(std.median()), high]


def _weights(parts: list[Tensor], shares: Sequence[float] | None) -> list[float]:
    if shares is None:
        whole = sum(len(rows) for rows in parts)
        return [len(rows) / whole for rows in parts]
    fine = all(share >= 0 for share in shares) and math.isclose(sum(shares), 1, rel_tol=1e-6)
    if len(shares) != len(parts) or not fine:
        wanted = f"{len(parts)} numbers, 0 or more, that add to 1"
        raise wrong("shares", list(shares), wanted)
    return list(shares)


def _check(form: str, ref: int | None, draws: int) -> None:
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    if ref is not None and ref < 2:
        raise wrong("ref", ref, "2 references or more")
    if draws < 1:
        raise wrong("draws", draws, "at least 1")
