"""How much does each position of a feature map speak for each concept?

Concept activation mapping of Aysel, Cai, Prügel-Bennett, "Concept-Based XAI: Metrics and
Benchmarks" (2025), arXiv 2501.19271. With E the last feature map `(d, H, W)` before global average
pooling and C_j the direction of concept j:

    F_j(p) = sum_m C_jm E_m(p) / d, enlarged bilinearly to the picture

The mean of F_j over positions is u_j / d, u_j = C_j . mean(E) + b_j the concept's score; a bias
b_j is spread evenly, and a direction must be divided by its norm exactly if the score's is. The
formula is from the paper; no code of it was found.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from narrows.errors import wrong, wrong_type


def activation_map(features: Tensor, directions: Tensor, biases: Tensor | None = None) -> Tensor:
    """How much each position speaks for each concept, `(n, concepts, H, W)`.

    One matrix product. Memory: the result, and once more of its size where there are biases.

    Args:
        features: `(n, d, H, W)` before global average pooling.
        directions: `(concepts, d)`, as the concept scores use them.
        biases: `(concepts,)` of the scores; by default none.

    Returns:
        Maps whose mean over positions is the concept's score divided by d.

    Example:
        >>> import torch
        >>> features = torch.tensor([[[[1.0, 0.0]], [[0.0, 3.0]]]])
        >>> activation_map(features, torch.tensor([[2.0, 0.0], [0.0, 2.0]]))[0].tolist()
        [[[1.0, 0.0]], [[0.0, 3.0]]]
    """
    check_maps("features", features, "(n, d, H, W)")
    d, height, width = features.shape[1:]
    if directions.ndim != 2 or directions.shape[1] != d or not len(directions):
        raise wrong("directions", f"shape {tuple(directions.shape)}", f"shape (concepts, {d})")
    if biases is not None and biases.shape != directions.shape[:1]:
        raise wrong("biases", f"shape {tuple(biases.shape)}", f"({len(directions)},)")
    for argument, part in (("directions", directions), ("biases", biases)):
        if part is not None and not bool(part.isfinite().all()):
            raise wrong(argument, "a number that is NaN or infinite", "finite numbers")
    maps = (directions.to(features) / d) @ features.flatten(2)
    if biases is not None:
        maps = maps + (biases.to(features) / d)[:, None]
    return maps.unflatten(2, (height, width))


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps `(n, k, H, W)` at the picture's size, bilinearly, pixel centres aligned.

    Enlarging by a whole number leaves the mean of a map as it is.

    Example:
        >>> import torch
        >>> enlarge(torch.tensor([[[[0.0, 4.0]]]]), (1, 4)).tolist()
        [[[[0.0, 1.0, 3.0, 4.0]]]]
    """
    return interpolate(maps, size=size, mode="bilinear", align_corners=False)


def check_maps(argument: str, maps: Tensor, axes: str) -> None:
    """Refuse what is not a finite floating-point tensor of four axes."""
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        raise wrong_type(argument, getattr(maps, "dtype", type(maps).__name__), "a floating tensor")
    if maps.ndim != 4 or 0 in maps.shape:
        raise wrong(argument, f"shape {tuple(maps.shape)}", f"{axes}, not empty")
    if not bool(maps.isfinite().all()):
        raise wrong(argument, "a number that is NaN or infinite", "finite numbers")
