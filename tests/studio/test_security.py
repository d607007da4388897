"""The guard refuses before anything is routed or parsed (W02 to W09, W13)."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import socket
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.studio.addresses import origins
from narrows.studio.app import make_app, page_files
from narrows.studio.bodies import Limits, Refusal, check_json
from narrows.studio.security import Guard
from studio.asking import CHANGE, HOST, ORIGIN, ORIGINS, READ, TOKEN, ask, never, post, studio
from studio.fake_desk import FakeDesk, compare, gallery

CORRECTION = "/api/runs/fake/cases/test/3/corrections"
KNOWN = {"known": {"unit 1": 1.0}}
ROUTES = (
    "/",
    "/health",
    "/openapi.json",
    "/static/index.html",
    "/api/runs",
    "/api/runs/fake",
    "/api/runs/fake/cases",
    "/api/runs/fake/cases/test/3",
    "/api/runs/fake/cases/test/3/input.png",
    "/api/runs/fake/cases/test/3/heat.png?unit=unit%201",
    "/api/runs/fake/cases/test/3/evidence?unit=unit%201",
    "/api/runs/fake/cases/test/3/why-not?label=yes",
    "/api/runs/fake/log",
    "/api/runs/fake/log.csv",
    "/api/runs/fake/model",
    "/api/runs/fake/weights",
    "/api/runs/fake/corrections.csv",
    "/api/runs/fake/report.html",
    "/api/compare?runs=fake,fake",
)


# W02


HOSTS = (
    "evil.example",
    "evil.example:8642",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.0.0.1:8643",
    "127.0.0.1:08642",
    "127.0.0.1:8642.evil.example",
    "127.0.0.1:8642@evil.example",
    "evil.example@127.0.0.1:8642",
    "evil.example#127.0.0.1:8642",
    "127.0.0.1:8642/",
    "127.0.0.1:8642/api",
    "127.0.0.1:8642?x=",
    "127.0.0.1:8642 ",
    " 127.0.0.1:8642",
    "127.0.0.1:8642, evil.example",
    "127.0.0.1.evil.example:8642",
    "localhost.evil.example:8642",
    "localhost.:8642",
    "localhost",
    "[::1]",
    "[::1%25lo]:8642",
    "[0:0:0:0:0:0:0:1]:8642",
    "::1:8642",
    "0.0.0.0:8642",
    "127.1:8642",
    "2130706433:8642",
    "0x7f.0.0.1:8642",
    "http://127.0.0.1:8642",
    "127.0.0.1:8642\\evil",
    "127.0.0.1:8642\t",
    "l\u00f6calhost:8642",
    "",
    "*",
    "null",
)


def test_thirty_crafted_host_headers_do_not_reach_the_app() -> None:
    assert len(HOSTS) >= 30
    app, reached = never()
    guard = Guard(app, TOKEN, ORIGINS)
    for host in HOSTS:
        for path in ("/", "/health", "/api/runs"):
            answer = ask(guard, path, headers={**READ, "host": host})
            assert answer.status == 421, host
    assert not reached


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(b"host", HOST.encode()), (b"host", b"evil.example")],
        [(b"host", HOST.encode()), (b"host", HOST.encode())],
        [(b"x-forwarded-host", HOST.encode()), (b"host", b"evil.example")],
    ],
)
def test_no_host_and_two_hosts_do_not_reach_the_app(pairs: list[tuple[bytes, bytes]]) -> None:
    app, reached = never()
    answer = ask(Guard(app, TOKEN, ORIGINS), "/", headers=pairs)
    assert answer.status == 421
    assert not reached


@pytest.mark.parametrize("host", [HOST, "localhost:8642", "[::1]:8642", "LOCALHOST:8642"])
def test_the_studios_own_names_do_reach_it(host: str) -> None:
    app, reached = never()
    assert ask(Guard(app, TOKEN, ORIGINS), "/", headers={"host": host}).status == 200
    assert len(reached) == 1


# W03


def forged() -> list[dict[str, str]]:
    """Headers of a correction that a foreign page or program might send: each lacks something."""
    origins = ("null", "http://evil.example", "http://127.0.0.1:9999", f"{ORIGIN}.evil.example")
    origins += ("https://127.0.0.1:8642", "http://127.0.0.1", "", "file://", f"{ORIGIN}/")
    tokens = ("", "wrong", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), TOKEN[::-1], f"{TOKEN},{TOKEN}")
    sites = ("cross-site", "same-site", "CROSS-SITE", "unknown", "")
    kinds = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
    kinds += ("application/jsonp", "text/json", "application/json-patch+json", "*/*")
    kinds += ("application/json; charset=utf-16", "application/json, text/plain")
    changed = [{"origin": o} for o in origins]
    changed += [{"x-narrows-token": t} for t in tokens]
    changed += [{"sec-fetch-site": s} for s in sites]
    changed += [{"content-type": k} for k in kinds]
    changed += [{"content-encoding": e} for e in ("gzip", "br", "deflate")]
    whole = [CHANGE | c for c in changed]
    lacking = ("origin", "x-narrows-token", "content-type")
    without = [{k: v for k, v in CHANGE.items() if k != name} for name in lacking]
    cookie = {k: v for k, v in CHANGE.items() if k != "x-narrows-token"}
    inside = [{**cookie, "cookie": f"x-narrows-token={TOKEN}"}]
    inside += [{**cookie, "authorization": f"Bearer {TOKEN}"}]
    return whole + without + inside


def test_forty_forged_requests_change_nothing() -> None:
    requests = forged()
    assert len(requests) >= 39
    desk = FakeDesk()
    app = studio(desk)
    for headers in requests:
        answer = post(app, CORRECTION, KNOWN, headers)
        assert answer.status in (403, 415), headers
        assert set(answer.json()) == {"error"}
    by_query = ask(app, f"{CORRECTION}?x-narrows-token={TOKEN}", "POST", requests[-1], b"{}")
    assert by_query.status == 403
    assert desk.log()["total"] == 0
    assert post(app, CORRECTION, KNOWN).status == 200  # the control: nothing lacks here
    assert desk.log()["total"] == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "post"])
def test_other_methods_do_not_exist(method: str) -> None:
    desk = FakeDesk()
    answer = ask(studio(desk), CORRECTION, method, CHANGE, json.dumps(KNOWN).encode())
    assert answer.status == 405
    assert desk.log()["total"] == 0


def test_two_tokens_or_two_origins_are_refused() -> None:
    app = studio()
    for name, value in (("x-narrows-token", TOKEN), ("origin", ORIGIN)):
        pairs = [(k.encode(), v.encode()) for k, v in CHANGE.items()]
        pairs.append((name.encode(), value.encode()))
        assert ask(app, CORRECTION, "POST", pairs, b"{}").status == 403


def test_reading_needs_the_token_and_no_foreign_page() -> None:
    app = studio()
    for path in ROUTES:
        wanted = 403 if path.startswith("/api") else 200
        assert ask(app, path, headers={"host": HOST}).status == wanted, path
        assert ask(app, path, headers={**READ, "origin": "http://evil.example"}).status == 403
        foreign = ask(app, path, headers={**READ, "sec-fetch-site": "cross-site"})
        assert foreign.status == wanted, path


def test_a_post_outside_the_api_is_refused_before_its_body_is_read() -> None:
    app, reached = never()
    headers = {k: v for k, v in CHANGE.items() if k != "x-narrows-token"}
    assert ask(Guard(app, TOKEN, ORIGINS), "/health", "POST", headers, b"{}").status == 403
    assert not reached


def test_websockets_are_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app, reached = never()
    asyncio.run(Guard(app, TOKEN, ORIGINS)({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert [m["type"] for m in sent] == ["websocket.close"]
    assert not reached


def test_behind_a_proxy_both_hosts_are_known_and_only_its_pages_may_speak() -> None:
    public = "https://studio.example.org"
    known = origins("127.0.0.1", 8642, [public])
    desk = FakeDesk()
    app = make_app({"fake": desk}, TOKEN, known, compare=compare)
    for host in (HOST, "studio.example.org"):
        for origin, status in ((public, 200), (ORIGIN, 200), ("http://studio.example.org", 403)):
            answer = post(app, CORRECTION, KNOWN, {**CHANGE, "host": host, "origin": origin})
            assert answer.status == status
    assert desk.log()["total"] == 4
    assert ask(app, "/", headers={"host": "studio.example.org:8642"}).status == 421


# W04


def test_no_get_route_changes_state() -> None:
    desk = FakeDesk()
    app = studio(desk)
    assert post(app, CORRECTION, KNOWN).status == 200
    paths = ask(app, "/openapi.json").json()["paths"]
    assert {m for path in paths.values() for m in path} == {"get", "post"}
    reading = {path for path, ways in paths.items() if "get" in ways}
    tried = {_template(path) for path in ROUTES}
    assert reading <= tried, "a route that this test does not ask"
    before = (desk.log(limit=10**6), desk.weights(), desk.corrections_csv())
    for path in ROUTES:
        assert ask(app, path).status == 200, path
    assert (desk.log(limit=10**6), desk.weights(), desk.corrections_csv()) == before


def _template(path: str) -> str:
    plain = path.partition("?")[0]
    for found, name in (("fake", "{run}"), ("/test/", "/{split}/"), ("/3", "/{row}")):
        plain = plain.replace(found, name)
    return plain


# W05, W06


def every_answer() -> list[tuple[str, Any]]:
    app = studio(FakeDesk(), Broken())
    asked = [(path, ask(app, path)) for path in ROUTES]
    asked += [(f"{path} foreign", ask(app, path, headers={"host": "evil"})) for path in ROUTES]
    asked.append(("unknown", ask(app, "/api/nothing")))
    asked.append(("unknown page", ask(app, "/static/nothing.js")))
    asked.append(("unknown run", ask(app, "/api/runs/nothing")))
    asked.append(("broken", ask(app, "/api/runs/broken/model")))
    asked.append(("preflight", ask(app, CORRECTION, "OPTIONS", CHANGE)))
    asked.append(("changed", post(app, CORRECTION, KNOWN)))
    asked.append(("not valid", post(app, CORRECTION, {"known": 1})))
    return asked


class Broken(FakeDesk):
    """A desk with a fault."""

    def __init__(self) -> None:
        super().__init__("broken")

    def model(self) -> dict[str, Any]:
        raise RuntimeError("secret words of the inside")


def test_every_answer_has_the_headers_and_none_of_cors_or_cookies() -> None:
    for name, answer in every_answer():
        names = [k for k, _ in answer.headers]
        assert not [k for k in names if k.startswith("access-control") or k == "set-cookie"], name
        policy = dict(
            part.strip().split(" ", 1)
            for part in str(answer.header("content-security-policy")).split(";")
        )
        assert policy["default-src"] == "'self'", name
        assert policy["frame-ancestors"] == "'none'", name
        assert policy.get("script-src", "'self'") == "'self'", name
        assert "unsafe" not in str(policy), name
        assert answer.header("x-content-type-options") == "nosniff", name
        assert answer.header("referrer-policy") == "no-referrer", name
        assert answer.header("x-frame-options") == "DENY", name
        wanted = "no-store" if name.startswith("/api") else "no-cache"
        if name.startswith("/") and "foreign" not in name:
            assert answer.header("cache-control") == wanted, name


def test_tables_and_reports_are_kept_never_shown() -> None:
    app = studio()
    for path in ROUTES:
        answer = ask(app, path)
        kind = str(answer.header("content-type"))
        if path.startswith("/api"):
            shown = kind.startswith(("application/json", "image/png"))
            assert shown or str(answer.header("content-disposition")).startswith("attachment")


def test_a_fault_is_answered_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(studio(Broken()), "/api/runs/broken/model")
    assert answer.status == 500
    assert answer.json() == {"error": "unexpected RuntimeError; the terminal says more"}
    assert TOKEN not in caplog.text


# W07


def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    app, reached = never()
    guard = Guard(app, TOKEN, ORIGINS, Limits(body=1000))
    large = json.dumps({"csv": "x" * 1000}).encode()
    declared = {**CHANGE, "content-length": str(len(large))}
    assert ask(guard, CORRECTION, "POST", declared, large).status == 413
    chunks = [large[i : i + 10] for i in range(0, len(large), 10)]
    assert ask(guard, CORRECTION, "POST", CHANGE, chunks).status == 413
    absurd = {**CHANGE, "content-length": "9" * 6000}
    assert ask(guard, CORRECTION, "POST", absurd, b"{}").status == 413
    lying = {**CHANGE, "content-length": "10"}
    assert ask(guard, CORRECTION, "POST", lying, chunks).status == 413
    assert not reached
    assert ask(guard, CORRECTION, "POST", CHANGE, b'{"csv": "x"}').status == 200


def test_the_default_limit_is_32_mib() -> None:
    app, reached = never()
    guard = Guard(app, TOKEN, ORIGINS)
    frame = len(b'{"csv":""}')
    whole = b'{"csv":"' + b"x" * ((32 << 20) - frame) + b'"}'
    assert ask(guard, CORRECTION, "POST", CHANGE, whole).status == 200
    assert ask(guard, CORRECTION, "POST", CHANGE, [whole, b" "]).status == 413
    assert len(reached) == 1


def test_bodies_at_hand_together_are_bounded_and_their_room_is_given_back() -> None:
    guard = Guard(never()[0], TOKEN, ORIGINS, Limits(body=100, receive=5))
    half = [b'{"csv":"' + b"x" * 80, b'"}']
    going = asyncio.Event()

    async def slow(first: list[bool]) -> dict[str, Any]:
        if first:
            first.pop()
            return {"type": "http.request", "body": half[0], "more_body": True}
        await going.wait()
        return {"type": "http.request", "body": half[1], "more_body": False}

    async def one() -> int:
        first, sent = [True], []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": CORRECTION,
            "raw_path": CORRECTION.encode(),
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in CHANGE.items()],
        }
        await guard(scope, lambda: slow(first), send)
        return int(sent[0]["status"])

    async def many() -> list[int]:
        tasks = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0.05)
        going.set()
        return sorted(await asyncio.gather(*tasks))

    assert asyncio.run(many()) == [200] * 4 + [503] * 4
    assert asyncio.run(one()) == 200


def test_a_body_that_trickles_is_given_up() -> None:
    app, reached = never()
    guard = Guard(app, TOKEN, ORIGINS, Limits(receive=0.05))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(k.encode(), v.encode()) for k, v in CHANGE.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": CORRECTION,
        "raw_path": CORRECTION.encode(),
        "query_string": b"",
        "headers": headers,
    }
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert not reached


def test_a_thousand_fields_are_the_most() -> None:
    app = studio(FakeDesk(units=[f"u{j}" for j in range(1200)]))
    for count, status in ((1000, 200), (1001, 413)):
        known = {f"u{j}": 0.5 for j in range(count)}
        assert post(app, CORRECTION, {"known": known}).status == status
        fields = "&".join(["x=1"] * count)
        assert ask(app, f"/api/runs?{fields}").status == status


BAD = (
    b"",
    b"{",
    b"{'a': 1}",
    b"\xff\xfe{}",
    b'{"known": {"unit 1": NaN}}',
    b'{"known": {"unit 1": Infinity}}',
    b'{"known": {"unit 1": 1e999}}',
    b'{"known": {"unit 1": 1}, "known": {"unit 2": 1}}',
    b'{"known": {"unit 1": 1, "unit 1": 0}}',
    b'{"known": {"unit 1": ' + b"1" * 5000 + b"}}",
    b"[" * 100_000,
    b"[" * 9 + b"]" * 9,
    b'{"a":' * 9 + b"1" + b"}" * 9,
    b'"\\ud800"' + b"x",
)


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_json_that_is_broken_or_ambiguous_is_refused(body: bytes) -> None:
    desk = FakeDesk()
    answer = ask(studio(desk), CORRECTION, "POST", CHANGE, body)
    assert answer.status == 400
    assert "JSON" in answer.json()["error"]
    assert desk.log()["total"] == 0


def test_json_that_would_grow_many_times_is_refused_unread() -> None:
    body = b"[" + b",".join([b"{}"] * 600_000) + b"]"
    with pytest.raises(Refusal, match="outside texts") as refused:
        check_json(body, Limits())
    assert refused.value.status == 413
    check_json(json.dumps({"csv": '"\\\n,{}' * 300_000}).encode(), Limits())


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'\\"'])
def test_texts_that_never_end_are_refused_in_one_pass(end: bytes) -> None:
    for part in (b'\\"', b'"', b"\\\\", b"x"):
        with pytest.raises(Refusal):
            check_json(b'{"csv":"' + part * (2 << 20) + b"x" + end, Limits(depth=3))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def _depth(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(inner, list) else 0


@given(value=JSON)
def test_what_json_writes_is_taken_unless_it_is_too_deep(value: Any) -> None:
    limits = Limits(depth=3, structure=0)
    body = json.dumps(value).encode()
    within = Limits(depth=3)
    if _depth(value) > 3:
        with pytest.raises(Refusal, match="levels"):
            check_json(body, within)
    else:
        check_json(body, within)
    outside = _outside(json.dumps(value))
    if outside:
        with pytest.raises(Refusal, match="outside texts"):
            check_json(body, limits)


def _outside(text: str) -> int:
    """Characters outside texts, counted one by one."""
    count, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            inside = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        else:
            count += 1
    return count


# W08


def traversals() -> list[bytes]:
    """Ways to name a file outside: plain, encoded once or twice, Windows, NUL, long, case."""
    dots = ("..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "..;", "...")
    slashes = ("/", "%2f", "%5c", "\\", "%252f", "//", "/./", "%c0%af")
    goals = ("etc/passwd", "app.py", "studio.sqlite")
    made = [(f"{d}{s}" * 3 + g) for d, s, g in itertools.product(dots, slashes, goals)]
    made += ["C:/Windows/win.ini", "C%3a%5cWindows%5cwin.ini", "//etc/passwd", "/etc/passwd"]
    made += ["index.html%00.png", "index.html/..", "INDEX.HTML", "index.html/", ".", "~", "~root"]
    made += [
        "file:///etc/passwd",
        "%2e",
        "a/" * 2000 + "b",
        "x" * 20_000,
        "\u202e",
        "CON",
        "NUL.js",
    ]
    return [name.encode("utf-8") for name in made]


def test_two_hundred_traversals_on_each_route_leak_nothing() -> None:
    patterns = traversals()
    assert len(patterns) >= 200
    app = studio()
    prefixes = (b"/", b"/static/", b"/api/", b"/api/runs/", b"/api/runs/fake/cases/")
    prefixes += (b"/api/runs/fake/cases/test/", b"/api/runs/fake/cases/test/3/")
    for prefix, pattern in itertools.product(prefixes, patterns):
        answer = ask(app, "", raw=prefix + pattern)
        assert answer.status in (400, 404), (prefix, pattern)
        assert answer.header("content-type") == "application/json"
        for secret in (b"root:", b"make_app", b"SQLite", b"[fonts]"):
            assert secret not in answer.body


def test_names_in_queries_are_names_and_no_paths() -> None:
    app = studio()
    for pattern in traversals()[:200]:
        text = quote(pattern)
        for path in (
            f"/api/runs/fake/cases/test/3/heat.png?unit={text}",
            f"/api/runs/fake/cases/test/3/why-not?label={text}",
            f"/api/runs/fake/cases?split={text}",
            f"/api/compare?runs=fake,{text}",
        ):
            assert ask(app, path).status in (400, 404), path


# W09, W10, W13


def test_every_route_works_with_networking_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    app = studio()

    def refused(*arguments: Any, **more: Any) -> None:
        raise AssertionError("an outgoing connection")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for path in ROUTES:
        assert ask(app, path).status == 200, path
    assert post(app, CORRECTION, KNOWN).status == 200


def test_the_pages_name_no_other_host() -> None:
    for name, content in page_files().items():
        text = content.decode("utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text, name
        assert "https://" not in text, name


def test_hostile_names_come_as_the_json_texts_they_are() -> None:
    desk = gallery()["hostile"]
    app = studio(desk)
    units = ask(app, "/api/runs/hostile").json()["units"]
    assert [u["name"] for u in units] == list(desk.names)
    for name in desk.names:
        answer = post(app, "/api/runs/hostile/cases/test/1/corrections", {"known": {name: 1}})
        assert answer.status == 200
        assert answer.header("content-type") == "application/json"
        note = {"text": name, "kind": "note"}
        assert post(app, "/api/runs/hostile/cases/test/1/notes", note).status == 200
    notes = ask(app, "/api/runs/hostile/cases/test/1").json()["notes"]
    assert [n["text"] for n in notes] == list(desk.names)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bytes]] = []

    def compared(first: bytes, second: bytes) -> bool:
        seen.append((first, second))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compared)
    assert ask(studio(), "/api/runs").status == 403  # the right token: nothing else decides
    assert seen == [(TOKEN.encode(), TOKEN.encode())]


def test_no_answer_repeats_the_token() -> None:
    app = studio()
    for path in (*ROUTES, f"/api/runs/{TOKEN}x?y={TOKEN}"):
        answer = ask(app, path)
        if answer.status == 200:
            assert TOKEN.encode() not in answer.body
            assert TOKEN not in str(answer.headers)
