"""Distances between embeddings and prototypes that stay exact far from the origin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

DISTANCES = ("sqeuclidean", "cosine")


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distances, by one matrix product.

    `|p - c|^2 = |p|^2 - 2 p.c + |c|^2` loses all digits when points lie far from the origin and
    close together. So both are first moved by the mean of the centres, which changes no
    distance, and all is computed in double precision, autocast or not: a row's distances do not
    depend on the other rows of its batch.

    Args:
        points: `(*batch, features)`.
        centres: `(k, features)`.

    Returns:
        `(*batch, k)`, never negative, in the precision of the points but at least single.

    Example:
        >>> squared_distances(torch.tensor([[1e4, 1.0]]), torch.tensor([[1e4, 0.0], [1e4, 3.0]]))
        tensor([[1., 4.]])
    """
    with torch.autocast(points.device.type, enabled=False):
        dtype = torch.promote_types(points.dtype, torch.float32)
        points, centres = points.double(), centres.double()
        middle = centres.detach().mean(0)
        points, centres = points - middle, centres - middle
        products = points @ centres.T
        norms = points.square().sum(-1, keepdim=True) + centres.square().sum(-1)
        # Rounding can leave a tiny negative number where a point is its own centre.
        return (norms - 2 * products).clamp_min(0).to(dtype)


def cosine_distances(points: Tensor, centres: Tensor) -> Tensor:
    """`1 - cosine`, `(*batch, features)` and `(k, features)` to `(*batch, k)` in [0, 2].

    A zero vector has no direction; its distance to everything is 1.

    Example:
        >>> cosine_distances(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]]))
        tensor([[0., 1.]])
    """
    with torch.autocast(points.device.type, enabled=False):
        dtype = torch.promote_types(points.dtype, torch.float32)
        directions = normalize(points.double(), dim=-1), normalize(centres.double(), dim=-1)
        return (1 - directions[0] @ directions[1].T).clamp(0, 2).to(dtype)
