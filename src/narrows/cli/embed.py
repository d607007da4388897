"""The command that makes features of pictures or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from narrows.cli import console, options
from narrows.cli.app import app


@app.command()
def embed(
    data: options.Data,
    model: Annotated[
        str, typer.Option(help="A folder of the Transformers library, or a downloaded hub id.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the features.")],
    target: options.Target = None,
    concepts: options.Prefix = None,
    load: options.Load = None,
    pool: Annotated[str, typer.Option(help="auto, cls, mean or pooler.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at a time.")] = 32,
    device: options.Device = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the hub id where it is missing.")
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Turn pictures or texts into features of a pretrained model, once.

    The folder is a data set of its own: 'narrows fit FOLDER', 'narrows compare FOLDER'. Killed
    half way, the same command goes on; a second run computes nothing. For texts name their
    column: --load text=COLUMN.
    """
    from narrows.embedding import embed as embed_data

    loaded, _, _ = options.load_data(data, target, concepts, load or ())
    with console.progress(quiet=as_json) as bar:
        done = embed_data(
            loaded,
            model,
            out,
            pool=pool,
            batch_size=batch_size,
            device=options.check_device(device),
            download=download,
            progress=bar,
        )
    rows = {name: len(split) for name, split in done.splits.items()}
    dim = done.train.x.shape[1]
    if as_json:
        console.say_json({"folder": str(out), "rows": rows, "features": dim})
        return
    told = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    console.say(f"{done.name}: {dim} features of {told} rows")
    console.say(f"features: {out}")
    typer.echo(f"narrows fit {out} --out runs/mine")
