"""Two runs side by side: their numbers, and the cases on which they differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.report.measured import finite
from narrows.studio.cases import check_page
from narrows.studio.desk import Desk
from narrows.studio.model_page import ledger, measured


def compare(
    a: Desk, b: Desk, split: str = "test", offset: int = 0, limit: int = 200
) -> dict[str, Any]:
    """Compare two runs.

    Args:
        a: one run.
        b: another.
        split: whose cases are compared, where both have the same data.
        offset: of the cases on which they differ.
        limit: how many of them are given.

    Returns:
        `rows` of numbers by name, and `disagree` with the cases on which what they say now
        differs; where the data are not the same, a `reason` instead of cases.

    Raises:
        UnknownName: no such split.
    """
    check_page(offset, limit)
    numbers = [_numbers(desk) for desk in (a, b)]
    names = dict.fromkeys(name for own in numbers for name in own)
    rows = [{"name": n, "a": numbers[0].get(n), "b": numbers[1].get(n)} for n in names]
    found: dict[str, Any] = {"rows": rows, "disagree": _disagree(a, b, split, offset, limit)}
    plain: dict[str, Any] = finite(found)
    return plain


def _disagree(a: Desk, b: Desk, split: str, offset: int, limit: int) -> dict[str, Any]:
    prints = {desk.opened.record["data"]["fingerprint"] for desk in (a, b)}
    if len(prints) > 1:
        return {"total": 0, "cases": [], "reason": "The runs have other data: no case is in both."}
    lists = []
    for desk in (a, b):
        with desk.book.lock:
            desk.book.sync()
            now = desk.book.standing(split).prediction.copy()
            lists.append((desk.book.labels, now))
    (own, first), (other, second) = lists
    # Both number their classes themselves; what is compared is what is said.
    words = [np.array([*labels, ""], dtype=object) for labels in (own, other)]
    differs = np.flatnonzero(words[0][first] != words[1][second])
    truth, ids = a.book.truth(split), a.book.ids(split)
    cases = [
        {
            "row": row,
            "id": ids[row],
            "truth": own[truth[row]] if truth[row] >= 0 else None,
            "a": own[first[row]] if first[row] >= 0 else None,
            "b": other[second[row]] if second[row] >= 0 else None,
        }
        for row in differs[offset : offset + limit].tolist()
    ]
    return {"total": len(differs), "cases": cases}


def _numbers(desk: Desk) -> dict[str, str]:
    told = {"method": desk.opened.record["method"]["name"]}
    for table in (measured(desk.opened.metrics), *ledger(desk.opened.metrics)):
        told |= {row[0]: row[1] for row in table["rows"]}
    params = desk.opened.record["method"]["params"]
    return told | {f"setting {name}": str(value) for name, value in params.items()}
