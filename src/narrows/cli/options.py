"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narrows.cli.app import DEBUG, UsageError, usage
from narrows.errors import unknown

if TYPE_CHECKING:
    from narrows.data import Dataset
    from narrows.method import Method


def _debug(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[DEBUG] = value
    return value


Debug = Annotated[
    bool, typer.Option("--debug", help="Show stack traces.", callback=_debug, is_eager=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Page = Annotated[Path | None, typer.Option(help="Write a page that opens offline, too.")]
Data = Annotated[
    str,
    typer.Argument(help="A CSV or Parquet file, a folder with a table, or a named data set."),
]
Target = Annotated[str | None, typer.Option(help="The column of labels; 'label' by default.")]
Prefix = Annotated[
    str | None,
    typer.Option("--concepts", help="What concept columns start with; 'concept:' by default."),
]
Load = Annotated[
    list[str] | None,
    typer.Option("--load", metavar="KEY=VALUE", help="An option of the data's loader."),
]
Epochs = Annotated[int | None, typer.Option(min=0, help="Passes over the training rows, at most.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Device = Annotated[str | None, typer.Option(help="Where training happens: cpu, cuda, cuda:1.")]


def load_data(
    source: str, target: str | None, prefix: str | None, more: Iterable[str]
) -> tuple[Dataset, str, dict[str, Any]]:
    """The data set, its source for the record, and the options it was loaded with."""
    from narrows.data import datasets, load

    options = {k: _json(v) for k, v in pairs_of("--load", more).items()}
    given = {"target": target, "concepts": prefix}
    options |= {k: v for k, v in given.items() if v is not None}
    named = source in datasets()
    data = load(source, **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    return data, source if named else str(Path(source).resolve()), options


def pairs_of(option: str, given: Iterable[str]) -> dict[str, str]:
    """Texts of the form KEY=VALUE, each key once."""
    pairs: dict[str, str] = {}
    for text in given:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise UsageError(f"{option}: found {text!r}, wanted KEY=VALUE")
        if key in pairs:
            raise UsageError(f"{option}: found {key!r} twice, wanted each key once")
        pairs[key] = value
    return pairs


def find_method(name: str) -> type[Method]:
    """A method by name; an unknown one is wrong usage."""
    from narrows import registry

    found: type[Method] = usage(lambda: registry.method(name))
    return found


def build(
    method: type[Method],
    texts: dict[str, str],
    **given: Any,
) -> Method:
    """A method from KEY=VALUE texts and from options; None stands for the method's default.

    Raises:
        UsageError: a setting the method does not have (with the nearest names), one given
            twice, or a value of the wrong type.
    """
    known = inspect.signature(method).parameters
    hints = hints_of(method)
    settings: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in known:
            raise UsageError(str(unknown(f"setting of {method.info.name}", name, known)))
        settings[name] = _value(name, text, hints.get(name, Any))
    for name, value in given.items():
        if value is None:
            continue
        if name not in known:
            raise UsageError(f"--{name}: {method.info.name} has no such setting")
        if name in settings:
            raise UsageError(f"{name}: found --{name} and --set {name}=..., wanted one of them")
        settings[name] = value
    return method(**settings)


def hints_of(method: type[Method]) -> dict[str, Any]:
    """The types of a method's settings, where they can be known."""
    try:
        return typing.get_type_hints(method.__init__)
    except NameError:  # a plug-in may name types that exist for type checkers only
        return {}


def check_device(name: str | None) -> str | None:
    """Refuse a device that is not there before anything is trained."""
    if name is None:
        return None
    import torch

    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device: found {name!r}, wanted one that is there: {reason}") from error
    return name


def _value(name: str, text: str, hint: Any) -> Any:
    """A text as JSON where the setting takes that, else as it is."""
    for value in (_json(text), text):
        if _accepts(hint, value):
            return tuple(value) if isinstance(value, list) else value
    wanted = getattr(hint, "__name__", None) if not typing.get_args(hint) else None
    raise UsageError(f"--set {name}: found {text!r}, wanted {wanted or hint}")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _accepts(hint: Any, value: Any) -> bool:
    """Whether a JSON value fits a type hint."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(part, value) for part in inner)
    if origin is typing.Literal:
        return value in inner
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is not None and isinstance(value, list):
        return all(_accepts(inner[0], v) for v in value) if inner else True
    return origin is None and isinstance(hint, type) and isinstance(value, hint)
