"""The application: its help, its exit codes, and what an error looks like."""

from __future__ import annotations

import errno
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from narrows import __version__
from narrows.errors import NarrowsError, UnknownName

EPILOG = (
    "Exit codes: 0 all is well, also after a stop that can be resumed; 1 failure; 2 wrong usage; "
    "130 interrupted. Results go to standard output, all else to standard error. --json prints "
    "one JSON document, --debug shows the stack trace of an error, NO_COLOR turns colours off."
)
_FIRST = ("demo", "fit", "compare", "report", "studio", "predict", "check")
DEBUG = "narrows.debug"
ARGUMENTS = "narrows.arguments"


class UsageError(NarrowsError):
    """The command line asks for something that does not exist."""


class _Group(TyperGroup):
    """Commands whose errors are one line on standard error."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        given = list(args)
        extra.setdefault("terminal_width", min(shutil.get_terminal_size().columns, 96))
        context = super().make_context(info_name, args, *rest, **extra)
        context.meta[ARGUMENTS] = given
        return context

    def list_commands(self, ctx: Any) -> list[str]:
        """Those most people need first; then the others."""
        names = super().list_commands(ctx)
        return [n for n in _FIRST if n in names] + [n for n in names if n not in _FIRST]

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a closed pipe must show here, not while Python shuts down
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            if _is_typers(error) or ctx.meta.get(DEBUG):
                raise
            typer.echo(f"error: {_told(error)}", err=True)
            raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None
        return result


def _is_typers(error: Exception) -> bool:
    """Whether Typer itself knows what to do: exits, wrong usage, closed pipes."""
    closed = isinstance(error, OSError) and error.errno == errno.EPIPE
    return closed or hasattr(error, "exit_code") or isinstance(error, typer.Abort)


def _told(error: Exception) -> str:
    """An error on one line; those that nobody foresaw say so."""
    text = " ".join(str(error).split())
    if isinstance(error, (NarrowsError, OSError)):
        return text
    return f"unexpected {type(error).__name__}: {text} (--debug shows where)"


app = typer.Typer(
    name="narrows",
    cls=_Group,
    help="Build, measure and relieve the narrow places of neural networks.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help wraps at any width; boxes cut option names at 40 columns
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"narrows {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """Build, measure and relieve the narrow places of neural networks."""


def main() -> None:
    """Run the command line; the entry point of the `narrows` program."""
    signal.signal(signal.SIGTERM, _stop)
    warnings.showwarning = _one_line
    app(prog_name="narrows")


def _stop(number: int, frame: FrameType | None) -> None:
    """Let a termination request end the program as an interrupt from the keyboard does."""
    raise KeyboardInterrupt


def _one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning without the place in the code that raised it."""
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def usage(call: Callable[[], Any]) -> Any:
    """What a call gives; an unknown name in it is wrong usage."""
    try:
        return call()
    except UnknownName as error:
        raise UsageError(str(error)) from error


__all__ = ["ARGUMENTS", "DEBUG", "UsageError", "app", "main", "usage"]
