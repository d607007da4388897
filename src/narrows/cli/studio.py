"""The command that opens runs in a browser: studio."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from narrows.cli import console, options
from narrows.cli.app import UsageError, app

if TYPE_CHECKING:
    from narrows.studio.desk import Desk

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")]


@app.command()
def studio(
    runs: Runs,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="8642 by default; a free one where it is taken."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others can reach all but 127.0.0.1 and ::1.")
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address and open nothing.")
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token; NARROWS_STUDIO_TOKEN does the same."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Of a proxy before the studio: https://studio.example.org."
        ),
    ] = None,
    user_header: Annotated[
        str | None,
        typer.Option(help="The header in which that proxy puts the person's name."),
    ] = None,
    debug: options.Debug = False,
) -> None:
    """Look at runs and correct them, case by case, in a browser.

    Prints the address with its token. Corrections, notes and edits are kept in the run's folder.
    Nothing is sent anywhere. Ctrl-C stops it.
    """
    from narrows.errors import require
    from narrows.studio.addresses import find_token
    from narrows.studio.server import serve

    for module in ("fastapi", "uvicorn"):
        require(module, "studio")
    token = find_token(host, os.environ, token_file)
    desks = _opened(runs)
    try:
        serve(
            desks,
            token,
            host=host,
            port=port,
            public=origin or (),
            user_header=user_header,
            browser=not no_browser,
            say=_say,
        )
    finally:
        for desk in desks.values():
            desk.close()


def _opened(folders: Sequence[Path]) -> dict[str, Desk]:
    """Runs by an id that can stand in an address."""
    from narrows.studio.desk import Desk
    from narrows.studio.names import name_runs

    homes = [folder.resolve() for folder in folders]
    if len(set(homes)) < len(homes):
        twice = next(str(f) for f, h in zip(folders, homes, strict=True) if homes.count(h) > 1)
        raise UsageError(f"runs: found {twice} twice, wanted each run once")
    desks: dict[str, Desk] = {}
    try:
        for name, home in zip(name_runs(homes), homes, strict=True):
            desks[name] = Desk(home)
            desks[name].id = name
            desks[name].warm()
    except BaseException:
        for desk in desks.values():
            desk.close()
        raise
    return desks


def _say(address: str) -> None:
    typer.echo(f"Narrows studio: {address}")  # never wrapped: it is there to be opened
    console.note("Ctrl-C stops it.")
