"""Put methods on one plane: accuracy, bits, readability, cost.

Every table holds the black box, a random bottleneck and chance. Each row is trained once a seed;
every number is measured on the test rows, and nothing is chosen by them.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sklearn.base import clone

from narrows import cost, measure, store
from narrows.baselines import BlackBox, Chance, RandomBottleneck
from narrows.data import Dataset, load
from narrows.errors import wrong, wrong_type
from narrows.method import Method

if TYPE_CHECKING:
    from narrows.measure import InterventionCurve

CORRECTIONS = (1, 2, 5)
_TIMED = 256  # rows a batch when models are timed side by side
_BASELINES: tuple[type[Method], ...] = (BlackBox, RandomBottleneck, Chance)  # in every table
_STACKED = 3  # tables at most, one below the other


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the ledger.

    Attributes:
        key: its name in files.
        title: its heading.
        unit: of its numbers; `%` columns hold fractions.
        better: `higher`, `lower` or None.
        digits: after the point, as printed.
    """

    key: str
    title: str
    unit: str = ""
    better: str | None = "higher"
    digits: int = 1


COLUMNS = (
    Column("accuracy", "accuracy", "%"),
    Column("bits", "bits", "per example", "lower"),
    Column("concept_accuracy", "concept accuracy", "%"),
    Column("concept_auc", "concept AUC", "", digits=3),
    Column("leakage", "leakage", "points", "lower"),
    *(Column(f"after_{k}", f"after {k} corrected", "%") for k in CORRECTIONS),
    Column("parameters", "parameters", "", "lower", 0),
    Column("encoder_latency", "encoder time", "x black box", "lower", 2),
    Column("head_latency", "head time", "x black box", "lower", 2),
)


@dataclasses.dataclass
class Table:
    """What `compare` measured.

    Attributes:
        data: the data set.
        names: one per row.
        values: row, then column key, then one number a seed; NaN where it does not apply.
        columns: in order.
        fitted: row to the method trained with the first seed.
        curves: row to its intervention curve of each seed, where concepts are named.
    """

    data: Dataset
    names: tuple[str, ...]
    values: dict[str, dict[str, list[float]]]
    fitted: dict[str, Method]
    curves: dict[str, list[InterventionCurve]]
    columns: tuple[Column, ...] = COLUMNS

    def mean(self, row: str, key: str) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.values[row][key])

    def standard_error(self, row: str, key: str) -> float:
        """The standard error over seeds; NaN with one seed."""
        values = self.values[row][key]
        if len(values) < 2 or any(map(math.isnan, values)):
            return math.nan
        return statistics.stdev(values) / math.sqrt(len(values))

    def cell(self, row: str, column: Column) -> str:
        """One cell as printed: mean, and standard error where there are seeds."""
        scale = 100 if column.unit in ("%", "points") else 1
        mean = self.mean(row, column.key) * scale
        error = self.standard_error(row, column.key) * scale
        if math.isnan(mean):
            return "-"
        shown = f"{mean:,.{column.digits}f}"
        return shown if math.isnan(error) else f"{shown} ± {error:.{column.digits}f}"

    def __str__(self) -> str:
        return self.to_text(shutil.get_terminal_size((100, 24)).columns)

    def to_text(self, width: int) -> str:
        """A table, its columns in several tables where `width` characters are too few.

        Where even three tables do not hold them, each row becomes a block of lines.
        """
        shown = [c for c in self.columns if any(self.cell(n, c) != "-" for n in self.names)]
        names = _aligned(["", "", "", *self.names], str.ljust)
        tables: list[list[str]] = []
        for column in shown:
            *above, last = column.title.rsplit(" ", 1)
            head = [*(above or [""]), last, column.unit]
            cells = _aligned([*head, *(self.cell(n, column) for n in self.names)], str.rjust)
            if tables and len(tables[-1][0]) + 2 + len(cells[0]) <= width:
                tables[-1] = _beside(tables[-1], cells)
            else:
                tables.append(_beside(names, cells))
        if len(tables) > _STACKED or any(len(lines[0]) > width for lines in tables):
            return "\n\n".join(self._block(name, shown) for name in self.names)
        return "\n\n".join("\n".join(map(str.rstrip, lines)).lstrip("\n") for lines in tables)

    def _block(self, name: str, shown: Sequence[Column]) -> str:
        cells = [(c, self.cell(name, c)) for c in shown]
        lines = [f"  {c.title} {cell} {c.unit}".rstrip() for c, cell in cells if cell != "-"]
        return "\n".join([name, *lines])

    def to_dict(self) -> dict[str, Any]:
        """Everything measured, as JSON values; NaN becomes None."""
        rows = {
            name: {k: [None if math.isnan(v) else v for v in vs] for k, vs in row.items()}
            for name, row in self.values.items()
        }
        return {
            "data": {"name": self.data.name, "fingerprint": self.data.fingerprint},
            "columns": [dataclasses.asdict(c) for c in self.columns],
            "rows": rows,
            "settings": {n: _settings(m) for n, m in self.fitted.items()},
        }

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file."""
        store.write_json(path, self.to_dict())

    def to_html(self, path: str | Path) -> None:
        """Write the table, its plots and its settings as one page that opens offline."""
        from narrows.report import write_table

        write_table(self, path)

    def to_svg(self, path: str | Path) -> None:
        """Draw the accuracy-bits plane into an SVG file."""
        from narrows.report import write_plane

        write_plane(self, path)


def compare(methods: Sequence[Method], data: Any, seeds: int = 3, *, progress: Any = None) -> Table:
    """Train every method with every seed and measure what passes.

    Args:
        methods: estimators with their settings; copies are trained, these stay as they are.
            A black box, a random bottleneck and chance are added where missing.
        data: a `Dataset`, or anything `load` takes.
        seeds: how many; seed `s` is added to each method's own.
        progress: a started `rich.progress.Progress`, or None.

    Raises:
        InvalidInput: fewer than one seed, or a method that needs concepts the data lack.
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise wrong("seeds", repr(seeds), "an integer >= 1")
    data = data if isinstance(data, Dataset) else load(data)
    rows = _rows(methods)
    for method in rows.values():  # before anything trains
        method.require_concepts(data.train)
    values: dict[str, dict[str, list[float]]] = {name: {} for name in rows}
    fitted: dict[str, Method] = {}
    curves: dict[str, list[InterventionCurve]] = {}
    for seed in range(seeds):
        trained = {
            name: clone(method)
            .set_params(seed=method.seed + seed)
            .fit_run(data, progress=progress, label=name)
            for name, method in rows.items()
        }
        fitted = fitted or trained
        models = {name: method.model_ for name, method in trained.items()}
        rows_timed = torch.arange(min(_TIMED, len(data.test)))
        speed = cost.latency(models, data.test.x[rows_timed], batches=(_TIMED,))
        for name, method in trained.items():
            measured, curve = _measure(method, data)
            times = speed.of(name, _TIMED)
            measured["encoder_latency"] = times.encoder_ratio
            measured["head_latency"] = times.head_ratio
            if curve is not None:
                curves.setdefault(name, []).append(curve)
            for column in COLUMNS:
                values[name].setdefault(column.key, []).append(measured.get(column.key, math.nan))
    return Table(data, tuple(rows), values, fitted, curves)


def _rows(methods: Sequence[Method]) -> dict[str, Method]:
    for method in methods:
        if not isinstance(method, Method):
            raise wrong_type("methods", type(method).__name__, "Narrows methods")
    missing = [kind() for kind in _BASELINES if not any(type(m) is kind for m in methods)]
    given = [*missing, *methods]
    # Baselines first, the black box before all: times are ratios to it.
    given.sort(key=lambda m: [*_BASELINES, type(m)].index(type(m)))
    rows: dict[str, Method] = {}
    for method in given:
        name = row_name(method)
        rows[name if name not in rows else f"{name} ({len(rows)})"] = method
    return rows


def row_name(method: Method) -> str:
    """What a method's row is called: its name, and its mode where it has one."""
    mode = getattr(method, "mode", None)
    return method.info.name if mode is None else f"{method.info.name} {mode}"


def _settings(method: Method) -> dict[str, Any]:
    plain = (int, float, str, type(None))
    params = method.get_params(deep=False)
    return {k: v if isinstance(v, plain) else str(v) for k, v in params.items()}


def _measure(method: Method, data: Dataset) -> tuple[dict[str, float], InterventionCurve | None]:
    model = method.model_
    measured = {
        "accuracy": method.score(data.test),
        "bits": measure.bits(model, data).value,
        "parameters": float(cost.parameters(model).total),
    }
    if method.info.bottleneck != "concept" or not method.info.needs_concepts:
        return measured, None
    with warnings.catch_warnings():
        # A concept that never varies in the test rows is shown as NaN in the report.
        warnings.simplefilter("ignore", UserWarning)
        quality = measure.concept_quality_of(model, data.test)
    curve = measure.intervention_curve(model, data.test)
    measured |= {
        "concept_accuracy": quality.mean("accuracy"),
        "concept_auc": quality.mean("auc"),
        "leakage": measure.leakage(model, data).accuracy,
    }
    last = len(curve.mean) - 1
    measured |= {f"after_{k}": float(curve.mean[k]) for k in CORRECTIONS if k <= last}
    return measured, curve


def _aligned(cells: Sequence[str], justify: Callable[[str, int], str]) -> list[str]:
    wide = max(map(len, cells))
    return [justify(cell, wide) for cell in cells]


def _beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    return [f"{a}  {b}" for a, b in zip(left, right, strict=True)]
