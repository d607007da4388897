"""The audit trail: every correction, note and edit as rows that are only ever added.

SQLite beside the run, in write-ahead mode with every commit flushed to the disk, so that what was
acknowledged survives `kill -9`. Writers take turns by the database's own lock: two windows, or two
servers, on one folder see one order of events.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from narrows.errors import FileRefused, NarrowsError, RunLocked
from narrows.store import WriteFailed

FILE = "studio.sqlite"
FORMAT = 1
KINDS = ("correction", "note", "disagreement", "edit", "undo", "redo")
_WAIT = 5.0  # seconds that a writer waits for another


@dataclasses.dataclass(frozen=True)
class Event:
    """One row of the audit trail.

    Attributes:
        kind: one of `KINDS`.
        event: its number, from 1 without gaps; 0 before it is written.
        act: the number of the first event of what was done in one go.
        time: UTC, ISO 8601.
        who: a name, where the server knows one.
        split: of the case; None for edits.
        row: of the case.
        id: of the case, for people.
        unit: what is corrected or edited.
        label: the class whose weight is edited; None for all.
        before: the value as it stood.
        after: the value from now on; None takes a correction back.
        text: of a note; what an edit does.
        label_before: what the model said of the case.
        label_after: what it says from now on.
        digest: of the model's file and the edits in force.
        target: the act that is undone or redone.
    """

    kind: str
    event: int = 0
    act: int = 0
    time: str = ""
    who: str = ""
    split: str | None = None
    row: int | None = None
    id: str | None = None
    unit: str | None = None
    label: str | None = None
    before: float | None = None
    after: float | None = None
    text: str | None = None
    label_before: str | None = None
    label_after: str | None = None
    digest: str = ""
    target: int | None = None


COLUMNS = ("event", *(f.name for f in dataclasses.fields(Event) if f.name != "event"))
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("event", "act"), (int,)),
    **dict.fromkeys(("row", "target"), (int, type(None))),
    **dict.fromkeys(("before", "after"), (float, type(None))),
    **dict.fromkeys(("kind", "time", "who", "digest"), (str,)),
}
_SQL_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}


class Journal:
    """The events of one run, in one file.

    Args:
        folder: of the run.
        digest: of the run's model; a journal of another model is refused.

    Raises:
        FileRefused: a file that is no journal, of a newer version, or of another model.
        RunLocked: another process holds it for too long.
        WriteFailed: the folder cannot be written to.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        with self._translated():
            # Transactions are begun by hand; the lock above keeps threads apart.
            self._base = sqlite3.connect(
                self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._prepare(digest)
        except BaseException:
            self._base.close()
            raise

    def since(self, last: int) -> list[Event]:
        """The events after number `last`, in order."""
        names = ", ".join(COLUMNS)
        question = f"SELECT {names} FROM events WHERE event > ? ORDER BY event"  # noqa: S608  # names of our own
        with self._lock, self._translated():
            rows = self._base.execute(question, (last,)).fetchall()
        return [self._event(row, last + n) for n, row in enumerate(rows, 1)]

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the journal: nobody else adds events while the block runs.

        What the block appends is on the disk when it ends, and gone where it raises.
        """
        with self._lock:
            with self._translated():
                self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
                with self._translated():
                    self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def append(self, drafts: Sequence[Event]) -> list[Event]:
        """Add events as one act, inside `writing`; they come back with number and time."""
        with self._translated():
            (last,) = self._base.execute("SELECT COALESCE(MAX(event), 0) FROM events").fetchone()
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            events = [
                dataclasses.replace(draft, event=last + n, act=last + 1, time=now)
                for n, draft in enumerate(drafts, 1)
            ]
            marks = ", ".join("?" * len(COLUMNS))
            self._base.executemany(
                f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608  # names of our own
                [tuple(getattr(event, name) for name in COLUMNS) for event in events],
            )
        return events

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()

    def _prepare(self, digest: str) -> None:
        # A file from elsewhere may bring functions in its schema; none of them is run.
        self._base.execute("PRAGMA trusted_schema = OFF")
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        with self.writing():
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._create(digest)
            elif version != FORMAT:
                raise FileRefused(f"{self.path}: found format {version}, wanted {FORMAT}")
            found = self._base.execute("SELECT digest FROM model").fetchall()
        if found != [(digest,)]:
            raise FileRefused(
                f"{self.path}: found the journal of another model; move it away to begin a new one"
            )

    def _create(self, digest: str) -> None:
        columns = ", ".join(f"{name} {_sql(name)}" for name in COLUMNS)
        self._base.execute(f"CREATE TABLE events ({columns})")
        self._base.execute("CREATE TABLE model (digest TEXT NOT NULL)")
        self._base.execute("INSERT INTO model VALUES (?)", (digest,))
        for table in ("events", "model"):
            for change in ("UPDATE", "DELETE"):
                self._base.execute(
                    f"CREATE TRIGGER no_{change}_{table} BEFORE {change} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
                )
        self._base.execute(f"PRAGMA user_version = {FORMAT}")

    def _event(self, row: tuple[Any, ...], number: int) -> Event:
        """A stored row as an event: what a file says is not believed before it is checked."""
        for name, value in zip(COLUMNS, row, strict=True):
            wanted = _TYPES.get(name, (str, type(None)))
            infinite = isinstance(value, float) and not math.isfinite(value)
            if not isinstance(value, wanted) or infinite:
                raise FileRefused(f"{self.path}: event {number}: found {name} {value!r}")
        event = Event(**dict(zip(COLUMNS, row, strict=True)))
        if event.event != number or event.kind not in KINDS:
            raise FileRefused(f"{self.path}: found {event.kind} {event.event}, wanted {number}")
        return event

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors in the words of this package."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._explained(error) from error
        except sqlite3.DatabaseError as error:
            raise FileRefused(f"{self.path}: not a journal of the studio ({error})") from error

    def _explained(self, error: sqlite3.OperationalError) -> NarrowsError:
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RunLocked(f"{self.path}: another process is writing it; try again")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL):
            return WriteFailed(f"{self.path}: cannot be written ({error})")
        return FileRefused(f"{self.path}: not a journal of the studio ({error})")


def _sql(name: str) -> str:
    if name == "event":
        return "INTEGER PRIMARY KEY"
    kinds = _TYPES.get(name, (str, type(None)))
    return _SQL_TYPES[kinds[0]] + ("" if type(None) in kinds else " NOT NULL")
