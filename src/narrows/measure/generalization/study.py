"""Does a measure tell how large the gap between test and training loss is, over many nets?

Kawaguchi et al. (ICML 2023) train a grid of nets and correlate each measure with the gap. In such a
grid width or decay may drive both, so each correlation stands beside the partial one, within the
levels of the factors. Intervals are of the bootstrap over nets; nets that share a data set are not
independent, so they are too narrow if anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from narrows.errors import unknown, wrong, wrong_type
from narrows.measure.generalization.correlation import (
    Floats,
    kendall,
    levels,
    partial,
    pearson,
    ranks,
    signs,
)
from narrows.measure.generalization.study_table import Correlation, GapTable, Interval

FEWEST = 30  # nets for a correlation to be spoken of
STATISTICS = ("spearman", "pearson", "kendall", "partial")


class GapStudy:
    """Trained nets, one mapping each, and what their gap goes with.

    Args:
        runs: one mapping a net: measures, the target, and the factors that were varied. All have
            the same keys; measures and target are finite numbers.
        target: the key of the gap.
        factors: keys of what was varied; their values are levels, numbers too.

    Raises:
        InvalidInput: no net; nets with unlike keys; no factor of this name.
        InvalidType: nets that are no mappings.

    Example:
        >>> runs = [{"width": w, "size": w * 10.0, "gap": w + s / 9, "spread": float(-s)}
        ...         for w in (1, 2, 3) for s in range(10)]
        >>> study = GapStudy(runs, factors=["width"])
        >>> table = study.correlate(["spread", "size"], draws=200)
        >>> round(table["spread"].partial.value, 2), table["size"].partial.value
        (-1.0, nan)
    """

    def __init__(
        self,
        runs: Sequence[Mapping[str, Any]],
        target: str = "gap",
        factors: Sequence[str] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.runs = tuple(runs)
        if not self.runs:
            raise wrong("runs", "none", "at least one net")
        for i, run in enumerate(self.runs):
            if not isinstance(run, Mapping):
                raise wrong_type(f"run {i}", type(run).__name__, "a mapping")
            if set(run) != set(self.runs[0]):
                odd = sorted(set(run) ^ set(self.runs[0]), key=str)
                raise wrong(f"run {i}", f"not the keys of run 0: {odd}", "the same keys")
        self.target, self.factors, self.notes = target, tuple(factors), notes
        for name in (target, *factors):
            self._known(name)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        told = "".join(f"\n  note: {note}" for note in self.notes)
        return f"GapStudy({len(self)} nets, {self.target}, factors {self.factors}){told}"

    def __getitem__(self, name: str) -> Floats:
        """`(N,)` one measure.

        Raises:
            UnknownName: no such key.
            InvalidInput: a value that is no finite number.
        """
        self._known(name)
        values = [run[name] for run in self.runs]
        for i, value in enumerate(values):
            if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
                raise wrong(f"run {i}, {name!r}", repr(value), "a finite number")
        return np.array(values, dtype=np.float64)

    def where(self, why: str, keep: Callable[[Mapping[str, Any]], bool]) -> GapStudy:
        """The nets for which `keep` is true; `why` is written beside every result.

        Which nets to leave out is a choice that can make a correlation.

        Example:
            >>> study = GapStudy([{"gap": 0.1, "accuracy": a} for a in (0.5, 0.9)])
            >>> study.where("accuracy above 0.85", lambda run: run["accuracy"] > 0.85)
            GapStudy(1 nets, gap, factors ())
              note: accuracy above 0.85: 1 of 2 nets kept
        """
        kept = [run for run in self.runs if keep(run)]
        if not kept:
            raise wrong("keep", "no net for which it is true", "at least one")
        note = f"{why}: {len(kept)} of {len(self)} nets kept"
        return GapStudy(kept, self.target, self.factors, (*self.notes, note))

    def combine(self, name: str, first: str, second: str, k: float | None = None) -> GapStudy:
        """With one measure more, first + k second.

        Args:
            name: of the new measure.
            first: a measure.
            second: a measure.
            k: its weight. None takes the ratio of the two means over these nets, as the paper
                does: a scale fitted after the fact, so report k = 1 beside it.

        Raises:
            InvalidInput: a name that exists; a second measure of mean 0 where k is None.
        """
        if name in self.runs[0]:
            raise wrong("name", repr(name), "a name that no measure has")
        a, b = self[first], self[second]
        if k is None and b.mean() == 0:
            raise wrong(second, "a measure of mean 0", "one with a scale, or k")
        weight = float(a.mean() / b.mean()) if k is None else float(k)
        how = "fitted to these nets" if k is None else "given"
        note = f"{name} = {first} + {weight:.4g} {second}, {how}"
        runs = [{**run, name: float(v)} for run, v in zip(self.runs, a + weight * b, strict=True)]
        return GapStudy(runs, self.target, self.factors, (*self.notes, note))

    def correlate(
        self,
        measures: Sequence[str],
        *,
        given: Sequence[str] | None = None,
        draws: int = 1000,
        seed: int = 0,
    ) -> GapTable:
        """Spearman, Pearson and Kendall correlations with the target, and the partial one.

        Args:
            measures: keys.
            given: factors whose levels the partial correlation is taken within; those of the
                study by default. It is that of the ranks' remainders after a fit on the levels.
            draws: of the bootstrap over nets, 2 or more.
            seed: of the draws.

        Returns:
            One row a measure, each number with its 95 % interval; NaN for a measure that does
            not vary, or not within the factors.

        Raises:
            InvalidInput: fewer than 30 nets; a target that does not vary; values not finite.
            UnknownName: no such measure or factor.
        """
        weights, given = self._drawn(draws, seed), self.factors if given is None else tuple(given)
        rows = []
        for name in measures:
            found = self._statistics(name, given, weights)
            rows.append(Correlation(name, **{k: Interval.of(v) for k, v in found.items()}))
        return GapTable(tuple(rows), len(self), self.target, given, draws, seed, self.notes)

    def contrast(
        self,
        first: str,
        second: str,
        statistic: str = "spearman",
        *,
        given: Sequence[str] | None = None,
        draws: int = 1000,
        seed: int = 0,
    ) -> Interval:
        """How much better one measure correlates than another, drawn over the same nets.

        Args:
            first: a measure.
            second: a measure.
            statistic: spearman, pearson, kendall or partial.
            given: as for `correlate`.
            draws: as for `correlate`.
            seed: as for `correlate`.

        Returns:
            The difference of the two correlations and its 95 % interval.
        """
        if statistic not in STATISTICS:
            raise unknown("statistic", statistic, STATISTICS)
        weights, given = self._drawn(draws, seed), self.factors if given is None else tuple(given)
        a, b = (self._statistics(name, given, weights)[statistic] for name in (first, second))
        return Interval.of(a - b)

    def _drawn(self, draws: int, seed: int) -> Floats:
        """`(1 + draws, N)` how often each net is taken; the first row takes each once."""
        if len(self) < FEWEST:
            raise wrong("runs", f"{len(self)} nets", f"{FEWEST} or more for a correlation")
        if draws < 2:
            raise wrong("draws", draws, "2 or more")
        if np.ptp(self[self.target]) == 0:
            raise wrong(self.target, "one value for all nets", "a target that varies")
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(len(self), np.full(len(self), 1 / len(self)), size=draws)
        return np.concatenate([np.ones((1, len(self))), drawn.astype(np.float64)])

    def _statistics(self, name: str, given: Sequence[str], weights: Floats) -> dict[str, Floats]:
        x, y = self[name], self[self.target]
        sign_x, sign_y = signs(x), signs(y)
        rank_x, rank_y = ranks(weights, sign_x), ranks(weights, sign_y)
        found = {
            "spearman": pearson(weights, rank_x, rank_y),
            "pearson": pearson(weights, x, y),
            "kendall": kendall(weights, sign_x, sign_y),
            "partial": np.full(len(weights), np.nan),
        }
        if given:
            columns = [np.array([run[self._known(f)] for run in self.runs], object) for f in given]
            found["partial"] = partial(weights, rank_x, rank_y, levels(*columns))
        return found

    def _known(self, name: str) -> str:
        if name not in self.runs[0]:
            raise unknown("measure", name, self.runs[0])
        return name
