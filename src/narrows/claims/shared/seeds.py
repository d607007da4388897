"""One measurement a seed, gathered; what every claim file shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from narrows.claims.claim import Claim, Evidence

Values = dict[str, list[float]]
Rows = dict[str, dict[str, list[float]]]


def over_seeds(
    one_seed: Callable[[int, Any, Any], None], seeds: int, data: str, first: int = 1
) -> Evidence:
    """Evidence of several trainings.

    Args:
        one_seed: measures one seed and appends to `values[claim]` and `rows[row][column]`.
        seeds: how many.
        data: what was trained on, in words.
        first: the first seed. Rows are set up while seed 0 is looked at, so the claims are
            measured on others.
    """
    values: Values = defaultdict(list)
    rows: Rows = defaultdict(lambda: defaultdict(list))
    for seed in range(first, first + seeds):
        one_seed(seed, values, rows)
    return Evidence(values, rows, data)


def untested(claims: Sequence[Claim], why: str) -> Evidence:
    """Evidence of nothing, for the same reason everywhere."""
    reasons: Mapping[str, str] = dict.fromkeys((claim.key for claim in claims), why)
    return Evidence({}, {}, "no data", reasons)
