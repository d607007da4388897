"""The routes below /api: those that read, and those that change something.

Only POST changes anything. Routes are plain functions, so that they run in threads and a long
question does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader

from narrows.errors import unknown, wrong
from narrows.studio import shapes

if TYPE_CHECKING:
    from narrows.studio.desk import Desk

_LARGEST = 2**31 - 1
RowNumber = Annotated[int, Path(ge=0, le=_LARGEST)]
Offset = Annotated[int, Query(ge=0, le=_LARGEST)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Text = Annotated[str, Query(max_length=2000)]
Filter = Literal["all", "unsure", "wrong", "corrected", "noted"]
Sort = Literal["row", "margin", "corrections"]
_CASE = "/runs/{run}/cases/{split}/{row}"
_WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.Error, "description": text}
    for status, text in (
        (400, "A value is wrong."),
        (403, "The token is missing or wrong, or another site asked."),
        (404, "No such run, split, row, unit or label."),
        (409, "Another process holds the run's journal."),
    )
}


def _router() -> APIRouter:
    token = APIKeyHeader(name="X-Narrows-Token", auto_error=False)  # the guard is what checks it
    return APIRouter(prefix="/api", dependencies=[Security(token)], responses=_WRONG)


def _desk(desks: Mapping[str, Desk], run: str) -> Desk:
    if run not in desks:
        raise unknown("run", run, desks)
    return desks[run]


def reading(desks: Mapping[str, Desk], compare: Callable[..., dict[str, Any]]) -> APIRouter:
    """Routes that change nothing."""
    router = _router()
    _read_run(router, desks)
    _read_case(router, desks)
    _take_away(router, desks)

    @router.get("/compare", response_model=shapes.Compared)
    def compared(
        runs: Text, split: Text = "test", offset: Offset = 0, limit: Limit = 200
    ) -> Response:
        """Two runs side by side: their numbers, and the cases they label differently."""
        names = runs.split(",")
        if len(names) != 2:
            raise wrong("runs", runs, "two runs with a comma between")
        first, second = (_desk(desks, name) for name in names)
        return JSONResponse(compare(first, second, split, offset=offset, limit=limit))

    return router


def _read_run(router: APIRouter, desks: Mapping[str, Desk]) -> None:
    @router.get("/runs", response_model=shapes.Runs)
    def runs() -> Response:
        """All opened runs."""
        return JSONResponse({"runs": [desk.summary() for desk in desks.values()]})

    @router.get("/runs/{run}", response_model=shapes.About)
    def about(run: str) -> Response:
        """One run: its method, data, labels and units."""
        return JSONResponse(_desk(desks, run).about())

    @router.get("/runs/{run}/cases", response_model=shapes.Cases)
    def cases(
        run: str,
        split: Text = "test",
        filter: Filter = "all",
        label: Text = "",
        search: Text = "",
        sort: Sort = "row",
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> Response:
        """A part of the list of cases."""
        found = _desk(desks, run).cases(
            split,
            filter=filter,
            label=label or None,
            search=search,
            sort=sort,
            offset=offset,
            limit=limit,
        )
        return JSONResponse(found)

    @router.get("/runs/{run}/log", response_model=shapes.Log)
    def log(run: str, offset: Offset = 0, limit: Limit = 200) -> Response:
        """The journal, newest first."""
        return JSONResponse(_desk(desks, run).log(offset=offset, limit=limit))

    @router.get("/runs/{run}/model", response_model=shapes.Model)
    def model(run: str) -> Response:
        """What an analyst reads: tables, plots and the model card."""
        return JSONResponse(_desk(desks, run).model())

    @router.get("/runs/{run}/weights", response_model=shapes.Weights)
    def weights(run: str) -> Response:
        """The linear head with its kept edits, or the reason why there is none."""
        return JSONResponse(_desk(desks, run).weights())


def _read_case(router: APIRouter, desks: Mapping[str, Desk]) -> None:
    @router.get(_CASE, response_model=shapes.Case)
    def case(
        run: str,
        split: str,
        row: RowNumber,
        filter: Filter = "all",
        label: Text = "",
        search: Text = "",
        sort: Sort = "row",
    ) -> Response:
        """One case; previous and next follow the list that the query describes."""
        query = {"filter": filter, "label": label or None, "search": search, "sort": sort}
        return JSONResponse(_desk(desks, run).case(split, row, **query))

    @router.get(_CASE + "/evidence", response_model=shapes.Evidence)
    def evidence(run: str, split: str, row: RowNumber, unit: Text) -> Response:
        """What speaks for a unit."""
        return JSONResponse(_desk(desks, run).evidence(split, row, unit))

    @router.get(_CASE + "/why-not", response_model=shapes.WhyNot)
    def why_not(run: str, split: str, row: RowNumber, label: Text) -> Response:
        """The fewest corrections that give another label."""
        return JSONResponse(_desk(desks, run).why_not(split, row, label))

    @router.get(_CASE + "/input.png", response_class=_Picture)
    def picture(run: str, split: str, row: RowNumber) -> Response:
        """The case's picture; 404 where it has none."""
        return _Picture(_desk(desks, run).input_png(split, row))

    @router.get(_CASE + "/heat.png", response_class=_Picture)
    def heat(run: str, split: str, row: RowNumber, unit: Text) -> Response:
        """Where a unit looks, to lay over the picture; 404 where nothing is known."""
        return _Picture(_desk(desks, run).heat_png(split, row, unit))


def _take_away(router: APIRouter, desks: Mapping[str, Desk]) -> None:
    @router.get("/runs/{run}/log.csv", response_class=_Csv)
    def log_csv(run: str) -> Response:
        """The journal as a table."""
        return _Csv(_desk(desks, run).log_csv(), headers=_attached(f"{run}-log.csv"))

    @router.get("/runs/{run}/corrections.csv", response_class=_Csv)
    def corrections(run: str, form: Literal["table", "list"] = "table") -> Response:
        """Corrections: all rows with their new labels, as `narrows fit` takes them, or a list."""
        name = f"{run}-corrections.csv"
        return _Csv(_desk(desks, run).corrections_csv(form), headers=_attached(name))

    @router.get("/runs/{run}/report.html", response_class=_Page)
    def report(run: str) -> Response:
        """The report as one file."""
        return _Page(_desk(desks, run).report_html(), headers=_attached(f"{run}.html"))


class _Picture(Response):
    media_type = "image/png"


class _Csv(Response):
    media_type = "text/csv; charset=utf-8"


class _Page(Response):
    media_type = "text/html; charset=utf-8"


def _attached(name: str) -> dict[str, str]:
    """A file to keep: never shown in the studio's own origin."""
    return {"content-disposition": f'attachment; filename="{name}"'}


def changing(desks: Mapping[str, Desk], who: Callable[[Mapping[str, str]], str]) -> APIRouter:
    """Routes that write into a run's journal."""
    router = _router()
    _change_case(router, desks, who)
    _change_run(router, desks, who)
    return router


def _change_case(
    router: APIRouter, desks: Mapping[str, Desk], who: Callable[[Mapping[str, str]], str]
) -> None:
    @router.post(_CASE + "/corrections", response_model=shapes.Corrected)
    def correct(
        run: str, split: str, row: RowNumber, body: shapes.Known, request: Request
    ) -> Response:
        """Correct units, or take corrections back with null; the model answers at once."""
        desk = _desk(desks, run)
        return JSONResponse(desk.correct(split, row, body.known, who=who(request.headers)))

    @router.post(_CASE + "/notes", response_model=shapes.Kept)
    def note(
        run: str, split: str, row: RowNumber, body: shapes.NoteAsked, request: Request
    ) -> Response:
        """Keep a remark on a case."""
        desk = _desk(desks, run)
        return JSONResponse(desk.note(split, row, body.text, body.kind, who=who(request.headers)))


def _change_run(
    router: APIRouter, desks: Mapping[str, Desk], who: Callable[[Mapping[str, str]], str]
) -> None:
    @router.post("/runs/{run}/undo", response_model=shapes.Moved)
    def undo(run: str, body: shapes.Nothing, request: Request) -> Response:
        """Take back the last act."""
        return JSONResponse(_desk(desks, run).undo(who=who(request.headers)))

    @router.post("/runs/{run}/redo", response_model=shapes.Moved)
    def redo(run: str, body: shapes.Nothing, request: Request) -> Response:
        """Do again what was undone last."""
        return JSONResponse(_desk(desks, run).redo(who=who(request.headers)))

    @router.post("/runs/{run}/edits/preview", response_model=shapes.Preview)
    def preview(run: str, body: shapes.Edits) -> Response:
        """What edits of the linear head would do on validation rows; nothing is kept."""
        return JSONResponse(_desk(desks, run).preview(_plain(body)))

    @router.post("/runs/{run}/edits", response_model=shapes.EditKept)
    def edit(run: str, body: shapes.Edits, request: Request) -> Response:
        """Edit the linear head."""
        return JSONResponse(_desk(desks, run).edit(_plain(body), who=who(request.headers)))

    @router.post("/runs/{run}/corrections/import", response_model=shapes.Imported)
    def take(run: str, body: shapes.Import, request: Request) -> Response:
        """Take over corrections from a table: all of them, or none where one is wrong."""
        desk = _desk(desks, run)
        return JSONResponse(desk.import_corrections(body.csv, who=who(request.headers)))


def _plain(body: shapes.Edits) -> list[dict[str, Any]]:
    return [edit.model_dump() for edit in body.edits]
