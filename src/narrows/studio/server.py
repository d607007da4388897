"""Serving the studio: one process, its sockets, and the page a person sees first."""

from __future__ import annotations

import html
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.errors import require
from narrows.studio.addresses import Token, listen, origins

if TYPE_CHECKING:
    from narrows.studio.desk import Desk

FILES = 4096  # open files a busy server may want: a connection is one
CONNECTIONS = 2000  # beyond them new requests are answered by "busy"
STOP = 3  # seconds that requests under way have when the server stops


def serve(
    desks: Mapping[str, Desk],
    token: Token,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    public: Sequence[str] = (),
    user_header: str | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve opened runs until a signal stops it.

    Args:
        desks: opened runs by id.
        token: what opens it until it stops.
        host: where to listen.
        port: where to listen; by default 8642 or, where that is taken, a free one.
        public: addresses of a proxy before the studio, `https://name`.
        user_header: the header in which that proxy puts the person's name, for the journal.
        browser: whether to open a browser, where there is a screen.
        say: prints the address. It holds the token, after `#`, so that browsers send it to
            nobody; a token that the owner chose is not printed.

    Raises:
        MissingExtra: the packages of `narrows[studio]` are not installed.
        InvalidInput: an address or port that cannot be used.
    """
    for module in ("fastapi", "uvicorn"):
        require(module, "studio")
    from narrows.studio.app import make_app

    sockets = listen(host, port)
    try:
        port = int(sockets[0].getsockname()[1])
        known = origins(host, port, public)
        app = make_app(desks, token.text, known, who=naming(user_header))
        shown = public[0].rstrip("/") if public else _shown(host, port)
        address = f"{shown}/" if token.chosen else f"{shown}/#token={token.text}"
        say(address)
        with _first_page(address, browser):
            run(app, sockets)
    except KeyboardInterrupt:  # how a person stops it, while it starts, too
        return
    finally:
        for bound in sockets:
            bound.close()


def run(app: Any, sockets: Sequence[socket.socket]) -> None:
    """Answer on these sockets until SIGINT or SIGTERM."""
    uvicorn = require("uvicorn", "studio")
    from narrows.studio.patience import PatientProtocol

    _allow_files()
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,  # nothing is written but failures, on standard error
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STOP,
    )
    uvicorn.Server(config).run(sockets=list(sockets))


def naming(header: str | None) -> Callable[[Mapping[str, str]], str]:
    """Who acts: the name a proxy puts into a header, else the user of this machine.

    Example:
        >>> naming("X-Forwarded-User")({"X-Forwarded-User": "ada"})
        'ada'
    """
    if header is not None:
        return lambda headers: headers.get(header, "")[:200]
    user = _user()
    return lambda headers: user


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for its user
        return ""


def _shown(host: str, port: int) -> str:
    """The address to print: one that a browser can open."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104  # compared only
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _allow_files() -> None:
    """Let as many connections be open as the system allows this process."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _first_page(address: str, browser: bool) -> Iterator[None]:
    """Open a browser on the address by a private file: arguments of programs can be seen by all."""
    if not browser or not _screen():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="narrows-studio-") as folder:
        page = Path(folder) / "open.html"
        page.touch(mode=0o600)
        link = html.escape(address, quote=True)
        page.write_text(
            f'<!doctype html><meta charset="utf-8"><title>Narrows studio</title>'
            f'<meta http-equiv="refresh" content="0; url={link}"><a href="{link}">open</a>',
            encoding="utf-8",
        )
        threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
        yield


def _screen() -> bool:
    """Whether a window can open here."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
