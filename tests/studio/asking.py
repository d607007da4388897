"""Requests to an ASGI application without an HTTP library: what is sent is what is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from narrows.studio.app import make_app
from narrows.studio.security import Guard
from studio.fake_desk import FakeDesk, compare

TOKEN = "token-of-the-tests-0123456789"  # noqa: S105  # opens nothing
HOST = "127.0.0.1:8642"
ORIGIN = f"http://{HOST}"
ORIGINS = (ORIGIN, "http://localhost:8642", "http://[::1]:8642")
READ = {"host": HOST, "x-narrows-token": TOKEN, "sec-fetch-site": "same-origin"}
CHANGE = {**READ, "origin": ORIGIN, "content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [v for k, v in self.headers if k == name]
        assert len(found) <= 1, f"{name} stands twice"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)


def studio(*desks: FakeDesk, **more: Any) -> Guard:
    """The application over pretended runs."""
    made = desks or (FakeDesk(),)
    return make_app({d.id: d for d in made}, TOKEN, ORIGINS, compare=compare, **more)


def ask(
    app: Any,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]] = READ,
    body: bytes | Iterable[bytes] = b"",
    raw: bytes | None = None,
) -> Answer:
    """Send one request; `raw` stands in for the bytes of the path as they came."""
    where, _, query = path.partition("?")
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(where) if raw is None else unquote(raw.decode("latin-1")),
        "raw_path": where.encode("latin-1") if raw is None else raw,
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(_bytes(k).lower(), _bytes(v)) for k, v in pairs],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8642),
        "state": {},
    }
    chunks = [body] if isinstance(body, bytes) else list(body)
    return asyncio.run(_exchange(app, scope, chunks))


def post(app: Any, path: str, value: Any, headers: Mapping[str, str] = CHANGE) -> Answer:
    """Send JSON."""
    return ask(app, path, "POST", headers, json.dumps(value).encode())


async def _exchange(app: Any, scope: dict[str, Any], chunks: list[bytes]) -> Answer:
    sent: list[Any] = []
    ended = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if chunks:
            part = chunks.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(chunks)}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ended.set()

    try:
        await app(scope, receive, send)
    except Exception:
        if not sent:  # a failure that was answered is the answer
            raise
    start, *parts = sent
    headers = tuple((k.decode().lower(), v.decode("latin-1")) for k, v in start["headers"])
    return Answer(start["status"], headers, b"".join(p.get("body", b"") for p in parts))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def never() -> tuple[Callable[..., Awaitable[None]], list[Any]]:
    """An application that must not be reached, and what reached it."""
    reached: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"reached"})

    return app, reached
