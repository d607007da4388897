"""What a person takes away: the audit trail and the corrections, as tables; and bringing them back.

Texts that a spreadsheet would take for a formula get an apostrophe in front in the log and the
list, and lose it again on import. The table for `narrows fit` keeps every name as it is, since a
changed name would be another class.
"""

from __future__ import annotations

import csv
import io
import os.path
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from narrows.data import Examples
from narrows.data.images import ImageColumn
from narrows.errors import InvalidInput, unknown, wrong, wrong_type
from narrows.studio import edits
from narrows.studio.about import check_unit
from narrows.studio.book import Book
from narrows.studio.inputs import feature_names
from narrows.studio.journal import Event
from narrows.studio.state import Case, State

FORMS = ("table", "list")
LIST = ("split", "row", "id", "unit", "value")
MOST = 100_000  # corrections that one import may bring
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
_LOGGED = (
    "event", "time", "who", "kind", "split", "row", "id", "unit", "label", "before", "after",
    "text", "label_before", "label_after", "digest",
)  # fmt: skip


def row_of(state: State, event: Event) -> dict[str, Any]:
    """An event as JSON values."""
    shown = {name: getattr(event, name) for name in (*_LOGGED, "target")}
    turn = event.kind in ("undo", "redo")
    return shown | {"undone": not turn and not state.stands(event)}


def log_csv(state: State) -> str:
    """The audit trail, oldest event first."""
    header = (*_LOGGED, "target", "undone")
    rows = (row_of(state, event) for event in state.events)
    return csv_text(header, ([guarded(row[name]) for name in header] for row in rows))


def corrections_csv(book: Book, form: str = "table") -> str:
    """The corrections in force.

    Args:
        book: of the run.
        form: `table`: all rows of the data with their features, labels and concepts, corrected
            ones replaced, for `narrows fit`. Pictures are named by their paths beside the
            original table: keep the file there. `list`: one line a correction, for import.

    Memory: the whole text, and for a table the features of one split.

    Raises:
        InvalidInput: a table is asked for, and the units are no concepts of the data.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    if form == "table":
        return _table(book)
    rows = (
        [split, row, guarded(book.ids(split)[row]), guarded(unit), repr(value)]
        for split in book.splits
        for row, known in sorted(book.corrected(split).items())
        for unit, value in known.items()
    )
    return csv_text(LIST, rows)


def parse_list(book: Book, text: str) -> dict[Case, dict[str, float | None]]:
    """Corrections from a `list`, checked line by line; an empty value takes one back.

    Raises:
        InvalidInput: a header, row or value that cannot be, or more than 100,000 lines.
        UnknownName: a split, row or unit that does not exist.
    """
    lines = _lines(text)
    header = next(lines, (1, []))[1]
    if not {"split", "row", "unit", "value"} <= set(header) <= set(LIST):
        raise wrong("csv header", ",".join(header)[:100] or "nothing", ",".join(LIST))
    said: dict[Case, dict[str, float | None]] = defaultdict(dict)
    for number, cells in lines:
        if len(cells) != len(header):
            raise wrong(f"csv line {number}", f"{len(cells)} cells", f"{len(header)}")
        case, unit, value = _line(book, number, dict(zip(header, cells, strict=True)))
        if unit in said[case]:
            raise wrong(f"csv line {number}", f"{unit!r} of the same case again", "it once")
        said[case][unit] = value
    return dict(said)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold anything, with their numbers; a file that is too long is not read on."""
    if not isinstance(text, str):
        raise wrong_type("csv", type(text).__name__, "a text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if reader.line_num > MOST + 1:
                raise wrong("csv", f"more than {MOST} lines", f"at most {MOST}")
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InvalidInput(f"csv line {reader.line_num}: {error}") from error


def _line(book: Book, number: int, cells: Mapping[str, str]) -> tuple[Case, str, float | None]:
    place = f"csv line {number}"
    try:
        row = int(cells["row"])
        value = float(cells["value"]) if cells["value"].strip() else None
    except ValueError:
        raise wrong(place, f"{cells['row']!r} and {cells['value']!r}", "numbers") from None
    case = book.check_case(cells["split"], row)
    name = unguarded(cells.get("id", ""))
    if name and name != book.ids(case[0])[row]:
        raise wrong(f"{place} id", repr(name), f"{book.ids(case[0])[row]!r}, which this row is")
    unit = unguarded(cells["unit"])
    check_unit(book, unit)
    return case, unit, None if value is None else edits.finite(f"{place} value", value)


def _table(book: Book) -> str:
    data = book.need_data().data
    names = data.concepts.names
    if not set(names) & set(book.model.bottleneck.names):
        raise InvalidInput(
            "corrections: the units of this run are no concepts of its data, so that they are no "
            "labels; take the list instead"
        )
    target = str(data.settings.get("target") or "label")
    prefix = str(data.settings.get("prefix") or "concept:")
    base = _folder(book.opened.record["data"].get("source"))
    columns, _ = _features(data.train, data.settings, base)
    named = all(split.ids is not None for split in data.splits.values())
    header = ["split", *(["id"] if named else []), *columns, target, *(prefix + n for n in names)]

    def rows() -> Iterable[list[Any]]:
        for name, examples in data.splits.items():
            _, cells = _features(examples, data.settings, base)
            told = _labels(examples, book.corrected(name))
            own = [examples.ids] if named and examples.ids is not None else []
            yield from (
                [name, *parts[:-3], *parts[-3], parts[-2], *parts[-1]]
                for parts in zip(*own, cells, examples.labels, told, strict=True)
            )

    return csv_text(header, rows())


def _features(
    examples: Examples, settings: Mapping[str, Any], base: Path | None
) -> tuple[list[str], Iterable[list[Any]]]:
    """Names of the feature columns, and their cells row by row."""
    x = examples.x
    if isinstance(x, ImageColumn):
        start = base or Path(os.path.commonpath([p.parent for p in x.paths]))
        return ["image"], ([os.path.relpath(path, start)] for path in x.paths)
    numbers = x[slice(None)].flatten(1)  # type: ignore[index]  # columns take slices, too
    names = list(feature_names(settings, numbers.shape[1]))
    return names, ([f"{v:.9g}" for v in row] for row in numbers.tolist())


def _labels(examples: Examples, corrected: Mapping[int, Mapping[str, float]]) -> list[list[str]]:
    """Concept cells of all rows; corrections in [0, 1] replace what the data say."""
    names = examples.concepts.names
    c = np.full((len(examples), len(names)), np.nan)
    if examples.c is not None:
        c[:] = examples.c.numpy()
    place = {name: i for i, name in enumerate(names)}
    groups = {i: list(group) for group in examples.concepts.groups for i in group}
    for row, known in corrected.items():
        for unit, value in known.items():
            if unit in place and 0 <= value <= 1:
                if value == 1 and place[unit] in groups:
                    c[row, groups[place[unit]]] = 0.0
                c[row, place[unit]] = value
    return [["" if v != v else f"{v:.9g}" for v in row] for row in c.tolist()]


def _folder(source: str | None) -> Path | None:
    """The folder that paths of pictures start from."""
    if source is None:
        return None
    path = Path(source)
    return path if path.is_dir() else path.parent


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as text; unknown values are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return buffer.getvalue()


def guarded(value: Any) -> Any:
    """A cell that no spreadsheet computes.

    Example:
        >>> guarded("=1+1"), guarded("wing"), guarded(-1.0), unguarded("'=1+1")
        ("'=1+1", 'wing', -1.0, '=1+1')
    """
    formula = isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA)
    return f"'{value}" if formula else value


def unguarded(text: str) -> str:
    """The text that `guarded` was given."""
    return text[1:] if text.startswith("'") and guarded(text[1:]) == text else text
