"""Do items lie nearer to their category's name the more typical people find them?

Spearman's correlation of cosine(item, category) with ratings of typicality. Scales run either
way: in Rosch (1973, 1975) 1 is the best example, in McCloskey and Glucksberg (1978) 10 is. Pooled
without turning one of them over, the correlations cancel; so the direction must be said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.partition.checks import Z95, Floats, Ints, codes, vectors, whole
from narrows.measure.partition.checks import ratings as checked_ratings

_LEAST = 3  # items of a category that give a correlation


@dataclasses.dataclass(frozen=True, repr=False)
class TypicalityAlignment:
    """How similarity to a category follows typicality.

    Attributes:
        rho: Spearman's correlation, positive where typical items lie nearer; with
            `within="category"` the mean over categories.
        interval: 95 %, over which items there are within each category (or in all).
        per_category: each category's own correlation; empty where all items are pooled.
        skipped: category to why it has no correlation.
        n: how many items were used.
        settings: what was used, the direction of the scale included.
    """

    rho: float
    interval: tuple[float, float]
    per_category: Mapping[str, float]
    skipped: Mapping[str, str]
    n: int
    settings: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self) | {"interval": list(self.interval)}

    def __repr__(self) -> str:
        low, high = self.interval
        of = f", mean of {len(self.per_category)} categories" if self.per_category else ""
        best = "high" if self.settings["higher_is_typical"] else "low"
        notes = "".join(f"\n  note: {name} left out: {why}" for name, why in self.skipped.items())
        head = f"rho {self.rho:.3f} ({low:.3f} to {high:.3f}), {self.n:,} items{of}"
        return f"{head}; {best} ratings are typical{notes}"


def typicality_alignment(
    E: Any,
    E_category: Any,
    ratings: Any,
    *,
    higher_is_typical: bool,
    within: str | None = None,
    categories: Any = None,
    draws: int = 1000,
    seed: int = 0,
) -> TypicalityAlignment:
    """Correlate cosine similarity to the category with human typicality.

    Args:
        E: `(n, d)` one vector an item.
        E_category: what stands for each item's category: `(n, d)`, a row an item; a mapping from
            category to its vector `(d,)`; or None for the mean of the category's other items.
            The last two need `categories`. Embed a category's name in the template of the items.
        ratings: `(n,)` typicality.
        higher_is_typical: whether high ratings mean typical.
        within: `category` for the mean of each category's own correlation, None to pool all.
        categories: `(n,)` numbers or texts.
        draws: of the bootstrap over items, at least 2.
        seed: of the draws.

    Raises:
        InvalidType: a direction that is no bool; no numbers.
        UnknownName: a mapping that lacks a category.
        InvalidInput: other lengths; NaN, infinite or all-zero vectors; categories missing where
            they are needed; no category (or no table) with 3 items and ratings that differ.

    Example:
        >>> items = [[1.0, 0.0], [1.0, 0.5], [1.0, 1.0], [1.0, 2.0]]
        >>> found = typicality_alignment(items, {"bird": [1.0, 0.0]}, [1.0, 2.0, 3.0, 4.0],
        ...                              higher_is_typical=False, categories=["bird"] * 4)
        >>> round(found.rho, 6)
        1.0
    """
    e = vectors("E", E)
    if not isinstance(higher_is_typical, (bool, np.bool_)):
        raise wrong_type("higher_is_typical", type(higher_is_typical).__name__, "True or False")
    if within not in ("category", None):
        raise wrong("within", repr(within), "'category' or None")
    rated = checked_ratings("ratings", ratings, len(e))
    whole("draws", draws, 2)
    whole("seed", seed, 0)
    needed = within == "category" or E_category is None or isinstance(E_category, Mapping)
    if categories is None and needed:
        raise wrong("categories", None, "one category for each item")
    c, known = (np.zeros(len(e), np.int64), ("",)) if categories is None else codes(
        "categories", categories, len(e)
    )  # fmt: skip
    nearness = _cosine(e, _anchors(e, E_category, c, known))
    typical = rated if higher_is_typical else -rated
    parts = [np.flatnonzero(c == i) for i in range(len(known))]
    parts, names = (parts, [str(name) for name in known]) if within else ([np.arange(len(e))], [""])
    skipped = {name: why for name, rows in zip(names, parts, strict=True)
               if (why := _why_not(nearness[rows], typical[rows]))}  # fmt: skip
    used = {n: rows for n, rows in zip(names, parts, strict=True) if n not in skipped}
    if not used:
        why = next(iter(skipped.values()))
        raise wrong("ratings", why, f"{_LEAST} items or more whose ratings and vectors differ")
    rng = np.random.default_rng(seed)
    own = {n: float(_spearman(nearness[rows], typical[rows])) for n, rows in used.items()}
    drawn = np.mean(
        [_bootstrap(nearness[rows], typical[rows], draws, rng) for rows in used.values()], axis=0
    )
    rho, wide = float(np.mean(list(own.values()))), Z95 * float(drawn.std(ddof=1))
    return TypicalityAlignment(
        rho=rho,
        interval=(rho - wide, rho + wide),
        per_category=own if within else {},
        skipped=skipped,
        n=sum(map(len, used.values())),
        settings={
            "higher_is_typical": bool(higher_is_typical),
            "within": within,
            "draws": draws,
            "seed": seed,
        },
    )


def _anchors(e: Floats, given: Any, c: Ints, known: tuple[Any, ...]) -> Floats:
    """`(n, d)` what stands for the category of each item."""
    if given is None:
        return _others(e, c, known)
    if not isinstance(given, Mapping):
        found = vectors("E_category", given, len(e))
    else:
        lacking = [name for name in known if name not in given]
        if lacking:
            raise unknown("category", lacking[0], map(str, given))
        table = np.stack([np.asarray(given[name], dtype=np.float64).reshape(-1) for name in known])
        found = vectors("E_category", table)[c]
    if found.shape[1] != e.shape[1]:
        raise wrong("E_category", f"{found.shape[1]} dimensions", f"{e.shape[1]}, as E has")
    return found


def _others(e: Floats, c: Ints, known: tuple[Any, ...]) -> Floats:
    """The mean of the category's other items."""
    sums = np.zeros((len(known), e.shape[1]))
    np.add.at(sums, c, e)
    size = np.bincount(c)
    if (size < 2).any():
        name = known[int(np.flatnonzero(size < 2)[0])]
        raise wrong("categories", f"{name!r} with one item", "2 or more where E_category is None")
    others: Floats = (sums[c] - e) / (size[c] - 1)[:, None]
    if not others.any(1).all():
        raise wrong("E", "a category whose other items cancel out", "E_category, given")
    return others


def _cosine(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)))


def _why_not(x: Floats, y: Floats) -> str:
    if len(x) < _LEAST:
        return f"{len(x)} items"
    if np.ptp(y) == 0:
        return "ratings that are all equal"
    return "similarities that are all equal" if np.ptp(x) == 0 else ""


def _spearman(x: Floats, y: Floats) -> Floats:
    """Over the last axis; NaN where one side is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(v, axis=-1) for v in (x, y))
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    scale = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(-1) / scale)


def _bootstrap(x: Floats, y: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """`(draws,)` correlations of items drawn again; a draw of equal ratings has none, 0."""
    rows = rng.integers(len(x), size=(draws, len(x)))
    return np.nan_to_num(_spearman(x[rows], y[rows]))
