"""The real server: address, end, slow and many connections, what it writes (W01, W07, W13)."""

from __future__ import annotations

import contextlib
import getpass
import json
import resource
import signal
import socket
import stat
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from narrows.errors import InvalidInput
from narrows.studio import addresses, server
from narrows.studio.addresses import Token
from studio.fake_desk import FakeDesk
from studio.serving import TOKEN, Server, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc of POSIX")
CORRECTIONS = "/api/runs/digits/cases/test/3/corrections"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("server"), patience=1.0) as found:
        yield found


def test_the_address_carries_the_token_in_its_fragment(running: Server) -> None:
    assert running.line == f"http://127.0.0.1:{running.port}/#token={TOKEN}"
    status, headers, body = running.ask("/health")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert "server" not in headers
    assert running.ask("/")[0] == 200


def test_a_correction_goes_through_the_wire(running: Server) -> None:
    status, _, body = running.ask(CORRECTIONS, "POST", {"known": {"left is 2": 1}})
    assert status == 200
    assert json.loads(body)["undo"] is True
    assert running.ask(CORRECTIONS, "POST", {"known": {}})[0] == 400
    assert running.ask(CORRECTIONS, "POST", {}, Origin="http://evil.example")[0] == 403
    assert running.ask(CORRECTIONS, "POST", {}, X_Narrows_Token="wrong")[0] == 403  # noqa: S106
    assert running.ask("/api/runs", Host="evil.example")[0] == 421
    assert running.ask("/api/runs/nothing")[0] == 404


def raw(port: int, text: bytes, timeout: float = 20) -> bytes:
    """What the server answers to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(text)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET http://127.0.0.1:%d/health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost : 127.0.0.1:%d\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n folded\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (b"x" * 70_000, 1),
    ],
    ids=range(12),
)
def test_malformed_requests_get_a_refusal_and_the_server_goes_on(
    running: Server, text: bytes
) -> None:
    filled = text.replace(b"%d", str(running.port).encode())
    answer = raw(running.port, filled)
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert running.ask("/health")[0] == 200


@pytest.mark.parametrize("start", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX: "])
def test_a_connection_that_never_sends_a_whole_head_is_cut_off(
    running: Server, start: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(start)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""  # times out where the server would wait for ever


def test_a_connection_that_trickles_after_an_answer_is_cut_off(running: Server) -> None:
    head = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        for _ in range(2):  # the connection is kept and used again
            connection.sendall(head)
            answer = connection.recv(65536)
            while not answer.endswith(b"}"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
        connection.sendall(b"G")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_thousand_open_connections_leave_the_server_answering(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    opened: list[socket.socket] = []
    try:
        with served(tmp_path, patience=600) as busy:
            head = b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX: " % busy.port
            for _ in range(1000):
                opened.append(socket.create_connection(("127.0.0.1", busy.port), timeout=30))
                opened[-1].sendall(head)
            assert busy.ask("/health")[0] == 200
            assert busy.ask(CORRECTIONS, "POST", {"known": {"left is 2": 1}})[0] == 200
            status = Path(f"/proc/{busy.process.pid}/status")
            if status.exists():
                used = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
                assert int(used.split()[1]) < 1_000_000  # kilobytes
    finally:
        for connection in opened:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_well_and_the_token_is_in_no_log(
    tmp_path: Path, number: int
) -> None:
    with served(tmp_path) as running:
        assert running.ask("/api/runs")[0] == 200
        assert running.ask("/api/runs", X_Narrows_Token=f"{TOKEN}x")[0] == 403
        assert running.ask(f"/api/runs?token={TOKEN}")[0] == 200
        assert running.ask(CORRECTIONS, "POST", {"known": {"left is 2": 7}})[0] == 400
        raw(running.port, f"GET /{TOKEN} HTTP/9\r\n\r\n".encode())
        code, rest = running.stop(number)
    assert code == 0
    assert rest == "stopped\n"
    assert running.log.read_text() == ""


def test_a_chosen_token_is_not_printed(tmp_path: Path) -> None:
    with served(tmp_path, chosen=True) as running:
        assert running.line == f"http://127.0.0.1:{running.port}/"
        assert running.ask("/api/runs")[0] == 200


def test_two_servers_take_two_ports_and_a_given_one_is_kept(tmp_path: Path) -> None:
    with served(tmp_path) as first, served(tmp_path) as second:
        assert first.port != second.port
        port = second.port
        assert second.stop()[0] == 0
        with served(tmp_path, port=port) as third:
            assert third.port == port


def test_no_collector_of_the_environment_is_told_anything(tmp_path: Path) -> None:
    """FastAPI can export traces where these variables ask for it."""
    with socket.create_server(("127.0.0.1", 0)) as collector:
        collector.settimeout(0.5)
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        asked = {
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        with served(tmp_path, **asked) as running:
            assert running.ask("/api/runs")[0] == 200
            assert running.ask("/api/runs/nothing")[0] == 404
            assert running.stop()[0] == 0
        with pytest.raises(TimeoutError):
            collector.accept()


def test_localhost_is_answered_on_both_of_its_addresses(running: Server) -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as connection:
            connection.settimeout(20)
            try:
                connection.connect((host, running.port))
            except OSError:
                if family == socket.AF_INET6:
                    pytest.skip("this machine does not speak IPv6")
                raise
            connection.sendall(
                f"GET /health HTTP/1.1\r\nHost: localhost:{running.port}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


# In this process


@pytest.fixture
def unserved(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """`serve` without serving: what would have answered, and where."""
    seen: list[Any] = []
    monkeypatch.setattr(server, "run", lambda app, sockets: seen.append((app, sockets)))
    return seen


def test_the_printed_address_is_the_proxys_where_there_is_one(unserved: list[Any]) -> None:
    said: list[str] = []
    public = ["https://studio.example.org/"]
    for chosen in (False, True):
        server.serve(
            {"a": FakeDesk("a")},
            Token(TOKEN, chosen),
            public=public,
            browser=False,
            say=said.append,
        )
    assert said == [
        f"https://studio.example.org/#token={TOKEN}",
        "https://studio.example.org/",
    ]
    app, sockets = unserved[0]
    assert b"https://studio.example.org" in app.origins
    assert b"studio.example.org" in app.hosts
    assert all(s.fileno() == -1 for s in sockets), "sockets left open"


def test_a_wrong_public_address_leaves_no_socket_open(
    unserved: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []

    def listening(host: str, port: int | None) -> list[socket.socket]:
        made.extend(addresses.listen(host, port))
        return made

    monkeypatch.setattr(server, "listen", listening)
    with pytest.raises(InvalidInput, match="--origin"):
        server.serve({}, Token(TOKEN, chosen=False), public=["nothing"], browser=False)
    assert not unserved
    assert [s.fileno() for s in made] == [-1] * len(made)
    assert made


def test_a_browser_gets_the_token_by_a_private_file(
    unserved: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments of programs can be read by every user of a machine."""
    monkeypatch.setenv("DISPLAY", ":0")
    seen: list[tuple[str, str, int, int]] = []

    def opened(url: str) -> bool:
        path = Path(url.removeprefix("file://"))
        mode, outer = path.stat().st_mode, path.parent.stat().st_mode
        seen.append((url, path.read_text(), stat.S_IMODE(mode), stat.S_IMODE(outer)))
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    monkeypatch.setattr(server.threading, "Thread", _AtOnce)
    said: list[str] = []
    server.serve({}, Token(TOKEN, chosen=False), say=said.append)
    url, text, mode, outer = seen[0]
    assert TOKEN not in url
    assert said[0] in text
    assert mode == 0o600
    assert outer == 0o700
    assert not Path(url.removeprefix("file://")).exists()


class _AtOnce:
    """A thread that runs where it is started."""

    def __init__(self, target: Any, args: tuple[Any, ...], daemon: bool) -> None:
        self.call = lambda: target(*args)

    def start(self) -> None:
        self.call()


def test_no_browser_is_opened_without_a_screen_or_where_none_is_wanted(
    unserved: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str) -> bool:
        raise AssertionError(url)

    monkeypatch.setattr(webbrowser, "open", refused)
    monkeypatch.setattr(server.threading, "Thread", _AtOnce)
    monkeypatch.setenv("DISPLAY", ":0")
    server.serve({}, Token(TOKEN, chosen=False), browser=False, say=lambda text: None)
    if sys.platform not in ("darwin", "win32"):
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        server.serve({}, Token(TOKEN, chosen=False), say=lambda text: None)
    assert len(unserved) == (1 if sys.platform == "darwin" else 2)


def test_who_acts_is_the_proxys_name_or_this_machines_user() -> None:
    assert server.naming("X-User")({"X-User": "ada"}) == "ada"
    assert server.naming("X-User")({}) == ""
    assert len(server.naming("X-User")({"X-User": "a" * 5000})) == 200
    assert server.naming(None)({"X-User": "ada"}) == getpass.getuser()
