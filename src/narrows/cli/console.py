"""What commands print: plain text that fits the terminal, or one JSON document."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

WIDE = 100  # columns where there is no terminal to ask


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size((WIDE, 24)).columns


def say(text: str = "") -> None:
    """Print text on standard output, long lines wrapped."""
    for line in text.splitlines() or [""]:
        typer.echo(wrapped(line) if line.strip() else "")


def note(text: str) -> None:
    """Print text on standard error: what a person should know, but no result."""
    typer.echo(wrapped(text), err=True)


def say_json(value: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str, allow_nan=False))


def wrapped(line: str) -> str:
    """A line in as many as the terminal needs, set in as the first; words are never cut."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(),
        width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under one another where they fit, else a block for each row."""
    wide = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    if sum(wide) + 2 * (len(wide) - 1) <= width():
        cells = ([f"{v:<{w}}" for v, w in zip(r, wide, strict=True)] for r in [header, *rows])
        return "\n".join("  ".join(row).rstrip() for row in cells)
    blocks = []
    for name, *values in rows:
        told = [wrapped(f"  {h}: {v}") for h, v in zip(header[1:], values, strict=True) if v]
        blocks.append("\n".join([name, *told]))
    return "\n\n".join(blocks)


def pairs(entries: Mapping[str, str]) -> str:
    """Keys and values under one another; values move below their keys where it is narrow."""
    wide = max(map(len, entries), default=0)
    room = width() - wide - 4
    lines = []
    for key, value in entries.items():
        if room < 16:
            lines += [f"  {key}", wrapped(f"    {value}")]
        else:
            first, *more = textwrap.wrap(
                value, room, break_long_words=False, break_on_hyphens=False
            ) or [""]
            lines.append(f"  {key:<{wide}}  {first}".rstrip())
            lines += [" " * (wide + 4) + line for line in more]
    return "\n".join(lines)


@contextmanager
def progress(quiet: bool = False) -> Iterator[Any]:
    """A progress bar on standard error while the block runs; None without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    with bar:
        yield bar
