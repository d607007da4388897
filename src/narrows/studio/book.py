"""The live state of one run: cached readings, the journal, and what the model says now.

Whoever asks first catches up with the journal, so two windows, or two servers, on one folder see
the same. A change is decided while the journal is held, so nothing can come between.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from narrows import store
from narrows.errors import FileRefused, InvalidInput, NarrowsError, unknown
from narrows.model import NarrowModel
from narrows.studio import edits
from narrows.studio.answers import Question
from narrows.studio.cases import Listing
from narrows.studio.edits import Edit
from narrows.studio.journal import Event, Journal
from narrows.studio.kept import kept_rows
from narrows.studio.opened import Opened
from narrows.studio.readings import Readings
from narrows.studio.standing import Standing, of_logits, stand, stand_corrected
from narrows.studio.state import Case, State
from narrows.studio.writer import Writer, Written

_ASKED = 256  # answered questions that are kept
_FEW = 8  # rows that are answered one by one


class Book:
    """What is known of a run and what people did to it.

    Args:
        opened: the run.

    Attributes:
        model: the trained model with the edits in force.
        state: the fold of the journal.
        lock: held while the state is looked at or changed.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.lock = threading.RLock()
        self.readings = None if opened.data is None else Readings(opened.model, opened.data)
        self.kept = kept_rows(opened) if opened.data is None else None
        self._rows: dict[str, tuple[list[str], list[str]]] = {}
        self._forget()
        self._journal = Journal(opened.home, opened.digest)
        self._writer = Writer(self._journal, self.lock, self.sync, self._keep, self._forget)
        try:
            self.sync()
        except BaseException:
            self._journal.close()
            raise

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as texts."""
        return self.opened.labels

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose cases can be seen; the test rows first."""
        return ("test", "val", "train") if self.readings is not None else ("test",)

    @property
    def digest(self) -> str:
        """Of the model's file and the edits in force."""
        own = [edit.to_dict() for edit in self.edits()]
        return store.digest([self.opened.digest, own]) if own else self.opened.digest

    def need_data(self) -> Readings:
        """The readings, or why there are none."""
        if self.readings is None:
            raise InvalidInput(" ".join(self.opened.notes) or "data: found none")
        return self.readings

    def prepare(self, *splits: str) -> None:
        """Read the rows of splits before the lock is taken: nobody else has to wait for it."""
        for split in splits:
            if self.readings is not None and split in self.splits:
                self.readings.of(split)

    def sync(self) -> None:
        """Catch up with the journal."""
        with self.lock:
            self._take(self._journal.since(self.state.last))

    def write(self, draft: Callable[[], Sequence[Event]]) -> Written:
        """Add what `draft` gives to the journal, as one act; see `Writer.write`."""
        return self._writer.write(draft)

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def check_case(self, split: str, row: int) -> Case:
        """A case that exists.

        Raises:
            UnknownName: no such split or row.
        """
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        if self.readings is not None:
            return split, self.readings.place(split, row)
        count = 0 if self.kept is None else len(self.kept.now)
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < count:
            raise unknown(f"row of {split}", row, (f"0 to {count - 1}",))
        return split, row

    def question(self, case: Case, known: dict[str, float] | None = None) -> Question:
        """A case, ready to be answered: with its corrections in force, or with others."""
        own = self.known(case) if known is None else known
        key = (case, tuple(sorted(own.items())))
        with self.lock:
            if key not in self._asked:
                reading = self.need_data().row(*case)
                self._asked[key] = Question(self.model, self.labels, reading, own)
                if len(self._asked) > _ASKED:
                    self._asked.pop(next(iter(self._asked)))
            return self._asked[key]

    def known(self, case: Case) -> dict[str, float]:
        """The corrections of a case in force."""
        return dict(self._known[case[0]].get(case[1], {}))

    def edits(self) -> list[Edit]:
        """The edits in force."""
        return [edit_of(event) for event in self.state.edits()]

    def edited(self, chosen: Sequence[Edit]) -> NarrowModel:
        """The trained model with these edits and no others."""
        if not chosen:
            return self.opened.model
        reading = self.need_data().of("val")
        weight, bias = edits.affine(self.opened.model, reading)
        names = self.opened.model.bottleneck.names
        return edits.with_head(
            self.opened.model, edits.apply(weight, chosen, names, self.labels), bias
        )

    def standing(self, split: str) -> Standing:
        """What the model says now of all rows of a split."""
        with self.lock:
            if self.readings is None:
                if self.kept is None or split != "test":
                    raise unknown("split", split, self.splits)
                return self.kept.now
            if split not in self._standings:
                reading = self.readings.of(split)
                now = stand(self.model, reading)
                if self._known[split]:
                    now.put(*stand_corrected(self.model, reading, self._known[split]))
                self._standings[split] = now
            return self._standings[split]

    def truth(self, split: str) -> NDArray[np.int64]:
        """The known class of all rows of a split."""
        if self.readings is not None:
            return self.readings.truth(split)
        return self.kept.truth if self.kept is not None else np.zeros(0, np.int64)

    def ids(self, split: str) -> list[str]:
        """The names of all rows of a split."""
        return self._texts(split)[0]

    def corrected(self, split: str) -> dict[int, dict[str, float]]:
        """Row to corrections in force, for rows that have any."""
        return self._known[split]

    def listing(self, split: str) -> Listing:
        """The rows of a split, to be filtered and paged while the lock is held."""
        ids, haystack = self._texts(split)
        return Listing(
            split=split,
            now=self.standing(split),
            truth=self.truth(split),
            labels=self.labels,
            ids=ids,
            haystack=haystack,
            corrections={row: len(known) for row, known in self._known[split].items()},
            noted=frozenset(self._noted[split]),
        )

    def _texts(self, split: str) -> tuple[list[str], list[str]]:
        if split not in self._rows:
            if split not in self.splits:
                raise unknown("split", split, self.splits)
            if self.readings is not None:
                examples = self.readings.examples(split)
                ids = list(examples.ids or map(str, range(len(examples))))
            else:
                ids = [] if self.kept is None else self.kept.ids
            self._rows[split] = (ids, [f"{one.lower()}\n{row}" for row, one in enumerate(ids)])
        return self._rows[split]

    def _keep(self, events: Sequence[Event]) -> Written:
        self._take(events)
        return Written(events, bool(self.state.done), bool(self.state.undone))

    def _forget(self) -> None:
        """Begin anew: the next `sync` reads the whole journal."""
        self.model: NarrowModel = self.opened.model
        self.state = State()
        self._standings: dict[str, Standing] = {}
        self._asked: dict[tuple[Case, tuple[tuple[str, float], ...]], Question] = {}
        self._known: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
        self._noted: dict[str, set[int]] = defaultdict(set)

    def _take(self, events: Sequence[Event]) -> None:
        """Go on with these events; where that fails, nothing half known is left."""
        if not events:
            return
        try:
            for event in events:
                self._check(event)
            self._go_on(events)
        except BaseException:
            self._forget()
            raise

    def _go_on(self, events: Sequence[Event]) -> None:
        cases, edited = self.state.take(events)
        changed: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
        for split, row in cases:
            known = self.state.known((split, row))
            self._known[split].pop(row, None)
            if known:
                self._known[split][row] = known
            noted = self._noted[split].add if self.state.notes((split, row)) else None
            (noted or self._noted[split].discard)(row)
            changed[split][row] = known
        if edited:
            self.model = self.edited(self.edits()) if self.readings else self.opened.model
            self._standings.clear()
            self._asked.clear()
            return
        for split, rows in changed.items():
            if split in self._standings and self.readings is not None:
                self._standings[split].put(*self._stand(split, rows))

    def _stand(
        self, split: str, known: dict[int, dict[str, float]]
    ) -> tuple[NDArray[np.int64], Standing]:
        """Some rows again; a few of them as they were just answered."""
        if len(known) > _FEW:
            return stand_corrected(self.model, self.need_data().of(split), known)
        asked = [self.question((split, row), own) for row, own in known.items()]
        with torch.no_grad():
            logits = torch.cat([self.model.decide(q.now).prediction for q in asked])
        return np.array(list(known)), of_logits(logits)

    def _check(self, event: Event) -> None:
        """Refuse an event that cannot be about this run."""
        if event.kind in ("undo", "redo"):
            return
        try:
            if event.kind == "edit":
                edit = edit_of(event)
                edits.parse([edit.to_dict()], self.model.bottleneck.names, self.labels)
            elif self.readings is not None:
                self.check_case(event.split or "", -1 if event.row is None else event.row)
            if event.kind == "correction" and event.unit not in self.model.bottleneck.names:
                raise unknown("unit", event.unit, self.model.bottleneck.names)
        except NarrowsError as error:
            raise FileRefused(f"journal: event {event.event}: {error}") from error


def edit_of(event: Event) -> Edit:
    """The edit that an event of kind `edit` tells of."""
    return Edit(event.text or "", event.unit or "", event.label, event.after)
