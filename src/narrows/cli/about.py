"""Commands that tell: check, list, info, doctor."""

from __future__ import annotations

import importlib.metadata
import inspect
import platform
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from narrows.cli import console, options
from narrows.cli.app import app


@app.command()
def check(
    data: options.Data,
    target: options.Target = None,
    concepts: options.Prefix = None,
    load: options.Load = None,
    locality: Annotated[
        bool,
        typer.Option(
            "--locality", help="Also tell which concepts a model could know without looking."
        ),
    ] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look for what makes results wrong in a data set.

    Leaks between splits, constant, equal or contradictory concepts, rare classes. Exits with 1
    when there is an error; warnings and notes are no errors.
    """
    from narrows.data import check as check_data
    from narrows.data import check_locality

    loaded, _, _ = options.load_data(data, target, concepts, load or ())
    found = check_data(loaded)
    places = check_locality(loaded) if locality else None
    if as_json:
        more = {} if places is None else {"locality": places.to_dict()}
        console.say_json({**found.to_dict(), "ok": found.ok, **more})
    else:
        typer.echo(str(found) if places is None else f"{found}\n\n{places}")
    if not found.ok:
        raise typer.Exit(1)


@app.command("list")
def list_all(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """List methods and named data sets."""
    import dataclasses

    from narrows import registry
    from narrows.data import datasets

    infos = [m.info for m in registry.methods().values()]
    if as_json:
        methods = [dataclasses.asdict(i) for i in infos]
        console.say_json({"methods": methods, "data sets": datasets()})
        return
    rows = [
        [i.name, i.bottleneck, "needed" if i.needs_concepts else "", i.title]
        for i in sorted(infos, key=lambda i: i.bottleneck != "none")
    ]
    typer.echo(console.table(["method", "narrow place", "concept labels", "title"], rows))
    console.say(f"\ndata sets: {', '.join(datasets())}")
    console.say("\nnarrows info METHOD tells more.")


@app.command()
def info(
    method: Annotated[str, typer.Argument(help="See 'narrows list'.")],
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Tell what a method does, and its settings."""
    import dataclasses

    kind = options.find_method(method)
    about = kind.info
    settings = _settings(kind)
    if as_json:
        console.say_json({**dataclasses.asdict(about), "settings": settings})
        return
    console.say(f"{about.name}: {about.title}\n{about.paper}\n\n{about.summary}")
    console.say()
    facts = {
        "narrow place": about.bottleneck,
        "concept labels": "needed" if about.needs_concepts else "not needed",
        "lossy": "yes, it loses information the encoder had" if about.lossy else "no",
    }
    typer.echo(console.pairs(facts))
    console.say("\nsettings, as in narrows fit DATA --set name=value:")
    typer.echo(
        console.pairs(
            {
                name: f"{s['about']} (default: {_plain(s['default'])})".strip()
                for name, s in settings.items()
            }
        )
    )


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)


def _settings(kind: Any) -> dict[str, dict[str, Any]]:
    """Defaults and descriptions of a method's settings."""
    told = _described(inspect.getdoc(kind) or "")
    return {
        name: {
            "default": list(p.default) if isinstance(p.default, tuple) else p.default,
            "about": told.get(name, ""),
        }
        for name, p in inspect.signature(kind).parameters.items()
    }


def _described(text: str) -> dict[str, str]:
    r"""Names and texts of the `Args:` section of a docstring.

    Example:
        >>> _described("A thing.\n\nArgs:\n    size: how large\n        it is.\n\nExample:")
        {'size': 'how large it is.'}
    """
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n(?=[ ]))*)", text, re.MULTILINE)
    found: dict[str, str] = {}
    for line in inspect.cleandoc("\n" + section.group(1)).splitlines() if section else ():
        entry = re.match(r"(\w+):\s*(.*)", line)
        if entry:
            found[entry.group(1)] = entry.group(2)
        elif found and line.strip():
            found[list(found)[-1]] += " " + line.strip()
    return found


@app.command()
def doctor(as_json: options.Json = False, debug: options.Debug = False) -> None:
    """Look at this installation.

    Versions, hardware, optional packages, plug-ins, folders. Exits with 1 when something is
    broken; missing optional packages are not.
    """
    import torch

    import narrows
    from narrows import registry
    from narrows.data import datasets

    cuda = torch.cuda.is_available()
    facts = {
        "narrows": narrows.__version__,
        "python": f"{platform.python_version()} on {platform.platform(terse=True)}",
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "cuda": torch.cuda.get_device_name() if cuda else "no device; training uses the CPU",
        "methods": str(len(registry.methods())),
        "data sets": ", ".join(datasets()),
    }
    extras, broken, folder = _extras(), registry.broken(), _folder_problem(Path("runs"))
    facts["runs folder"] = folder or "can be written"
    problems = [f"plug-in {name}: {error}" for name, error in broken.items()]
    problems += [folder] if folder else []
    if as_json:
        console.say_json(
            {**facts, "optional": extras, "plug-ins": _plugins(), "problems": problems}
        )
    else:
        typer.echo(console.pairs(facts))
        console.say("\noptional packages")
        typer.echo(console.pairs(extras))
        console.say("\nplug-ins")
        typer.echo(console.pairs(_plugins() or {"none": ""}))
        for problem in problems:
            console.say(f"problem: {problem}")
    if problems:
        raise typer.Exit(1)


def _extras() -> dict[str, str]:
    """Optional packages with their version, or the line that installs them."""
    found: dict[str, str] = {}
    for line in importlib.metadata.requires("narrows") or []:
        package = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if package is None or extra is None or package.group() == "narrows":
            continue
        try:
            found[package.group()] = importlib.metadata.version(package.group())
        except importlib.metadata.PackageNotFoundError:
            found[package.group()] = f"missing: pip install 'narrows[{extra.group(1)}]'"
    return found


def _plugins() -> dict[str, str]:
    """Entry points of other packages and where they lead."""
    groups = ("narrows.methods", "narrows.datasets")
    points = [p for group in groups for p in importlib.metadata.entry_points(group=group)]
    return {point.name: point.value for point in points}


def _folder_problem(folder: Path) -> str | None:
    """Why runs cannot be written to a folder, or None; nothing is left behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"{place.resolve()} cannot be written ({error.strerror})"
