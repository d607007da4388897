"""Random numbers that are not those of anybody else with the same seed."""

from __future__ import annotations

import torch

from narrows.errors import wrong
from narrows.train.randomness import generator

_OWN = 0x1B5EED  # of this package


def own_source(seed: int) -> torch.Generator:
    """A generator for noise and choices, apart from `torch.Generator().manual_seed(seed)`.

    Whoever draws inputs with seed 0 and measures with seed 0 would otherwise add to each row a
    noise that is the row itself, and the information would come out far too high.

    Raises:
        InvalidInput: a negative seed.

    Example:
        >>> own, plain = own_source(0), torch.Generator().manual_seed(0)
        >>> bool(torch.randn(1, generator=own) == torch.randn(1, generator=plain))
        False
    """
    if seed < 0:
        raise wrong("seed", seed, "a whole number, 0 or more")
    return generator(_OWN, seed)
