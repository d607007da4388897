"""Where the studio listens, its names and its token (W01, W13)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from narrows.errors import InvalidInput
from narrows.studio import addresses
from narrows.studio.addresses import VARIABLE, Token, find_token, is_loopback, listen, origins
from narrows.studio.names import name_runs

LONG = "0123456789abcdefghijkl"
WILD = "0.0.0.0"  # noqa: S104  # never listened on here
OUTSIDE = (WILD, "::", "192.168.0.7", "10.0.0.1", "studio.example.org", "", "127.0.0.1.x")
INSIDE = ("127.0.0.1", "::1", "localhost", "127.0.0.2")


@contextmanager
def listening(host: str = "127.0.0.1", port: int | None = None) -> Iterator[list[socket.socket]]:
    sockets = listen(host, port)
    try:
        yield sockets
    finally:
        for made in sockets:
            made.close()


def test_only_loopback_addresses_do_without_a_chosen_token() -> None:
    for host in OUTSIDE:
        assert not is_loopback(host)
        with pytest.raises(InvalidInput, match=r"--host.*token-file"):
            find_token(host, {})
        assert find_token(host, {VARIABLE: LONG}) == Token(LONG, chosen=True)
    for host in INSIDE:
        assert is_loopback(host)
        assert not find_token(host, {}).chosen


def test_fresh_tokens_have_128_bits_or_more_and_never_repeat() -> None:
    tokens = {find_token("127.0.0.1", {}).text for _ in range(200)}
    assert len(tokens) == 200
    letters = {letter for token in tokens for letter in token}
    assert len(letters) == 64
    assert all(len(token) * 6 >= 128 for token in tokens)


@pytest.mark.parametrize(
    "text", ["x", LONG[:-1], f"{LONG[:10]} {LONG}", f"{LONG}\u00e9", "\t" * 30]
)
def test_a_weak_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"{VARIABLE}: found a token of {len(text)}") as refused:
        find_token("127.0.0.1", {VARIABLE: text})
    assert text not in str(refused.value).replace("x", "") or text == "x"


def test_a_tokens_text_is_in_no_representation() -> None:
    assert LONG not in repr(Token(LONG, chosen=True))


def test_a_token_file_must_be_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{LONG}\n")
    path.chmod(0o600)
    assert find_token(WILD, {}, path).text == LONG
    with pytest.raises(InvalidInput, match="one of them"):
        find_token(WILD, {VARIABLE: LONG}, path)
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(InvalidInput, match="chmod 600"):
            find_token(WILD, {}, path)
    with pytest.raises(InvalidInput, match="--token-file"):
        find_token(WILD, {}, tmp_path / "nothing")
    path.chmod(0o600)
    path.write_bytes(b"\xff" * 30)
    with pytest.raises(InvalidInput, match="text file"):
        find_token(WILD, {}, path)


def test_names_are_those_of_this_machine_and_of_the_proxy() -> None:
    loopback = ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]
    for host in ("127.0.0.1", "localhost", "::1", WILD, "::"):
        assert list(origins(host, 9)) == loopback
    assert origins("fe80::1", 9)[-1] == "http://[fe80::1]:9"
    public = (
        "https://a.example",
        "https://A.example:443/",
        "http://a.example:8080",
        "http://[::2]",
    )
    assert origins("127.0.0.1", 9, public)[3:] == (
        "https://a.example",
        "https://a.example",
        "http://a.example:8080",
        "http://[::2]",
    )


@pytest.mark.parametrize(
    "address",
    [
        "studio.example.org",
        "ftp://a.example",
        "https://a.example/studio",
        "https://a.example?x",
        "https://a.example#x",
        "https://me@a.example",
        "https://",
        "https://*",
        "https://a.example:99999",
        "https://a b",
        "null",
        "",
    ],
)
def test_a_public_address_is_an_origin_and_nothing_else(address: str) -> None:
    with pytest.raises(InvalidInput, match="--origin"):
        origins("127.0.0.1", 9, [address])


def test_the_default_listens_on_loopback_only_on_one_port() -> None:
    with listening() as sockets:
        names = [s.getsockname() for s in sockets]
        assert {name[0] for name in names} <= {"127.0.0.1", "::1"}
        assert names[0][0] == "127.0.0.1"
        assert len({name[1] for name in names}) == 1
        # asyncio turns Nagle's delay off for sockets that name their protocol, and for no others
        assert {s.proto for s in sockets} == {socket.IPPROTO_TCP}


def test_a_taken_port_is_refused_and_the_default_goes_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("127.0.0.1") as first:
        taken = first[0].getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {taken}"):
            listen("127.0.0.1", taken)
        monkeypatch.setattr(addresses, "PORT", taken)
        with listening("127.0.0.1") as second:
            assert second[0].getsockname()[1] != taken


def test_a_port_that_is_taken_for_ipv6_alone_is_taken() -> None:
    """Else `localhost` could lead to a program of somebody else."""
    with listening("::1") as sockets:
        if len(sockets) == 1:
            pytest.skip("this machine does not speak IPv6")
        port = sockets[0].getsockname()[1]
        sockets[0].close()
        with pytest.raises(InvalidInput, match=f"port {port}"):
            listen("127.0.0.1", port)


def test_addresses_of_other_machines_are_refused() -> None:
    for host in ("192.0.2.1", "no such name.invalid"):
        with pytest.raises(InvalidInput, match="--host"):
            listen(host, None)


def test_a_refused_port_leaves_no_socket_open() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    with listening("127.0.0.1") as first, pytest.raises(InvalidInput):
        listen("127.0.0.1", first[0].getsockname()[1])
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    assert after == before


def test_ids_are_unique_and_plain() -> None:
    folders = ["runs/mine", "old/mine", "a/mine-2", "b/..", "c/\u00e9\u00e8", "d/my run", "x" * 200]
    names = name_runs([Path(f) for f in folders])
    assert len(set(names)) == len(names)
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        assert name[0] not in ".-"
        assert 0 < len(name) < 70
