"""Concept directions in several layers of one network, from one set of labels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from narrows.errors import wrong
from narrows.functional.cav import Directions, check_labelled, fit_directions


def fit_layers(
    layers: Mapping[str, Tensor],
    targets: Tensor,
    kind: str = "ridge",
    *,
    cost: float = 0.1,
    shrinkage: float | None = None,
) -> dict[str, Directions]:
    """Fit every concept in every layer.

    All concepts of a layer are solved together. Layers follow one another: their widths differ,
    so there is no common array, and a layer of 100 concepts is one large product already. All
    are checked before the first is fitted.

    Memory: that of `fit_directions` for the widest layer.

    Args:
        layers: name to features `(N, D)`, of the same rows in each.
        targets: `(N, k)` labels in [0, 1], NaN where unknown.
        kind: see `cav.fit_directions`.
        cost: see there.
        shrinkage: see there.

    Returns:
        The directions by layer, in the order given.

    Raises:
        InvalidInput: no layer; a layer that does not fit the labels or is not finite, by name.
        InvalidType: a layer that is not floating point, by name.

    Example:
        >>> import torch
        >>> early, c = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])
        >>> found = fit_layers({"early": early, "late": -2 * early}, c, "mean")
        >>> {name: float(d.vectors) for name, d in found.items()}
        {'early': 1.0, 'late': -2.0}
    """
    if not layers:
        raise wrong("layers", "none", "at least one")
    for name, h in layers.items():
        called = f"layers[{name!r}]"
        if h.ndim and len(h) != len(targets):
            raise wrong(called, f"{len(h)} rows", f"{len(targets)}, as there are labels")
        check_labelled(h, targets, called)
    return {
        name: fit_directions(h, targets, kind, cost=cost, shrinkage=shrinkage)
        for name, h in layers.items()
    }
