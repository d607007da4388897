"""Many people write at once: what waits together goes to the disk together."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Sequence

from narrows.studio.journal import Event, Journal

Draft = Callable[[], Sequence[Event]]


@dataclasses.dataclass(frozen=True)
class Written:
    """What was added to the journal.

    Attributes:
        events: with their numbers.
        undo: whether anything can be undone now.
        redo: whether anything can be redone now.
    """

    events: Sequence[Event]
    undo: bool
    redo: bool

    @property
    def last(self) -> int | None:
        """The number of the last event; None where nothing changed."""
        return self.events[-1].event if self.events else None

    @property
    def turns(self) -> dict[str, bool]:
        """What can be undone and redone, as JSON values."""
        return {"undo": self.undo, "redo": self.redo}


@dataclasses.dataclass(eq=False)
class _Ticket:
    """What one thread wants to write, and what became of it."""

    draft: Draft
    written: Written = Written((), undo=False, redo=False)
    error: BaseException | None = None
    done: bool = False


class Writer:
    """Writes the acts of several threads with one flush, which takes longer than all the rest.

    Args:
        journal: that is written.
        lock: of the state behind it.
        sync: brings the state up to date.
        keep: goes on with events that were added.
        forget: begins the state anew, when events it went on with did not reach the disk.
    """

    def __init__(
        self,
        journal: Journal,
        lock: threading.RLock,
        sync: Callable[[], None],
        keep: Callable[[Sequence[Event]], Written],
        forget: Callable[[], None],
    ) -> None:
        self._journal, self._lock = journal, lock
        self._sync, self._keep, self._forget = sync, keep, forget
        self._waiting: deque[_Ticket] = deque()
        self._free = threading.Condition()
        self._busy = False  # whether some thread is writing for all that wait

    def write(self, draft: Draft) -> Written:
        """Add what `draft` gives to the journal, as one act.

        It is called, perhaps by another thread, while the journal is held and the state is up to
        date; where it raises, nothing of it is added. When this returns, the events are on the
        disk. A thread that holds the lock of the state must not call this.
        """
        own = _Ticket(draft)
        with self._free:
            self._waiting.append(own)
            # Who was written for leaves without the lock of the state, so nobody starves at it.
            while self._busy and not own.done:
                self._free.wait()
            lead = not own.done
            self._busy = self._busy or lead
        if lead:
            self._lead()
        if own.error is not None:
            raise own.error
        return own.written

    def _lead(self) -> None:
        """Write for everybody who waits."""
        try:
            with self._lock:
                self._commit([self._waiting.popleft() for _ in range(len(self._waiting))])
        finally:
            with self._free:
                self._busy = False
                self._free.notify_all()

    def _commit(self, tickets: Sequence[_Ticket]) -> None:
        try:
            with self._journal.writing():
                self._sync()
                for ticket in tickets:
                    self._try(ticket)
        except BaseException as error:
            for ticket in tickets:
                ticket.error = error
            self._forget()
        for ticket in tickets:
            ticket.done = True

    def _try(self, ticket: _Ticket) -> None:
        try:
            drafts = ticket.draft()
        except Exception as error:  # nothing of this ticket was added; the others go on
            ticket.error = error
            return
        ticket.written = self._keep(self._journal.append(drafts) if drafts else ())
