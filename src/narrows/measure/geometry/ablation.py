"""Take directions out of a layer and see what the model can still do.

Features are split along the eigenvectors of their covariance. `keep=k` leaves the k directions of
largest variance, `remove=k` all others; the mean of the features stays in either case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong, wrong_type
from narrows.measure.geometry.covariance import CovarianceStream
from narrows.measure.watching.layers import find_layers


def leading_directions(stream: CovarianceStream, k: int) -> Tensor:
    """`(dim, k)` float64, orthonormal: the k directions of largest variance, largest first."""
    if not 0 <= k <= stream.dim:
        raise wrong("k", k, f"0 to {stream.dim}")
    vectors = torch.linalg.eigh(stream.covariance()).eigenvectors
    return vectors.flip(1)[:, :k]


def project(h: Tensor, stream: CovarianceStream, *, keep: int = -1, remove: int = -1) -> Tensor:
    """Features `(..., dim)` without some directions, about their mean.

    Args:
        h: features.
        stream: of features of the same layer.
        keep: how many leading directions stay; or
        remove: how many go. Exactly one of the two.

    Example:
        >>> stream = CovarianceStream(2).update(torch.tensor([[3.0, 1.0], [-3.0, -1.0], [0, 0]]))
        >>> project(torch.tensor([[3.0, 1.0]]), stream, remove=1).abs().max().item() < 1e-6
        True
    """
    return _split(stream, keep, remove)(h)


@contextmanager
def ablate_spectrum(
    model: nn.Module, layer: str, stream: CovarianceStream, *, keep: int = -1, remove: int = -1
) -> Iterator[None]:
    """While the block runs, a layer's output lacks some directions; the model is not changed.

    Args:
        model: any module.
        layer: one whose output is a tensor `(..., dim)`, or a tuple, list or Transformers output
            that begins with one.
        stream: of that layer's output.
        keep: how many leading directions stay; or
        remove: how many go. Exactly one of the two.

    Raises:
        UnknownName: no such layer.
        InvalidInput: both or neither of keep and remove, or more than there are directions.
    """
    found = find_layers(model, [layer])
    if len(found) != 1:
        raise wrong("layer", f"{layer!r}, which fits {len(found)} layers", "one layer")
    change = _split(stream, keep, remove)
    handle = found.popitem()[1].register_forward_hook(lambda _, args, out: _first(out, change))
    try:
        yield
    finally:
        handle.remove()


def _split(stream: CovarianceStream, keep: int, remove: int) -> Any:
    if (keep < 0) is (remove < 0):
        raise wrong("keep, remove", f"{keep}, {remove}", "one of them, at least 0")
    basis, mean = leading_directions(stream, max(keep, remove)), stream.mean

    def change(h: Tensor) -> Tensor:
        if h.shape[-1] != len(mean):
            raise wrong("features", f"{h.shape[-1]} columns", f"{len(mean)}, as in the stream")
        centre, directions = mean.to(h.device), basis.to(h.device)
        about = h.double() - centre
        inside = about @ directions @ directions.T
        return (centre + (inside if keep >= 0 else about - inside)).to(h.dtype)

    return change


def _first(output: Any, change: Any) -> Any:
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], Tensor):
        changed = [change(output[0]), *output[1:]]
        return type(output)(changed)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        first = dataclasses.fields(output)[0].name
        if isinstance(getattr(output, first), Tensor):
            return dataclasses.replace(output, **{first: change(getattr(output, first))})
    raise wrong_type("layer", f"output {type(output).__name__}", "a tensor, or one in first place")
