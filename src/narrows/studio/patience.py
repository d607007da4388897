"""Connections that send nothing useful are closed, so that slow ones cannot pile up."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_WITHIN = 10.0  # seconds from the connection, or the last answer, to a whole request head


class PatientProtocol(H11Protocol):
    """Uvicorn's protocol with a deadline for the head of a request.

    Uvicorn waits for ever once a connection has sent a byte. Here a connection is cut off when it
    has had no request under way for `patience` seconds, unless the other side is still reading an
    answer. A request under way has the guard's limits.
    """

    patience = HEADERS_WITHIN
    _deadline: asyncio.TimerHandle | None = None
    _unread = float("inf")  # bytes of an answer when it was looked at last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to count."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Stop counting when the head is there."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Count again after an answer."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.patience, self._look)

    def _look(self) -> None:
        self._deadline = None
        left = self.transport.get_write_buffer_size()
        if not 0 < left < self._unread:
            self.transport.abort()
            return
        self._unread = left
        self._watch()

    def _stop(self) -> None:
        self._unread = float("inf")
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
