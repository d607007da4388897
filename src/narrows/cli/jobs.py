"""Commands that compare methods: demo and compare."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import ARGUMENTS, UsageError, app

if TYPE_CHECKING:
    from narrows.comparison import Table
    from narrows.data import Dataset
    from narrows.method import Method

Seeds = Annotated[int, typer.Option(min=1, help="How many trainings of each method.")]

REFERENCES = ("black-box", "random", "chance")  # rows that stand in every table
# The demo's rows: every kind of narrow place.
DEMO = (
    *REFERENCES,
    "cbm:mode=independent",
    "cbm:mode=sequential",
    "cbm:mode=joint",
    "vib",
    "prototypes",
    "key-value",
    "channel",
)
DEMO_EPOCHS = 14  # fewer than the methods' own, so that all rows take under three minutes


@app.command()
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("runs/demo"),
    seeds: Seeds = 1,
    epochs: options.Epochs = DEMO_EPOCHS,
    seed: options.Seed = 0,
    device: options.Device = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train and compare every kind of narrow place, on real digits.

    Pairs of handwritten digits: the label is their sum, the concepts are the two digits. Takes
    a few minutes on two cores and downloads nothing. An earlier demo is replaced.
    """
    from narrows.data import load
    from narrows.report import NEXT, write_demo

    methods = [_method(text, epochs, seed, device) for text in DEMO]
    table = _compared(methods, load("digit_pairs", seed=seed), seeds, out, quiet=as_json)
    _finish(table, out, write_demo, _command(ctx), as_json)
    if not as_json:
        console.say("\nWhat to do next:")
        for text, line in NEXT:
            console.say(f"- {text}")
            typer.echo(f"    {line}")  # never wrapped: it is there to be copied


@app.command()
def compare(
    ctx: typer.Context,
    data: options.Data,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between; settings follow a colon, as in cbm:mode=joint. "
            "All that fit the data by default."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the result.")] = Path("runs/compare"),
    seeds: Seeds = 3,
    target: options.Target = None,
    concepts: options.Prefix = None,
    load: options.Load = None,
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a comparison in the folder.")
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train several methods and put them on one plane."""
    from narrows.errors import wrong
    from narrows.report import write_table

    if (out / "table.json").exists() and not overwrite:
        raise wrong("--out", f"a comparison in {out}", "a fresh folder, or --overwrite")
    given = _listed(methods)
    for text in given:  # a wrong name is told before a long loading
        _method(text, epochs, seed, device)
    loaded, _, _ = options.load_data(data, target, concepts, load or ())
    texts = given or _fitting(loaded)
    missing = [r for r in REFERENCES if r not in {text.split(":")[0] for text in texts}]
    chosen = [_method(text, epochs, seed, device) for text in (*missing, *texts)]
    table = _compared(chosen, loaded, seeds, out, quiet=as_json)
    _finish(table, out, write_table, _command(ctx), as_json)


def _listed(methods: str | None) -> list[str]:
    """The methods between commas; a comma inside brackets belongs to a setting."""
    parts: list[str] = []
    depth = 0
    for letter in methods or "":
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts = parts or [""]
            parts[-1] += letter
    if methods is not None and not all(map(str.strip, parts or [""])):
        raise UsageError(f"--methods: found {methods!r}, wanted names with commas between")
    return [part.strip() for part in parts]


def _method(text: str, epochs: int | None, seed: int, device: str | None) -> Method:
    """A method from `name` or `name:key=value:key=value`."""
    name, *settings = text.split(":")
    kind = options.find_method(name)
    texts = options.pairs_of(f"--methods {name}", settings)
    given: dict[str, Any] = {"seed": seed, "device": options.check_device(device)}
    if epochs is not None and "epochs" in signature(kind).parameters:
        given["epochs"] = epochs
    return options.build(kind, texts, **{k: v for k, v in given.items() if k not in texts})


def _fitting(data: Dataset) -> list[str]:
    """Methods that these data can train."""
    from narrows import registry

    concepts = data.train.c is not None
    return [n for n, m in registry.methods().items() if concepts or not m.info.needs_concepts]


def _compared(methods: list[Method], data: Dataset, seeds: int, out: Path, quiet: bool) -> Table:
    from narrows import store
    from narrows.comparison import compare as compare_methods
    from narrows.train import TrainingStopped

    out.mkdir(parents=True, exist_ok=True)
    try:
        with store.lock(out), console.progress(quiet=quiet) as bar:
            return compare_methods(methods, data, seeds, progress=bar)
    except TrainingStopped:  # a comparison keeps no checkpoints, so there is nothing to go on with
        raise KeyboardInterrupt from None


def _command(ctx: typer.Context) -> list[str]:
    return ["narrows", *ctx.find_root().meta[ARGUMENTS]]


def _finish(
    table: Table,
    out: Path,
    write: Callable[..., str | None],
    command: list[str],
    as_json: bool,
) -> None:
    """Keep the numbers, write the page where its packages are there, and print."""
    from narrows.errors import MissingExtra

    table.to_json(out / "table.json")
    page, sentence = out / "report.html", None
    try:
        sentence = write(table, page, command=command)
        table.to_svg(out / "plane.svg")
    except MissingExtra as error:
        console.note(f"note: {page} was not written: {error}")
    if as_json:
        console.say_json({**table.to_dict(), "example": sentence, "folder": str(out)})
        return
    typer.echo(table.to_text(console.width()))
    console.say(f"\n{sentence}" if sentence else "")
    typer.echo(f"\nreport: {page}" if page.exists() else f"\nnumbers: {out / 'table.json'}")
