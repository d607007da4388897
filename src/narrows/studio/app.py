"""The studio's web application: opened runs behind the guard.

It holds no state of its own. Every answer comes from a desk, every change goes through one, and
the routes know nothing about methods. Memory: what the desks hold, and the request at hand.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

import narrows
from narrows.errors import NarrowsError, RunLocked, UnknownName, unknown
from narrows.studio import shapes
from narrows.studio.bodies import Limits
from narrows.studio.routes import changing, reading
from narrows.studio.security import Guard

if TYPE_CHECKING:
    from narrows.studio.desk import Desk

Compare = Callable[..., dict[str, Any]]
STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_THREADS = 8  # they share two or three cores and one lock a run; more would only pass turns around
# Nothing leaves this machine, whatever the environment says about collectors.
_SILENT: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def make_app(
    desks: Mapping[str, Desk],
    token: str,
    origins: Iterable[str],
    *,
    who: Callable[[Mapping[str, str]], str] = lambda headers: "",
    limits: Limits | None = None,
    pages: Mapping[str, bytes] | None = None,
    compare: Compare | None = None,
) -> Guard:
    """Build the application.

    Args:
        desks: opened runs by their id, which stands in addresses.
        token: that every request below /api must carry.
        origins: addresses under which people reach the studio, `scheme://host:port`.
        who: the person's name, from a request's headers, for the journal.
        limits: of one request.
        pages: files of the front end by name; those of the package by default.
        compare: puts two desks side by side; `comparing.compare` by default.

    Returns:
        An ASGI application.
    """
    app = FastAPI(
        title="Narrows studio",
        version=narrows.__version__,
        description=__doc__,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_SILENT,
        lifespan=_few_threads,
        exception_handlers={
            NarrowsError: _refused,
            RequestValidationError: _not_valid,
            HTTPException: _not_found,
            Exception: _failed,
        },
    )
    app.include_router(_open(page_files() if pages is None else pages))
    app.include_router(reading(desks, compare or _compare))
    app.include_router(changing(desks, who))
    return Guard(app, token, origins, limits)


@asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    """Answer in a few threads, first come, first served."""
    to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


def page_files(folder: Path = STATIC) -> dict[str, bytes]:
    """The front end's files by name; only these can ever be served.

    Example:
        >>> sorted(name for name in page_files() if name.endswith(".html"))
        ['index.html']
    """
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in _TYPES
    }


def _open(pages: Mapping[str, bytes]) -> APIRouter:
    """What anybody may read: that the server lives, and the front end."""
    router = APIRouter()

    @router.get("/health", response_model=shapes.Health)
    async def health() -> Response:
        """Whether the server answers."""
        return JSONResponse({"status": "ok", "version": narrows.__version__})

    @router.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return _page(pages, "index.html", request)

    @router.get("/static/{name:path}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        return _page(pages, name, request)

    return router


def _page(pages: Mapping[str, bytes], name: str, request: Request) -> Response:
    if name not in pages:
        raise unknown("file", name, pages)
    content, headers = pages[name], {"vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = _packed(content), headers | {"content-encoding": "gzip"}
    return Response(content, media_type=_TYPES[Path(name).suffix], headers=headers)


@lru_cache(maxsize=64)
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _compare(first: Desk, second: Desk, split: str, **part: int) -> dict[str, Any]:
    from narrows.studio.comparing import compare

    return compare(first, second, split, **part)


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    """An error that Narrows raises on purpose."""
    status = {UnknownName: 404, RunLocked: 409}
    found = next((code for kind, code in status.items() if isinstance(error, kind)), 400)
    return _error(found, str(error))


async def _not_valid(request: Request, error: Any) -> Response:
    """A request that is not of the shape its route takes."""
    told = []
    for problem in error.errors()[:5]:
        place = ".".join(str(part) for part in problem["loc"])
        told.append(f"{place}: found {problem.get('input')!r:.80}, {problem['msg']}")
    return _error(400, "; ".join(told))


async def _not_found(request: Request, error: Any) -> Response:
    """A route or a method of a route that does not exist."""
    return _error(error.status_code, f"path: {error.detail}", error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    """An error nobody foresaw; the server logs its trace, the other side gets its kind."""
    return _error(500, f"unexpected {type(error).__name__}; the terminal says more")
