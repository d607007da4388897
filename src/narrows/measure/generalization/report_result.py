"""What a report of bottlenecks holds: one row a layer, with all that is needed to read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from narrows.errors import InvalidInput, unknown
from narrows.measure.generalization.bound import gap_surrogate
from narrows.measure.mi.result import MIResult


@dataclasses.dataclass(frozen=True)
class LayerBottleneck:
    """One layer.

    Attributes:
        layer: its name.
        width: columns of its output.
        noise: deviation of the noise it is imagined to have; the values are about this number.
        ordered: whether it keeps at least what the next layer keeps, as data processing asks.
        xz: I(X; Z).
        xz_given_y: I(X; Z | Y); None where no label was given.
        sensitivity: see `sensitivity`, in nats.
    """

    layer: str
    width: int
    noise: float
    ordered: bool
    xz: MIResult
    xz_given_y: MIResult | None
    sensitivity: float

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know of this layer's values."""
        notes = [] if self.ordered else ["keeps less than the next layer: noise out of order"]
        for name, told in (("I(X;Z)", self.xz), ("I(X;Z|Y)", self.xz_given_y)):
            notes += [f"{name} {note}" for note in (told.warnings if told else ())]
        return tuple(notes)


@dataclasses.dataclass(frozen=True, repr=False)
class BottleneckReport:
    """The degree of bottleneck of a trained net.

    Attributes:
        layers: from the input to the output.
        n: training rows.
        classes: how many; 1 where no label was given.
        rule: how the noise was set: auto, linear or given.
    """

    layers: tuple[LayerBottleneck, ...]
    n: int
    classes: int
    rule: str

    def __getitem__(self, layer: str) -> LayerBottleneck:
        for row in self.layers:
            if row.layer == layer:
                return row
        raise unknown("layer", layer, (row.layer for row in self.layers))

    def __iter__(self) -> Iterator[LayerBottleneck]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def to(self, units: str) -> BottleneckReport:
        """The same report in nats or bits."""
        rows = tuple(
            dataclasses.replace(
                row, xz=row.xz.to(units), xz_given_y=row.xz_given_y and row.xz_given_y.to(units)
            )
            for row in self.layers
        )
        return dataclasses.replace(self, layers=rows)

    def table(self) -> list[dict[str, Any]]:
        """One mapping a layer, as `pandas.DataFrame` takes them."""
        return [_row(row) for row in self.layers]

    def ingredients(self, theta: Mapping[str, MIResult] | None = None) -> list[dict[str, Any]]:
        """What the bound needs of each layer, as far as it can be measured.

        Args:
            theta: layer to I(S; theta) of the weights up to it (`model_information`).

        Returns:
            One mapping a layer: I(X;Z|Y) and I(S;theta) in nats (None where not given), rows,
            classes, sensitivity. The constants of the theorem are not among them.
        """
        known = self._theta(theta)
        return [
            {
                "layer": row.layer,
                "I(X;Z|Y)": row.xz_given_y and row.xz_given_y.to("nats").value,
                "I(S;theta)": known[row.layer].to("nats").value if row.layer in known else None,
                "n": self.n,
                "classes": self.classes,
                "sensitivity": row.sensitivity,
            }
            for row in self.layers
        ]

    def surrogate(self, theta: Mapping[str, MIResult] | None = None) -> MIResult:
        """The least over layers of sqrt((I(X; Z | Y) + I(S; theta)) / n): no bound.

        Args:
            theta: layer to I(S; theta). With it only its layers count.

        Raises:
            InvalidInput: a report without labels.
            UnknownName: a layer of `theta` that the report does not have.

        Example:
            >>> xz = MIResult(2.0, 0.0, "lower", "sandwich", 50)
            >>> row = LayerBottleneck("1", 3, 0.1, True, xz, xz, 0.5)
            >>> BottleneckReport((row,), 200, 2, "given").surrogate().kind
            'surrogate'
        """
        known = self._theta(theta)
        found = []
        for row in self.layers:
            if row.xz_given_y is None:
                raise InvalidInput("surrogate: found a report without labels, wanted I(X; Z | Y)")
            if not known or row.layer in known:
                told = gap_surrogate(row.xz_given_y, self.n, known.get(row.layer))
                found.append((told.value, row.layer, told))
        _, layer, least = min(found, key=lambda one: one[0])
        settings = {**least.settings, "layer": layer, "of layers": len(found)}
        return dataclasses.replace(least, settings=settings)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        rows = [
            {
                **{k: getattr(row, k) for k in ("layer", "width", "noise", "ordered")},
                "I(X;Z)": row.xz.to_dict(),
                "I(X;Z|Y)": row.xz_given_y and row.xz_given_y.to_dict(),
                "sensitivity": row.sensitivity,
                "flags": list(row.flags),
            }
            for row in self.layers
        ]
        return {"n": self.n, "classes": self.classes, "rule": self.rule, "layers": rows}

    def __repr__(self) -> str:
        columns = ("layer", "width", "noise", "I(X;Z)", "ceiling", "I(X;Z|Y)", "ceiling given y")
        rows = [[_shown(cell) for cell in map(row.get, columns)] for row in self.table()]
        wide = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        lines = [
            "  ".join(f"{v:<{w}}" for v, w in zip(line, wide, strict=True)).rstrip()
            for line in (columns, *rows)
        ]
        units = self.layers[0].xz.units
        head = f"{self.n:,} training rows, {units}, noise {self.rule}"
        notes = [f"note: layer {row.layer!r}: {flag}" for row in self.layers for flag in row.flags]
        return "\n".join([head, *lines, *notes])

    def _theta(self, theta: Mapping[str, MIResult] | None) -> Mapping[str, MIResult]:
        for layer in theta or {}:
            self[layer]
        return theta or {}


def _row(row: LayerBottleneck) -> dict[str, Any]:
    given = row.xz_given_y
    return {
        "layer": row.layer,
        "width": row.width,
        "noise": row.noise,
        "ordered": row.ordered,
        "I(X;Z)": row.xz.value,
        "stderr": row.xz.stderr,
        "ceiling": row.xz.ceiling,
        "references": row.xz.settings.get("references"),
        "I(X;Z|Y)": given and given.value,
        "stderr given y": given and given.stderr,
        "ceiling given y": given and given.ceiling,
        "sensitivity": row.sensitivity,
        "unit": row.xz.units,
        "flags": list(row.flags),
    }


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
