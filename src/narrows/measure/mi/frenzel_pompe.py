"""Frenzel and Pompe, Partial mutual information for coupling analysis (PRL 99, 2007).

With eps the max-norm distance to the k-th neighbour over x, y and z together,
I(X; Y | Z) = psi(k) - mean[psi(n_xz) + psi(n_yz) - psi(n_z)], n counting the rows strictly nearer
than eps, the row itself included.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from narrows.measure.mi.counting import count_both, count_within
from narrows.measure.mi.ksg import enough, summed
from narrows.measure.mi.neighbours import nearest, untied
from narrows.measure.mi.result import Estimate

Floats = NDArray[np.float64]


def frenzel_pompe(x: Floats, y: Floats, z: Floats, *, k: int = 3, seed: int = 0) -> Estimate:
    """Conditional information of continuous samples by nearest neighbours.

    Memory: O(N k), and up to 32 MB a column of each pair (see `counting`).

    Args:
        x: `(N, dx)`.
        y: `(N, dy)`.
        z: `(N, dz)`.
        k: neighbours.
        seed: of the jitter that tied values get.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((3, 500, 1))
        >>> abs(frenzel_pompe(rows[0] + rows[2], rows[1] + rows[2], rows[2]).value) < 0.15
        True
    """
    enough(len(x), k)
    generator = np.random.default_rng(seed)
    warnings: tuple[str, ...] = ()
    free = []
    for name, values in (("x", x), ("y", y), ("z", z)):
        one, tied = untied(values, generator)
        free.append(one)
        if tied:
            warnings += (f"{name}: {tied} tied values were moved by 1e-10 deviations",)
    x, y, z = free
    radius = nearest(np.concatenate(free, axis=1), k, last=True)[0][:, 0]
    xz, yz = np.concatenate([x, z], axis=1), np.concatenate([y, z], axis=1)
    n_xz, n_yz = count_both(xz, radius, yz, radius)
    n_z = count_within(z, radius)
    local = digamma(k) - digamma(n_xz) - digamma(n_yz) + digamma(n_z)
    return summed(local, warnings, {"k": k})
