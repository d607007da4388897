"""The command that holds papers to their word: claims."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from narrows.cli import console, options
from narrows.cli.app import UsageError, app, usage


@app.command()
def claims(
    slug: Annotated[str | None, typer.Argument(help="Which paper; none lists them.")] = None,
    size: Annotated[str, typer.Option(help="small, gpu or full (the paper's data).")] = "small",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each row.")] = 5,
    out: Annotated[Path, typer.Option(help="The folder of the results.")] = Path("runs/claims"),
    every: Annotated[bool, typer.Option("--all", help="All papers, one after the other.")] = False,
    page: Annotated[
        Path | None, typer.Option(help="Write the page of the results kept with Narrows.")
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Measure a paper's claims again and say whether they hold here."""
    from narrows.claims import run

    if page is not None:
        from narrows.report.claims_page import write_claims

        write_claims(run.load_results(), page)
        console.say(f"page: {page}")
        return
    if slug is None and not every:
        console.say("\n".join(f"{name}: {run.claim_file(name).PAPER}" for name in run.slugs()))
        return
    if slug is not None and every:
        raise UsageError("--all: found a paper beside it, wanted one or the other")
    for name in run.slugs() if slug is None else (slug,):
        result = usage(partial(run.run_claims, name, size, seeds))
        path = run.save_result(result, out)
        if as_json:
            console.say_json(result)
        else:
            console.say(f"{run.text(result)}\n\nresult: {path}\n")
