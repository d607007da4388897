"""Which layers of a model are meant: by name, by pattern, or all of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import nn

from narrows.errors import unknown, wrong, wrong_type

_WILD = frozenset("*?[")


def layer_names(model: nn.Module) -> list[str]:
    """The names of the innermost layers, in the model's order.

    A model without parts is its own only layer, named `""`. A part that has several names is
    listed once, by its first.

    Example:
        >>> layer_names(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Tanh())))
        ['0', '1.0']
    """
    return [name for name, part in model.named_modules() if not any(True for _ in part.children())]


def find_layers(model: nn.Module, layers: str | Sequence[str] = "all") -> dict[str, nn.Module]:
    """The modules meant by names.

    Args:
        model: any module.
        layers: `"all"` for the innermost layers; or one name or several, each as in
            `model.named_modules()` (containers too; `""` is the model itself) or a pattern with
            `*`, `?` or `[...]`, where `*` also matches dots.

    Returns:
        Name to module, in the order asked for; what a pattern finds, in the model's order.

    Raises:
        UnknownName: a name that is no layer, or a pattern that fits none; the nearest names.
        InvalidType: layers that are no texts.
        InvalidInput: no layer asked for.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        >>> list(find_layers(model, ["2", "[01]"]))
        ['2', '0', '1']
    """
    if not isinstance(model, nn.Module):
        raise wrong_type("model", type(model).__name__, "a torch.nn.Module")
    known = dict(model.named_modules(remove_duplicate=False))
    if isinstance(layers, str) and layers == "all" and "all" not in known:
        return {name: known[name] for name in layer_names(model)}
    asked = [layers] if isinstance(layers, str) else list(layers)
    if not asked:
        raise wrong("layers", "none", "at least one name")
    found: dict[str, nn.Module] = {}
    for name in asked:
        if not isinstance(name, str):
            raise wrong_type("layers", type(name).__name__, "names of layers")
        fitting = [name] if name in known else _fitting(name, known)
        if not fitting:
            raise unknown("layer", name, [k for k in known if k] or [""])
        found |= {k: known[k] for k in fitting if k not in found}
    return found


def _fitting(pattern: str, known: dict[str, nn.Module]) -> list[str]:
    if not _WILD & set(pattern):
        return []
    return [name for name in known if name and fnmatch.fnmatchcase(name, pattern)]
