"""What stands between the studio and everything else that can reach its port.

The threat is a page in the person's own browser, other users of the machine, and names or files
written by somebody else. One pure ASGI layer decides on the raw request, before anything is
routed or parsed, and stamps its headers on every answer, its own refusals included:

1. the `Host` header is one of the known addresses (a page that rebinds its name is stopped);
2. the path is plain: letters, digits, `.`, `_`, `-` and `/`, nothing encoded, no dot segments;
3. only GET and POST exist; there is no CORS, so a preflight is refused, too;
4. below `/api`: no request that another site started, the token (compared in constant time), and
   for POST the page's own `Origin` and a JSON body of bounded size that arrives in time.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from narrows.studio.bodies import Limits, Refusal, check_json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN = b"x-narrows-token"
SHORTEST_TOKEN = 22  # characters: 128 bits in base 64
_PLAIN = re.compile(rb"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?")
_JSON = re.compile(rb'application/json(\s*;\s*charset="?utf-8"?)?', re.IGNORECASE)
_SMALL = 1 << 16  # bytes of JSON that are read at once, where a thread would take longer
_CLOSE = ((b"connection", b"close"),)
_POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Guard:
    """The layer around an app; see the module's text.

    Args:
        app: what is guarded.
        token: that requests below /api carry in `X-Narrows-Token`.
        origins: addresses under which people reach the studio, `scheme://host:port`; their
            host parts are the accepted `Host` headers.
        limits: of one request.

    Example:
        >>> guard = Guard(None, "t" * 32, ["http://127.0.0.1:8000"])
        >>> sorted(guard.hosts)
        [b'127.0.0.1:8000']
    """

    def __init__(
        self, app: App, token: str, origins: Iterable[str], limits: Limits | None = None
    ) -> None:
        self.app, self.limits = app, limits or Limits()
        self.origins = frozenset(origin.lower().encode("ascii") for origin in origins)
        self.hosts = frozenset(origin.partition(b"://")[2] for origin in self.origins)
        self._token = token.encode("utf-8")
        self._held = 0  # bytes of bodies at hand

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then let the app answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = scope["path"].startswith("/api")
        stamped = self._stamped(send, api)
        parts: list[bytes] = []
        try:
            self._check(scope)
            if scope["method"] == "POST":
                await self._take_body(_headers(scope), receive, parts)
                receive = _replayed(parts[0], receive)
            await self.app(scope, receive, stamped)
        except Refusal as refusal:
            await _answer(stamped, refusal)
        finally:
            self._held -= sum(map(len, parts))

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        host = headers.get(b"host", [])
        if len(host) != 1 or host[0].lower() not in self.hosts:
            raise Refusal(421, "Host: found an address that is not this studio's own")
        path = scope.get("raw_path") or scope["path"].encode("utf-8")
        if not _PLAIN.fullmatch(path) or path != scope["path"].encode("utf-8"):
            raise Refusal(404, "path: found nothing here")
        if scope["method"] not in ("GET", "POST"):
            allow = ((b"allow", b"GET, POST"),)
            raise Refusal(405, f"method: found {scope['method']}, wanted GET or POST", allow)
        if scope["query_string"].count(b"&") >= self.limits.fields:
            raise Refusal(413, f"query: wanted at most {self.limits.fields} fields")
        self._check_origin(scope["method"], headers)
        if path.startswith(b"/api") or scope["method"] == "POST":
            self._check_caller(headers)

    def _check_origin(self, method: str, headers: dict[bytes, list[bytes]]) -> None:
        """A page of another site must not speak here, and only a known page may change things."""
        found = headers.get(b"origin", [])
        if any(origin.lower() not in self.origins for origin in found) or len(found) > 1:
            raise Refusal(403, "Origin: found another site, wanted the studio's own address")
        if method == "POST" and not found:
            raise Refusal(403, "Origin: found none, wanted the studio's own address")

    def _check_caller(self, headers: dict[bytes, list[bytes]]) -> None:
        site = headers.get(b"sec-fetch-site", [b"same-origin"])
        if any(s.lower() not in (b"same-origin", b"none") for s in site):
            raise Refusal(403, "Sec-Fetch-Site: found a request that another site started")
        token = headers.get(TOKEN, [])
        if len(token) != 1 or not hmac.compare_digest(token[0], self._token):
            raise Refusal(403, "X-Narrows-Token: wanted the token from the studio's address")

    async def _take_body(
        self, headers: dict[bytes, list[bytes]], receive: Receive, parts: list[bytes]
    ) -> None:
        """The whole body, of a known kind, not too large, in time, and checked."""
        kind = headers.get(b"content-type", [b""])
        if len(kind) != 1 or not _JSON.fullmatch(kind[0].strip()):
            raise Refusal(415, "Content-Type: wanted application/json")
        if headers.get(b"content-encoding", [b"identity"]) != [b"identity"]:
            raise Refusal(415, "Content-Encoding: wanted none")
        length = headers.get(b"content-length", [b"0"])[0]
        if length.isdigit() and int(length[:20]) > self.limits.body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.limits.receive):
                await self._receive(receive, parts)
        except TimeoutError:
            error = f"body: wanted all of it within {self.limits.receive:g} seconds"
            raise Refusal(408, error, _CLOSE) from None
        parts[:] = [b"".join(parts)]
        body = parts[0]
        if len(body) <= _SMALL:
            check_json(body, self.limits)
        else:
            await asyncio.to_thread(check_json, body, self.limits)

    async def _receive(self, receive: Receive, parts: list[bytes]) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "body: found the connection closed, wanted the rest of it")
            part = message.get("body", b"")
            parts.append(part)
            size += len(part)
            self._held += len(part)
            if size > self.limits.body:
                raise self._too_large()
            if self._held > 4 * self.limits.body:
                raise Refusal(503, "body: found too many large ones at once; try again", _CLOSE)
            more = message.get("more_body", False)

    def _too_large(self) -> Refusal:
        error = f"body: wanted at most {self.limits.body} bytes"
        return Refusal(413, error, _CLOSE)

    def _stamped(self, send: Send, api: bool) -> Send:
        """Sending with the headers that every answer has."""

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = dict(HEADERS)
                ours[b"cache-control"] = b"no-store" if api else b"no-cache"
                kept = [(k, v) for k, v in message.get("headers", []) if k.lower() not in ours]
                message = {**message, "headers": [*kept, *ours.items()]}
            async with asyncio.timeout(self.limits.send):
                await send(message)

        return stamped


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Receiving for the app: the body that is already here, then what the server says."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


async def _answer(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": refusal.error}, ensure_ascii=False).encode("utf-8")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
