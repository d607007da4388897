"""Commands that measure information: mi and calibrate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import UsageError, app, usage

if TYPE_CHECKING:
    from narrows.measure.mi.result import MIResult, MIResults

measure = typer.Typer(
    help="Measure information between samples in files.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(measure, name="measure")

_FILE = "A .npy array or a .csv table with names in its first line; table.csv:age,weight takes \
those columns."
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method."),
]


@measure.command()
def mi(
    a: Annotated[str, typer.Argument(help=_FILE)],
    b: Annotated[str, typer.Argument(help="The same, row by row the partner of A.")],
    method: Annotated[
        str, typer.Option(help="The estimator; auto chooses one and checks it by another.")
    ] = "auto",
    k: Annotated[int | None, typer.Option(min=1, help="Neighbours, where it uses some.")] = None,
    x_kind: Annotated[str, typer.Option(help="continuous or discrete: what A is.")] = "continuous",
    y_kind: Annotated[str, typer.Option(help="continuous or discrete: what B is.")] = "continuous",
    units: Annotated[str, typer.Option(help="nats or bits.")] = "nats",
    each: Annotated[bool, typer.Option("--each", help="One value a column of A.")] = False,
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Columns to mean 0 and deviation 1 first.")
    ] = False,
    settings: Set = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Estimate how much A and B tell of each other.

    With spread, kind (estimate, bound or surrogate), ceiling and warnings. Arrays of Python
    objects are refused: reading them could run code.
    """
    from narrows.cli.measure_files import read_sample
    from narrows.measure.mi import mutual_information

    for name, kind in (("--x-kind", x_kind), ("--y-kind", y_kind)):
        _one_of(name, kind, ("continuous", "discrete"))
    _one_of("--units", units, ("nats", "bits"))
    given: dict[str, Any] = _settings(settings)
    if k is not None:
        if "k" in given:
            raise UsageError("k: found --k and --set k=..., wanted one of them")
        given["k"] = k
    (x, x_about), (y, y_about) = (usage(partial(read_sample, path)) for path in (a, b))
    given |= {"x_kind": x_kind, "y_kind": y_kind, "units": units, "standardize": standardize}
    result: MIResult | MIResults = usage(
        lambda: (
            mutual_information(x, y, method, each=True, **given)
            if each
            else mutual_information(x, y, method, **given)
        )
    )
    if as_json:
        console.say_json({"x": x_about, "y": y_about, **result.to_dict()})
        return
    typer.echo(console.pairs({"x": f"{x_about} ({x_kind})", "y": f"{y_about} ({y_kind})"}))
    console.say()
    _say(result)


@measure.command()
def calibrate(
    n: Annotated[int, typer.Option("--n", min=10, help="Samples, as many as you have.")],
    dims: Annotated[
        str | None,
        typer.Option(help="Columns of x and y, as 3 or 3,1; a short list of tasks by default."),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Names of tasks with commas between, or 'all' (slow: pictures are among them)."
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Estimators with commas between; all by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Samples of each task.")] = 5,
    page: options.Page = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Tell how far each estimator is off where the truth is known.

    Bias, spread, error, coverage of the intervals, ceilings and time at your number of samples
    and columns. Estimators that refuse a task are listed with the reason.
    """
    from narrows.measure.mi.calibrate import calibrate as calibrated
    from narrows.measure.mi.known import tasks as known

    size = None if dims is None else _dims(dims)
    wanted = tuple(known(size)) if tasks == "all" else _names(tasks)
    found = usage(lambda: calibrated(n, size, wanted, _names(methods), seeds))
    if page is not None:
        found.save(page)
    if as_json:
        console.say_json(found.to_dict())
        return
    console.say(f"{found.title}\n")
    lines = found.lines()
    if max(map(len, lines)) <= console.width():
        typer.echo("\n".join(lines))
    else:
        for task, rows in found.cells().items():
            console.say(f"{task}\n")
            typer.echo(f"{console.table(found.header, rows)}\n")
    for line in found.notes():
        console.say(f"\n{line}")
    if page is not None:
        console.say(f"\npage: {page}")


def _say(result: MIResult | MIResults) -> None:
    """A result and, for one variable, the settings it was measured with."""
    console.say(repr(result))
    settings: Mapping[str, Any] = getattr(result, "settings", {})
    if settings:
        console.say("\nsettings")
        typer.echo(console.pairs({name: _plain(value) for name, value in settings.items()}))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _settings(texts: list[str] | None) -> dict[str, Any]:
    """KEY=VALUE texts, values as JSON where they are that."""
    own = ("x_kind", "y_kind", "units", "each", "standardize", "method")
    found = options.pairs_of("--set", texts or ())
    for name in found:
        if name in own:
            raise UsageError(
                f"--set {name}: found a setting with an option, wanted --{name.replace('_', '-')}"
            )
    values: dict[str, Any] = dict(found)
    for name, text in found.items():
        with suppress(ValueError):  # then it is a word
            values[name] = json.loads(text)
    return values


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{option}: found {value!r}, wanted {' or '.join(known)}")


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _dims(text: str) -> int | tuple[int, int]:
    """`3` or `3,1`."""
    parts = text.replace("x", ",").split(",")
    if len(parts) not in (1, 2) or not all(p.strip().isdecimal() and int(p) for p in parts):
        raise UsageError(f"--dims: found {text!r}, wanted one or two whole numbers, as 3 or 3,1")
    sizes = [int(part) for part in parts]
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])
