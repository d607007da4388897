"""What a run is, and one of its cases, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from narrows.errors import unknown
from narrows.report import sections
from narrows.studio import evidence, inputs
from narrows.studio.answers import known_numbers, truth_of
from narrows.studio.book import Book
from narrows.studio.cases import Query
from narrows.studio.heads import editable
from narrows.studio.heat import has_heat
from narrows.studio.opened import Opened
from narrows.studio.state import Case

ABILITIES = ("correct", "edit", "evidence", "why_not", "picture", "heat")
UNITS = 5000  # that are listed at most; sparse codes can have many more


def summary(name: str, opened: Opened) -> dict[str, Any]:
    """The run in a list of runs."""
    return {
        "id": name,
        "title": opened.title,
        "method": opened.record["method"]["name"],
        "data": opened.record["data"]["name"],
        "accuracy": opened.metrics.get("accuracy", {}).get("test"),
    }


def about(name: str, book: Book, can: Mapping[str, bool]) -> dict[str, Any]:
    """Everything the pages need to know of a run before they show a case.

    Args:
        name: how routes call the run.
        book: of the run.
        can: its `abilities`.
    """
    opened = book.opened
    record, info = opened.record, opened.method.info
    groups = [list(group) for group in book.model.bottleneck.groups]
    notes = list(opened.notes)
    count = len(book.model.bottleneck.names)
    if count > UNITS:
        notes.append(f"The first {UNITS:,} of {count:,} units are listed.")
    return {
        "id": name,
        "title": opened.title,
        "subtitle": sections.sizes(record["data"]["rows"]),
        "method": {
            "name": info.name,
            "paper": info.paper,
            "params": [list(pair) for pair in sections.entries(record["method"]["params"])],
        },
        "data": {
            "name": record["data"]["name"],
            "rows": record["data"]["rows"],
            "fingerprint": record["data"]["fingerprint"],
        },
        "classes": list(book.labels),
        "units": units(book),
        "groups": groups,
        "splits": list(book.splits),
        "digest": book.digest,
        "notes": notes,
        "can": dict(can),
    }


def abilities(book: Book) -> dict[str, bool]:
    """What can be done with the cases of a run."""
    if book.readings is None:
        return dict.fromkeys(ABILITIES, False)
    examples = book.readings.examples("test")
    turns = bool(book.model.bottleneck.interventions)
    dense = book.readings.row("test", 0).indices is None
    shown = inputs.describe(examples, 0, book.readings.data.settings)
    return {
        "correct": turns,
        "edit": editable(book),
        "evidence": evidence.has_evidence(book.readings),
        "why_not": turns and dense,
        "picture": shown["kind"] == "image",
        "heat": has_heat(book.readings),
    }


def units(book: Book) -> list[dict[str, Any]]:
    """The units with the range of their scores over the test rows."""
    bottleneck = book.model.bottleneck
    names = bottleneck.names[:UNITS]
    group = {i: g for g, members in enumerate(bottleneck.groups) for i in members}
    free = {i for turn in bottleneck.interventions for i in turn}
    low, high, spoken, whole = ranges(book)
    return [
        {
            "index": i,
            "name": name,
            "group": group.get(i),
            "low": low[i],
            "high": high[i],
            "spoken": spoken[i],
            "whole": whole,
            "correctable": i in free and book.readings is not None,
        }
        for i, name in enumerate(names)
    ]


def ranges(book: Book) -> tuple[list[float | None], list[float | None], list[str], bool]:
    """Lowest and highest score of each unit, its scale, and whether only whole numbers occur.

    Scores are probabilities where those of all units that a person can correct lie in [0, 1];
    they may then take any value there.
    """
    bottleneck = book.model.bottleneck
    low, high, whole = _seen(book)
    bounded = (low >= 0) & (high <= 1)
    free = [i for turn in bottleneck.interventions for i in turn] or list(range(len(low)))
    sure = bounded & bounded[free].all()
    low, high = low.where(~sure, 0.0), high.where(~sure, 1.0)
    spoken = ["probability" if own else "number" for own in sure.tolist()]
    return known_numbers(low), known_numbers(high), spoken, whole and not bool(sure.any())


@torch.no_grad()
def _seen(book: Book) -> tuple[Tensor, Tensor, bool]:
    """Lowest and highest scores `(units,)` of the test rows, and whether all are whole."""
    names = book.model.bottleneck.names
    if book.readings is None:
        kept = {} if book.kept is None else book.kept.units
        own = [[v for v in kept.get(name, ()) if v is not None] or [0.0, 1.0] for name in names]
        low, high = torch.tensor([[min(v), max(v)] for v in own]).T
        return low, high, False
    reading = book.readings.of("test")
    if reading.indices is not None:  # what is picked is on or off
        return torch.zeros(len(names)), torch.ones(len(names)), True
    scores = book.model.bottleneck.scores(reading)
    return scores.amin(0), scores.amax(0), bool((scores == scores.round()).all())


def case(book: Book, place: Case, query: Query) -> dict[str, Any]:
    """One case, with its neighbours in the list the person came from."""
    split, row = place
    state = book.state
    listing = book.listing(split)
    one = listing.one(row)
    previous, following = neighbours(listing.rows(query).tolist(), row)
    shown = {
        "split": split,
        "row": row,
        "id": one["id"],
        "truth": one["truth"],
        "notes": [
            {"event": e.event, "time": e.time, "text": e.text, "kind": e.kind, "who": e.who}
            for e in state.notes(place)
        ],
        "previous": previous,
        "next": following,
        "undo": bool(state.done),
        "redo": bool(state.undone),
    }
    if book.readings is None:
        if book.kept is None:
            return shown
        answer = book.kept.answer(row, book.labels)
        rows = book.kept.unit_rows(row, book.known(place))
        return shown | {"input": {"kind": "none"}, "before": answer, "now": answer, "units": rows}
    examples = book.readings.examples(split)
    question = book.question(place)
    return shown | {
        "input": inputs.describe(examples, row, book.readings.data.settings),
        "before": question.answer(question.reading),
        "now": question.answer(question.now),
        "units": question.units(truth_of(examples, row, book.model.bottleneck.names)),
    }


def neighbours(rows: list[int], row: int) -> tuple[int | None, int | None]:
    """The rows before and after one; where it is not in the list, those around its place.

    Example:
        >>> neighbours([4, 7, 9], 7), neighbours([4, 7, 9], 5), neighbours([9, 4], 4)
        ((4, 9), (4, 7), (9, None))
    """
    if row in rows:
        place = rows.index(row)
        before, after = rows[:place], rows[place + 1 :]
        return before[-1] if before else None, after[0] if after else None
    lower, higher = [r for r in rows if r < row], [r for r in rows if r > row]
    return max(lower, default=None), min(higher, default=None)


def check_unit(book: Book, unit: str) -> None:
    """Refuse a unit that does not exist."""
    if unit not in book.model.bottleneck.names:
        raise unknown("unit", unit, book.model.bottleneck.names)
