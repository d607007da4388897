"""What a run is, what an analyst reads of it, and two runs side by side."""

from __future__ import annotations

from typing import Literal

from narrows.studio.shapes.base import Cell, Given


class Health(Given):
    """The server answers."""

    status: Literal["ok"]
    version: str


class RunLine(Given):
    """One opened run."""

    id: str
    title: str
    method: str
    data: str
    accuracy: float | None


class Runs(Given):
    """All opened runs."""

    runs: list[RunLine]


class MethodShape(Given):
    """The method and its settings."""

    name: str
    paper: str
    params: list[tuple[str, Cell]]


class DataShape(Given):
    """The data set."""

    name: str
    rows: dict[str, int]
    fingerprint: str


class UnitShape(Given):
    """One unit of the bottleneck and the values a correction may have."""

    index: int
    name: str
    group: int | None
    low: float | None
    high: float | None
    spoken: Literal["probability", "number"]


class Can(Given):
    """What this run allows."""

    correct: bool
    edit: bool
    evidence: bool
    why_not: bool
    picture: bool


class About(Given):
    """One run."""

    id: str
    title: str
    subtitle: str
    method: MethodShape
    data: DataShape
    classes: list[str]
    units: list[UnitShape]
    groups: list[list[int]]
    splits: list[str]
    digest: str
    notes: list[str]
    can: Can


class Table(Given):
    """A table of the model page."""

    title: str
    header: list[str]
    rows: list[list[Cell]]


class Curve(Given):
    """One series of a plot."""

    name: str
    x: list[float | str | None]
    y: list[float | None]
    error: list[float | None] | None


class Plot(Given):
    """A plot of the model page."""

    title: str
    x: str
    y: str
    kind: Literal["line", "points", "bars"]
    series: list[Curve]


class Model(Given):
    """What an analyst reads about a run."""

    tables: list[Table]
    plots: list[Plot]
    notes: list[str]
    card: list[tuple[str, Cell]]


class Weights(Given):
    """The linear head and its kept edits; a reason where there is none."""

    units: list[str] | None = None
    classes: list[str] | None = None
    matrix: list[list[float | None]] | None = None
    edits: list[dict[str, Cell]] | None = None
    reason: str | None = None


class Accuracy(Given):
    """A share of right labels."""

    accuracy: float | None


class Preview(Given):
    """What edits would do on validation rows."""

    before: Accuracy
    after: Accuracy
    changed: int
    rows: int


class Pair(Given):
    """One number of two runs."""

    name: str
    a: Cell
    b: Cell


class DisagreeCase(Given):
    """A case that two runs label differently."""

    row: int
    id: str
    truth: str | None
    a: str
    b: str


class Disagree(Given):
    """The cases that two runs label differently."""

    total: int
    cases: list[DisagreeCase]


class Compared(Given):
    """Two runs side by side."""

    rows: list[Pair]
    disagree: Disagree
