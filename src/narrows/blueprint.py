"""Modules that know how they were built, so that a saved model can be built again.

A file holds numbers and a description, never code: only classes registered here by being
defined (`Blueprint` subclasses) can be built, each from plain JSON arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from torch import nn

from narrows.errors import FileRefused, InvalidInput, unknown


class Blueprint(nn.Module):
    """A module that records its constructor arguments.

    Arguments must be JSON values or other blueprints; what was learned belongs in parameters
    and buffers, whose shapes the arguments must determine.

    Example:
        >>> class Scale(Blueprint):
        ...     def __init__(self, by: float = 2.0):
        ...         super().__init__()
        ...         self.by = by
        >>> Scale(3.0).describe()
        {'type': 'Scale', 'by': 3.0}
        >>> build({'type': 'Scale', 'by': 3.0}).by
        3.0
    """

    _kinds: ClassVar[dict[str, type[Blueprint]]] = {}
    _arguments: Mapping[str, Any] = MappingProxyType({})  # of a module without a constructor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Blueprint._kinds[cls.__name__] = cls
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    def describe(self) -> dict[str, Any]:
        """The JSON description `build` accepts."""
        described = {name: _described(value) for name, value in self._arguments.items()}
        return {"type": type(self).__name__, **described}


def _recording(init: Any) -> Any:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(self: Blueprint, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        # The outermost constructor runs last, so the class that was called has the final word.
        self._arguments = dict(list(bound.arguments.items())[1:])

    return wrapper


def _described(value: Any) -> Any:
    if isinstance(value, Blueprint):
        return value.describe()
    if isinstance(value, nn.Module):
        return {"type": "external", "class": type(value).__qualname__}
    if isinstance(value, (list, tuple)):
        return [_described(v) for v in value]
    return value


def build(description: Mapping[str, Any], external: nn.Module | None = None) -> nn.Module:
    """Build a module from its description.

    Args:
        description: what `Blueprint.describe` gave.
        external: the user's own module, where the description says that one was used.

    Raises:
        UnknownName: a type that is not known to this version.
        FileRefused: arguments the type does not take, or a missing external module.
    """
    arguments = dict(description)
    kind = arguments.pop("type", None)
    if kind == "external":
        if external is None:
            raise FileRefused(
                f"encoder: the model was saved with its own {arguments.get('class')} module, "
                "wanted that module again: from_pretrained(path, encoder=module)"
            )
        return external
    if not isinstance(kind, str) or kind not in Blueprint._kinds:
        raise unknown("module type", kind, Blueprint._kinds)
    built = {name: _built(value, external) for name, value in arguments.items()}
    try:
        return Blueprint._kinds[kind](**built)
    except (TypeError, InvalidInput) as error:
        raise FileRefused(f"config.json: {kind} cannot be built from it: {error}") from error


def _built(value: Any, external: nn.Module | None) -> Any:
    if isinstance(value, Mapping) and "type" in value:
        return build(value, external)
    if isinstance(value, list):
        return tuple(_built(v, external) for v in value)
    return value
