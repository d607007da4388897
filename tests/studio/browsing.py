"""A real browser before the studio's pages, and the tools of `tests/web` where they are there."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from narrows.studio.app import make_app
from studio.fake_desk import FakeDesk, compare, gallery

TOKEN = "token-of-the-pages-0123456789"  # noqa: S105  # opens nothing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WEB = Path(__file__).parents[1] / "web"
PATIENCE = 10  # seconds until a test gives up
ACTS = (
    "window.pwned=1",
    "alert(1)",
    "fetch('//evil.example')",
    "top.location='//evil.example'",
    "document.body.innerHTML=''",
)
FORMS = (
    "<script>{}</script>",
    "<img src=x onerror={}>",
    "<svg/onload={}>",
    "javascript:{}",
    "\"><iframe srcdoc='<script>{}</script>'>",
    "'-{}-'",
    "${{{}}}",
    "</title><script>{}</script>",
    "<a href=javascript:{}>x</a>",
    "<math><mi xlink:href=javascript:{}>",
    "<style>@import '{}'</style>",
    "<details open ontoggle={}>",
)
PAYLOADS = tuple(form.format(act) for form in FORMS for act in ACTS)
CHROMIUM = os.environ.get("NARROWS_CHROMIUM") or shutil.which("chromium")


def tools() -> Path:
    """The folder with the npm packages of tests/web; skips where they are not installed."""
    folder = Path(os.environ.get("NARROWS_WEB_TOOLS") or WEB)
    if not (folder / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("no Node tools: run `npm ci` in tests/web, or name them in NARROWS_WEB_TOOLS")
    return folder


@contextmanager
def serving() -> Iterator[str]:
    """The pretended runs behind the real application, in a thread; gives its origin."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as door:
        origin = f"http://127.0.0.1:{door.getsockname()[1]}"
        desks = {**gallery(), "payloads": FakeDesk("payloads", "row", PAYLOADS, PAYLOADS)}
        app = make_app(desks, TOKEN, [origin], compare=compare)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield origin
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium by Playwright; skips with the reason where either is missing."""
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install Debian's package, or name it in NARROWS_CHROMIUM")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One window: what it shows, and everything that went wrong or went out."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pending: int = 0

    def go(self, place: str) -> Page:
        """Follow an address within the studio and wait until its page stands."""
        if self.page.evaluate("location.hash") != place:
            self.page.evaluate("place => { document.title = ''; location.hash = place; }", place)
        self.until("document.title !== ''")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until nothing is asked any more and every picture has come."""
        quiet = 0
        while quiet < 3:
            self.until("!document.querySelector('.coming')")
            self.page.wait_for_timeout(15)
            quiet = quiet + 1 if self.pending <= 0 else 0

    def until(self, true: str, arg: Any = None) -> None:
        """Wait for a condition; Playwright's own way needs an eval, which the page forbids."""
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(true, arg):
            assert time.monotonic() < end, f"never came: {true}; {self.wrong}"
            self.page.wait_for_timeout(20)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()


@dataclass
class Pages:
    """The studio in a browser; every window is closed after the test."""

    browser: Browser
    origin: str
    visits: list[Visit] = field(default_factory=list)

    def open(self, place: str = "#/", width: int = 1280, token: bool = True, **more: Any) -> Visit:
        context = self.browser.new_context(
            viewport={"width": width, "height": 844}, accept_downloads=True, **more
        )
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        visit = Visit(page, self.origin)
        self.visits.append(visit)
        page.on("console", lambda m: self._heard(visit, m))
        page.on("pageerror", lambda error: visit.wrong.append(str(error)))
        page.on("request", lambda request: self._asked(visit, request.url))
        for done in ("requestfinished", "requestfailed"):
            page.on(done, lambda request: self._answered(visit))
        page.on("dialog", lambda dialog: visit.wrong.append(f"dialog {dialog.message}"))
        page.goto(f"{self.origin}/" + (f"#token={TOKEN}" if token else ""))
        if token:
            visit.until("document.title.includes('·')")
            visit.go(place)
        return visit

    @staticmethod
    def _asked(visit: Visit, url: str) -> None:
        visit.asked.append(url)
        visit.pending += 1

    @staticmethod
    def _answered(visit: Visit) -> None:
        visit.pending -= 1

    @staticmethod
    def _heard(visit: Visit, message: Any) -> None:
        if message.type in ("error", "warning"):
            visit.wrong.append(message.text)

    def close(self) -> None:
        for visit in self.visits:
            visit.page.context.close()
        self.visits.clear()
