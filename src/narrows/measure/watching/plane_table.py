"""What an information plane holds: one row an epoch, layer and estimator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from narrows.errors import unknown, wrong

COLUMNS = ("epoch", "layer", "estimator", "I(X;T)", "I(T;Y)", "unit")
PER_UNIT = {"nats": 1.0, "bits": 1 / math.log(2)}


@dataclasses.dataclass(frozen=True)
class PlaneRow:
    """One layer at one epoch by one estimator, in nats."""

    epoch: int
    layer: str
    estimator: str
    xt: float
    ty: float
    ceiling: float
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Compression:
    """What became of I(X;T) after its maximum, for one layer by one estimator.

    Attributes:
        layer: the layer.
        estimator: by which it was measured; a loss is a property of both.
        most: largest I(X;T), in the table's unit.
        at: epoch of that maximum.
        final: I(X;T) at the last epoch.
        ty: I(T;Y) at the last epoch.
        share: of the epochs that lie after the maximum.
        unit: nats or bits.
    """

    layer: str
    estimator: str
    most: float
    at: int
    final: float
    ty: float
    share: float
    unit: str

    @property
    def loss(self) -> float:
        """How much of I(X;T) went away after its maximum."""
        return self.most - self.final


class PlaneTable:
    """The rows of a plane in one unit.

    It can be gone through row by row (mappings, as `pandas.DataFrame(list(table))` takes them)
    and asked for columns by name.

    Example:
        >>> table = PlaneTable([PlaneRow(0, "1", "bins", math.log(2), 0.0, math.log(8))], "bits")
        >>> table["I(X;T)"], len(table), table[0]["unit"]
        ([1.0], 1, 'bits')
    """

    columns = COLUMNS

    def __init__(self, rows: Sequence[PlaneRow], unit: str = "nats") -> None:
        if unit not in PER_UNIT:
            raise wrong("unit", repr(unit), "'nats' or 'bits'")
        self.unit, self._rows = unit, tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self._row, self._rows)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, int):
            return self._row(self._rows[key])
        if key not in COLUMNS:
            raise unknown("column", key, COLUMNS)
        return [row[key] for row in self]

    def to(self, unit: str) -> PlaneTable:
        """The same rows in nats or bits."""
        return PlaneTable(self._rows, unit)

    def where(self, layer: str | None = None, estimator: str | None = None) -> PlaneTable:
        """The rows of one layer, of one estimator, or of both."""
        return PlaneTable(
            [
                row
                for row in self._rows
                if layer in (None, row.layer) and estimator in (None, row.estimator)
            ],
            self.unit,
        )

    def compression(self) -> tuple[Compression, ...]:
        """For each layer and estimator, how far I(X;T) fell from its maximum."""
        return tuple(map(self._fall, self._series().values()))

    def violations(self, tolerance: float = 0.01) -> tuple[dict[str, Any], ...]:
        """Where a deeper layer seems to know more of the input than the layer before it.

        That cannot be: what it has passed through that layer. It is possible for binned and
        noisy estimates of single layers, as each has cells or noise of its own, and it shows
        how far they are from one another's scale. Layers count in the order they were named in.

        Args:
            tolerance: in nats, what is let pass.
        """
        last: dict[tuple[int, str], PlaneRow] = {}
        found = []
        for row in self._rows:
            before = last.get((row.epoch, row.estimator))
            if before is not None and row.xt > before.xt + tolerance:
                by = (row.xt - before.xt) * PER_UNIT[self.unit]
                found.append(
                    {"epoch": row.epoch, "estimator": row.estimator, "by": by}
                    | {"layers": (before.layer, row.layer), "unit": self.unit}
                )
            last[row.epoch, row.estimator] = row
        return tuple(found)

    def warnings(self) -> dict[tuple[str, str], str]:
        """Layer and estimator to its notes and how many epochs they concern."""
        found = {}
        for key, rows in self._series().items():
            noted = [row.warnings[0] for row in rows if row.warnings]
            if noted:
                found[key] = f"{noted[-1]} ({len(noted)} of {len(rows)} epochs)"
        return found

    def __str__(self) -> str:
        shown = [[str(row[c]) if c not in COLUMNS[3:5] else f"{row[c]:.3f}" for c in COLUMNS]
                 for row in self]  # fmt: skip
        wide = [max(map(len, column)) for column in zip(COLUMNS, *shown, strict=True)]
        lines = ["  ".join(f"{v:<{w}}" for v, w in zip(r, wide, strict=True)).rstrip()
                 for r in [COLUMNS, *shown]]  # fmt: skip
        notes = [f"note: {e}, layer {n}: {t}" for (n, e), t in self.warnings().items()]
        return "\n".join(lines + notes)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        notes = [{"layer": n, "estimator": e, "note": t} for (n, e), t in self.warnings().items()]
        return {"columns": list(COLUMNS), "rows": list(self), "notes": notes}

    def _row(self, row: PlaneRow) -> dict[str, Any]:
        by = PER_UNIT[self.unit]
        values = (row.epoch, row.layer, row.estimator, row.xt * by, row.ty * by, self.unit)
        return dict(zip(COLUMNS, values, strict=True))

    def _series(self) -> dict[tuple[str, str], list[PlaneRow]]:
        found: dict[tuple[str, str], list[PlaneRow]] = {}
        for row in self._rows:
            found.setdefault((row.layer, row.estimator), []).append(row)
        return found

    def _fall(self, rows: list[PlaneRow]) -> Compression:
        by, top, last = PER_UNIT[self.unit], max(rows, key=lambda r: r.xt), rows[-1]
        span = last.epoch - rows[0].epoch
        share = (last.epoch - top.epoch) / span if span else 0.0
        return Compression(
            last.layer, last.estimator, top.xt * by, top.epoch, last.xt * by, last.ty * by, share,
            self.unit,
        )  # fmt: skip
