"""Where the studio listens, under which names it answers, and the token that opens it."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from narrows.errors import wrong
from narrows.studio.security import SHORTEST_TOKEN

PORT = 8642  # the first that is tried, so that the address stays the same from day to day
LOOPBACK = ("127.0.0.1", "::1")
VARIABLE = "NARROWS_STUDIO_TOKEN"
_TRIES = 20
_TOKEN = re.compile(rf"[\x21-\x7e]{{{SHORTEST_TOKEN},}}")


@dataclass(frozen=True)
class Token:
    """The secret of one session.

    Attributes:
        text: what requests carry.
        chosen: by the owner, who knows it, so it is never printed.
    """

    text: str = field(repr=False)
    chosen: bool


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> [is_loopback(host) for host in ("localhost", "::1", "127.0.0.9", "0.0.0.0", "a.b")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find_token(host: str, environment: Mapping[str, str], path: Path | None = None) -> Token:
    """The owner's token, or a fresh one where only this machine can reach the studio.

    Args:
        host: where it listens.
        environment: may hold NARROWS_STUDIO_TOKEN.
        path: of a file with the token, which only its owner may read.

    Raises:
        InvalidInput: no token for an address that others can reach, two tokens, one that is too
            short, or a file that others can read.
    """
    given = environment.get(VARIABLE)
    if given and path is not None:
        raise wrong("--token-file", f"{VARIABLE} beside it", "one of them")
    if path is not None:
        return Token(_checked("--token-file", _read(path)), chosen=True)
    if given:
        return Token(_checked(VARIABLE, given), chosen=True)
    if not is_loopback(host):
        wanted = f"a token in {VARIABLE} or --token-file, as others can reach this address"
        raise wrong("--host", f"{host!r} and no token", wanted)
    return Token(secrets.token_urlsafe(32), chosen=False)


def _read(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise wrong("--token-file", f"{path}: {error}", "a text file") from error
    if os.name == "posix" and mode & 0o077:
        raise wrong("--token-file", f"{path}, which others can open", f"chmod 600 {path}")
    return text.strip()


def _checked(argument: str, token: str) -> str:
    if not _TOKEN.fullmatch(token):
        wanted = f"at least {SHORTEST_TOKEN} letters, digits or signs, without spaces"
        raise wrong(argument, f"a token of {len(token)} characters", wanted)
    return token


def origins(host: str, port: int, public: Sequence[str] = ()) -> tuple[str, ...]:
    """The addresses under which the studio answers, as browsers write them.

    Args:
        host: where it listens.
        port: where it listens.
        public: addresses of a proxy before it.

    Raises:
        InvalidInput: a public address is no `https://name` or `http://name:port`.

    Example:
        >>> origins("192.168.0.7", 80, ["https://Studio.example.org/"])[-3:]
        ('http://192.168.0.7:80', 'http://192.168.0.7', 'https://studio.example.org')
    """
    names = ["127.0.0.1", "localhost", "[::1]"]
    bracketed = f"[{host}]" if ":" in host else host.lower()
    if bracketed not in names and bracketed not in ("0.0.0.0", "[::]"):  # noqa: S104  # compared only
        names.append(bracketed)
    own = [f"http://{name}:{port}" for name in names]
    if port == 80:  # browsers leave it out
        own = [form for name in own for form in (name, name.removesuffix(":80"))]
    return (*own, *map(_origin, public))


def _origin(address: str) -> str:
    wanted = "an address such as https://studio.example.org, without a path"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise wrong("--origin", repr(address), wanted) from None
    plain = re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", parts.hostname or "")
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not plain or rest:
        raise wrong("--origin", repr(address), wanted)
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else str(parts.hostname)
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" + (f":{port}" if port not in (None, usual) else "")


def listen(host: str = LOOPBACK[0], port: int | None = None) -> list[socket.socket]:
    """Sockets that wait for connections.

    The usual loopback addresses come together, so that `localhost` never leads to a program of
    somebody else, whichever of the two a browser takes.

    Args:
        host: an address of this machine, or a name of one.
        port: of all sockets; by default 8642 or, where that is taken, a free one.

    Raises:
        InvalidInput: the port is taken or not allowed, or the address is not this machine's.
    """
    hosts = LOOPBACK if host in ("localhost", *LOOPBACK) else (host,)
    tried = [port] if port is not None else [PORT] + [0] * _TRIES
    for number in tried:
        try:
            return _bound(hosts, number)
        except OSError as error:
            reason = error
            if error.errno != errno.EADDRINUSE:
                break
    found = f"{host} port {tried[-1] or 'any'}: {reason.strerror or reason}"
    raise wrong("--host, --port", found, "an address of this machine and a free port") from reason


def _bound(hosts: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            bound = _one(host, port)
            if bound is not None:
                sockets.append(bound)
                port = bound.getsockname()[1]
    except OSError:
        for made in sockets:
            made.close()
        raise
    return sockets


def _one(host: str, port: int) -> socket.socket | None:
    """One socket; None where the machine does not speak IPv6 and the address is its loopback."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    family, address = found[0], found[4]
    try:
        # The protocol is named: asyncio turns off Nagle's delay (40 ms an answer) only then.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        if host == LOOPBACK[1]:
            return None
        raise
    try:
        if os.name == "posix":  # elsewhere it would let two programs share the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(2048)
    except OSError as error:
        made.close()
        if host == LOOPBACK[1] and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return made
