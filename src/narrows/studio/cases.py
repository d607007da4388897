"""The list of cases: filters, search, order, pages.

Everything that is asked of all rows is asked of arrays; only the rows of one page become values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import unknown, wrong, wrong_type
from narrows.studio.standing import Standing

FILTERS = ("all", "unsure", "wrong", "corrected", "noted")
SORTS = ("row", "margin", "corrections")
MOST = 1000  # rows of a page

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Query:
    """Which cases, in which order.

    Attributes:
        filter: `all`; `unsure`: the tenth of the rows with the smallest margins, one at least;
            `wrong`: against the known label; `corrected`; `noted`.
        label: only rows predicted as this class, or of it.
        search: only rows whose id, number, prediction or label contains this text.
        sort: `row`, `margin` (least sure first) or `corrections` (most first).
    """

    filter: str = "all"
    label: str | None = None
    search: str = ""
    sort: str = "row"

    def __post_init__(self) -> None:
        for what, value, known in (("filter", self.filter, FILTERS), ("sort", self.sort, SORTS)):
            if value not in known:
                raise unknown(what, value, known)
        if not isinstance(self.search, str):
            raise wrong_type("search", type(self.search).__name__, "a text")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The rows of a split as the list sees them.

    Attributes:
        split: its name.
        now: what the model says of each.
        truth: `(n,)` known classes, -1 where unknown.
        labels: the classes as texts.
        ids: one a row.
        haystack: one a row, in lower case: its id and number.
        corrections: row to how many units are corrected.
        noted: rows with a note.
    """

    split: str
    now: Standing
    truth: NDArray[np.int64]
    labels: Sequence[str]
    ids: Sequence[str]
    haystack: Sequence[str]
    corrections: Mapping[int, int]
    noted: frozenset[int]

    def rows(self, query: Query) -> Rows:
        """The numbers of the rows a query finds, in its order."""
        keep = self._filtered(query.filter)
        if query.label:
            keep &= self._of_class(query.label)
        if query.search.strip():
            keep &= self._containing(query.search.strip().lower())
        rows = np.flatnonzero(keep)
        if query.sort == "margin":
            return rows[np.argsort(self.now.margin[rows], kind="stable")]
        if query.sort == "corrections":
            counts = np.array([-self.corrections.get(row, 0) for row in rows.tolist()])
            return rows[np.argsort(counts, kind="stable")]
        return rows

    def page(self, query: Query, offset: int = 0, limit: int = 100) -> dict[str, Any]:
        """One page of a query as JSON values.

        Raises:
            InvalidInput: an offset below 0, or a limit outside 1 to 1000.
        """
        check_page(offset, limit)
        rows = self.rows(query)
        some = rows[offset : offset + limit].tolist()
        return {"total": len(rows), "offset": offset, "cases": [self.one(row) for row in some]}

    def one(self, row: int) -> dict[str, Any]:
        """One row as JSON values."""
        said, truth = int(self.now.prediction[row]), int(self.truth[row])
        sure, margin = float(self.now.probability[row]), float(self.now.margin[row])
        return {
            "split": self.split,
            "row": row,
            "id": self.ids[row],
            "prediction": self.labels[said] if said >= 0 else None,
            "probability": None if np.isnan(sure) else sure,
            "margin": None if np.isnan(margin) else margin,
            "truth": self.labels[truth] if truth >= 0 else None,
            "wrong": said != truth if truth >= 0 else None,
            "corrections": self.corrections.get(row, 0),
            "noted": row in self.noted,
        }

    def _filtered(self, name: str) -> NDArray[np.bool_]:
        count = len(self.now)
        if name == "wrong":
            return (self.truth >= 0) & (self.truth != self.now.prediction)
        if name == "all":
            return np.ones(count, dtype=bool)
        keep = np.zeros(count, dtype=bool)
        if name == "unsure":
            known = np.flatnonzero(~np.isnan(self.now.margin))
            order = known[np.argsort(self.now.margin[known], kind="stable")]
            keep[order[: -(-count // 10)]] = True
        else:
            keep[list(self.corrections if name == "corrected" else self.noted)] = True
        return keep

    def _of_class(self, label: str) -> NDArray[np.bool_]:
        if label not in self.labels:
            raise unknown("label", label, self.labels)
        place = self.labels.index(label)
        return (self.now.prediction == place) | (self.truth == place)

    def _containing(self, text: str) -> NDArray[np.bool_]:
        named = np.array([text in label.lower() for label in self.labels] + [False])
        own = np.fromiter((text in hay for hay in self.haystack), dtype=bool, count=len(self.ids))
        # -1 stands for no label and takes the False at the end.
        return own | named[self.now.prediction] | named[self.truth]


def check_page(offset: int, limit: int) -> None:
    """Refuse pages that cannot be."""
    for name, value, least, most in (("offset", offset, 0, 2**31), ("limit", limit, 1, MOST)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(name, value, f"a whole number from {least} to {most}")
