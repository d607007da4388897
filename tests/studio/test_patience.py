"""Slow readers get their whole answer; those that read nothing are cut off (W07)."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from narrows.studio.patience import PatientProtocol

SIZE = 24 << 20  # more than the buffers of two sockets hold
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Hurried(PatientProtocol):
    """The protocol with little patience, and what became of its connections."""

    patience = 0.25
    ended: asyncio.Event

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended.set()


async def large(scope: Any, receive: Any, send: Any) -> None:
    """One large answer, given to the connection at once."""
    length = [(b"content-length", str(SIZE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": bytes(SIZE)})


async def connected() -> tuple[asyncio.Server, asyncio.StreamReader, asyncio.StreamWriter]:
    config = uvicorn.Config(large, log_config=None, lifespan="off")
    config.load()
    Hurried.ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Hurried(config, ServerState(), {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    return server, reader, writer


def test_a_slow_reader_gets_all_of_a_large_answer() -> None:
    async def read() -> int:
        server, reader, writer = await connected()
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < SIZE:
            got += len(await reader.readexactly(min(1 << 20, SIZE - got)))
            await asyncio.sleep(0.05)  # more than a second in all, four times the patience
        writer.close()
        server.close()
        return got

    assert asyncio.run(read()) == SIZE


def test_a_reader_that_stops_is_cut_off() -> None:
    async def wait() -> bool:
        server, _, writer = await connected()
        writer.write(REQUEST)
        await asyncio.wait_for(Hurried.ended.wait(), 60)
        writer.close()
        server.close()
        return True

    assert asyncio.run(wait())
