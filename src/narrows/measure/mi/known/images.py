"""Pairs of pictures of known information (Butakov et al., ICLR 2024).

Each picture is drawn from a few uniform parameters that it shows in full: what two pictures tell
of each other is what their parameters do. The parameters are normal pairs, each side turned, then
made uniform.

A blob has two, its centre c in the unit square: exp(-10 |u - c|^2) at the pixel centres u.

A rectangle has four, two a side: the near end is u_1 (1 - s), the far end lies between s and all
that is left beyond it, in the share u_2, with s two pixels. A pixel is as bright as its covered
area, so the picture changes smoothly with the ends, and one whole pixel a side is always covered.
"""

from __future__ import annotations

import numpy as np

from narrows.measure.mi.known import maps
from narrows.measure.mi.known.normal import normal, pairs
from narrows.measure.mi.known.task import Floats, Map, Task, mapped

SIDE = 32
_LEAST = 2 / SIDE  # shortest side of a rectangle


def blob(centres: Floats) -> Floats:
    """`(n, 2)` centres to `(n, 1024)` pixels, row by row.

    Example:
        >>> blob(np.array([[0.5, 0.5]])).shape
        (1, 1024)
    """
    at = (np.arange(SIDE) + 0.5) / SIDE
    across, down = (np.exp(-10 * (at - centre[:, None]) ** 2) for centre in centres.T)
    return (down[:, :, None] * across[:, None, :]).reshape(len(centres), -1)


def rectangle(parameters: Floats) -> Floats:
    """`(n, 4)` of [0, 1], two across and two down, to `(n, 1024)` pixels, row by row."""
    across, down = _covered(parameters[:, :2]), _covered(parameters[:, 2:])
    return (down[:, :, None] * across[:, None, :]).reshape(len(parameters), -1)


def _covered(parameters: Floats) -> Floats:
    """`(n, 32)` share of each pixel between the ends of a segment."""
    near = parameters[:, :1] * (1 - _LEAST)
    far = near + _LEAST + parameters[:, 1:] * (1 - _LEAST - near)
    edge = np.arange(SIDE) / SIDE
    inside = np.minimum(far, edge + 1 / SIDE) - np.maximum(near, edge)
    return np.clip(inside * SIDE, 0, 1)


def pictures(name: str, shape: Map, parameters: int, nats: float) -> Task:
    """Two pictures of one shape that share `nats`, spread over all parameters.

    Args:
        name: of the task.
        shape: `blob` or `rectangle`.
        parameters: 2 for a blob, 4 for a rectangle.
        nats: their information.
    """
    base = normal(name, pairs(parameters, parameters, nats), parameters)
    sides = [(maps.rotation(parameters, seed), maps.normal_cdf, shape) for seed in (1, 2)]
    return mapped(base, name, *sides)
