"""Where a run stands after its events: corrections in force, notes, edits, what can be undone.

Events are grouped in acts, each what a person did in one go. Undo takes back the last act that
stands; redo brings back the last that was taken back, until something new is done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from narrows.errors import FileRefused
from narrows.studio.journal import Event

Case = tuple[str, int]


class State:
    """The fold of a journal; it grows by `take` and never looks back.

    Attributes:
        events: all of them, in order.
        done: acts that stand and can be undone, last one last.
        undone: acts that can be redone, next one last.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.done: list[int] = []
        self.undone: list[int] = []
        self._acts: dict[int, list[Event]] = {}
        self._off: set[int] = set()  # acts that do not stand, redoable or not
        self._of_case: dict[Case, list[Event]] = defaultdict(list)
        self._edits: list[Event] = []

    @property
    def last(self) -> int:
        """The number of the last event."""
        return len(self.events)

    def take(self, events: Iterable[Event]) -> tuple[set[Case], bool]:
        """Go on with these events; gives the cases they are about, and whether edits changed.

        Raises:
            FileRefused: an undo or redo of something else than what stands last.
        """
        touched: list[Event] = []
        for event in events:
            if event.kind in ("undo", "redo"):
                touched += self._turn(event)
            else:
                self._add(event)
                touched.append(event)
            self.events.append(event)
        cases = {case_of(e) for e in touched if e.kind != "edit"}
        return cases, any(e.kind == "edit" for e in touched)

    def known(self, case: Case) -> dict[str, float]:
        """The corrections of a case in force, by unit, in the order they were made."""
        return folded(e for e in self._of_case.get(case, ()) if self.stands(e))

    def known_after_turn(self, case: Case, act: int) -> dict[str, float]:
        """The corrections of a case once this act no longer stands, or stands again."""
        own = self._of_case.get(case, ())
        return folded(e for e in own if self.stands(e) != (e.act == act))

    def notes(self, case: Case) -> list[Event]:
        """Notes and disagreements about a case that stand."""
        own = self._of_case.get(case, ())
        return [e for e in own if e.kind in ("note", "disagreement") and self.stands(e)]

    def edits(self) -> list[Event]:
        """The edits of the head in force, in order."""
        return [e for e in self._edits if self.stands(e)]

    def stands(self, event: Event) -> bool:
        """Whether an event is in force, or was taken back."""
        return event.act not in self._off

    def act(self, number: int) -> list[Event]:
        """The events of an act."""
        return self._acts[number]

    def _add(self, event: Event) -> None:
        if event.act not in self._acts:
            self._acts[event.act] = []
            self.done.append(event.act)
            self.undone.clear()
        self._acts[event.act].append(event)
        if event.kind == "edit":
            self._edits.append(event)
        else:
            self._of_case[case_of(event)].append(event)

    def _turn(self, event: Event) -> list[Event]:
        source, drain = (self.done, self.undone)[:: 1 if event.kind == "undo" else -1]
        if not source or source[-1] != event.target:
            raise FileRefused(f"journal: event {event.event} takes back what does not stand last")
        drain.append(source.pop())
        self._off ^= {drain[-1]}
        return self._acts[drain[-1]]


def folded(events: Iterable[Event]) -> dict[str, float]:
    """The corrections that a sequence of events leaves."""
    known: dict[str, float] = {}
    for event in events:
        if event.kind == "correction" and event.unit is not None:
            known.pop(event.unit, None)
            if event.after is not None:
                known[event.unit] = event.after
    return known


def case_of(event: Event) -> Case:
    """The case an event is about.

    Raises:
        FileRefused: it names none.
    """
    if event.split is None or event.row is None:
        raise FileRefused(f"journal: event {event.event} names no case")
    return event.split, event.row
