"""Look at what the layers of a model put out, without changing the model.

Forward hooks are set when the block begins and taken away when it ends, also after an error.
What a layer gives out is copied at once: a later layer that works in place cannot change the
record, and the record keeps no graph.

Memory: all rows seen, times the width of each layer, up to `limit` bytes together. For more rows
hand over `into`, which makes one reducer a layer (a `CovarianceStream`, a histogram): it sees each
batch, and nothing is kept; or store halves (`dtype=torch.float16`) or the codes of `transform`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from narrows.errors import InvalidInput, unknown, wrong, wrong_type
from narrows.measure.watching.layers import find_layers


class Reducer(Protocol):
    """Whatever takes in batches and keeps a summary."""

    def update(self, batch: Tensor, /) -> Any:
        """Take in what a layer put out for one batch."""


class Watch:
    """The record of a model's layers; what `watch` gives.

    Attributes:
        taken: layer to which tensor was recorded where a layer gives out more than one tensor,
            in words, as in `"[0] of a tuple"`; empty text where it gives out one tensor.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        keep: Callable[[Tensor], Tensor],
        into: Callable[[str], Any] | None,
        side: str,
        limit: int,
    ) -> None:
        self._modules, self._keep, self._side, self._limit = dict(modules), keep, side, limit
        self._reducers = {} if into is None else {name: into(name) for name in modules}
        self._batches: dict[str, list[Tensor]] = {name: [] for name in modules}
        self._handles: list[RemovableHandle] = []
        self._bytes = 0
        self.taken: dict[str, str] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """The names that are watched."""
        return tuple(self._modules)

    def __enter__(self) -> Watch:
        if self._handles:
            raise InvalidInput("watch: found a block inside its own block, wanted one at a time")
        for name, module in self._modules.items():
            if self._side == "input":
                handle = module.register_forward_pre_hook(
                    lambda _, args, kwargs, name=name: self._see(name, _given(args, kwargs)),
                    with_kwargs=True,
                )
            else:
                handle = module.register_forward_hook(
                    lambda _, args, output, name=name: self._see(name, output)
                )
            self._handles.append(handle)
        return self

    def __exit__(self, *error: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, layer: str) -> Any:
        """`(rows, ...)` all that the layer put out, calls one after the other; or its reducer.

        Raises:
            UnknownName: a layer that is not watched.
            InvalidInput: one that has not run, or whose calls differ in shape after the rows.
        """
        if layer not in self._modules:
            raise unknown("layer", layer, self._modules)
        if self._reducers:
            return self._reducers[layer]
        batches = self._batches[layer]
        if not batches:
            raise wrong("layer", f"{layer!r}, which has not run", "a layer the model has used")
        shapes = {tuple(b.shape[1:]) for b in batches}
        if len(shapes) > 1 or batches[0].ndim == 0:
            raise wrong(
                "layer",
                f"{layer!r} with outputs of shapes {sorted(tuple(b.shape) for b in batches)[:4]}",
                "one shape after the rows; `calls` gives them apart, `transform` can make them one",
            )
        return batches[0] if len(batches) == 1 else torch.cat(batches)

    def calls(self, layer: str) -> tuple[Tensor, ...]:
        """What each call of the layer put out, in order."""
        if layer not in self._modules:
            raise unknown("layer", layer, self._modules)
        return tuple(self._batches[layer])

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Name and record of each watched layer that has run."""
        return ((n, self[n]) for n in self._modules if self._reducers or self._batches[n])

    def clear(self) -> None:
        """Forget what was recorded; reducers are kept as they are."""
        self._bytes = 0
        for batches in self._batches.values():
            batches.clear()

    def __repr__(self) -> str:
        seen = {n: [tuple(b.shape) for b in bs] for n, bs in self._batches.items() if bs}
        return f"Watch({len(self)} layers, seen: {seen})"

    def _see(self, name: str, value: Any) -> None:
        tensor, where = first_tensor(value)
        if tensor is None:
            raise wrong_type(
                f"layer {name!r}", f"{self._side} of type {type(value).__name__}", "a tensor in it"
            )
        self.taken[name] = where
        with torch.no_grad():
            kept = self._keep(tensor.detach())
            if self._reducers:
                self._reducers[name].update(kept)
                return
            if kept.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
                kept = kept.clone()
        self._bytes += kept.numel() * kept.element_size()
        if self._limit < self._bytes:
            raise wrong(
                "limit",
                f"{self._bytes:,} bytes of activations",
                f"at most {self._limit:,}: fewer layers, dtype=torch.float16, or into= a reducer",
            )
        self._batches[name].append(kept)


def watch(
    model: nn.Module,
    layers: str | Sequence[str] = "all",
    *,
    transform: Callable[[Tensor], Tensor] | None = None,
    into: Callable[[str], Any] | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    side: str = "output",
    limit: int = 2**32,
) -> Watch:
    """Record what layers put out while the block runs; the model stays as it is.

    Of an output that is no tensor the first tensor in it is taken (a tuple, a mapping, a
    Transformers output, a dataclass); `.taken` says which. A layer that runs several times, in
    one pass or in several, is recorded each time, one below the other.

    Args:
        model: any module; of the Transformers library too.
        layers: names, patterns or `"all"`, see `find_layers`.
        transform: applied to each output before it is kept: a pooling, a last token, bin ids.
        into: layer name to an object with `.update(batch)`; nothing is kept then, and
            `w[layer]` is that object.
        dtype: to keep floating outputs in, `torch.float16` for half the memory.
        device: to keep them on; where they are, by default.
        side: `output`, or `input` for what goes into the layers (their first tensor).
        limit: bytes to keep at most, 4 GiB by default.

    Raises:
        UnknownName: a layer that does not exist, with the nearest names.
        InvalidType: (in the block) an output that holds no tensor.
        InvalidInput: (in the block) more bytes than `limit`; values too large for `dtype`.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        >>> with watch(model, "1") as w:
        ...     y = model(torch.ones(4, 2))
        >>> torch.equal(w["1"], y)
        True
    """
    if side not in ("output", "input"):
        raise wrong("side", repr(side), "'output' or 'input'")
    if limit < 1:
        raise wrong("limit", limit, "at least 1 byte")
    if dtype is not None and not dtype.is_floating_point:
        raise wrong_type("dtype", dtype, "a floating dtype")

    def keep(tensor: Tensor) -> Tensor:
        kept = tensor if transform is None else transform(tensor)
        if not isinstance(kept, Tensor):
            raise wrong_type("transform", f"result {type(kept).__name__}", "a tensor")
        if dtype is None or not kept.is_floating_point() or kept.dtype == dtype:
            return kept if device is None else kept.to(device)
        most = torch.finfo(dtype).max
        if kept.numel() and bool((kept.abs() > most).any() & kept.isfinite().all()):
            raise wrong("dtype", f"{dtype} for values up to {float(kept.abs().max()):.3g}", "wider")
        return kept.to(dtype=dtype, device=device or kept.device)

    return Watch(find_layers(model, layers), keep, into, side, limit)


def first_tensor(value: Any) -> tuple[Tensor | None, str]:
    """The first tensor inside a value, and where it stands in words (empty for a tensor).

    Example:
        >>> first_tensor((None, torch.ones(1)))
        (tensor([1.]), '[1] of a tuple')
    """
    if isinstance(value, Tensor):
        return value, ""
    for key, part in _parts(value):
        tensor, where = first_tensor(part)
        if tensor is not None:
            own = f"[{key!r}] of a {type(value).__name__}"
            return tensor, f"{where}, {own}" if where else own
    return None, ""


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if len(args) == 1 and not kwargs else (*args, *kwargs.values())


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return iter(value.items())
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    return iter(())
