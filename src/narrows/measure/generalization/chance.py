"""Random numbers that are not those of anybody else with the same seed."""

from __future__ import annotations

import numpy as np
import torch

from narrows.errors import wrong

_OWN = 0x1B5EED  # of this package


def stream(seed: int) -> torch.Generator:
    """A generator for noise and choices, apart from `torch.Generator().manual_seed(seed)`.

    Whoever draws inputs with seed 0 and measures with seed 0 would otherwise add to each row a
    noise that is the row itself, and the information would come out far too high.

    Raises:
        InvalidInput: a negative seed.

    Example:
        >>> own, plain = stream(0), torch.Generator().manual_seed(0)
        >>> bool(torch.randn(1, generator=own) == torch.randn(1, generator=plain))
        False
    """
    if seed < 0:
        raise wrong("seed", seed, "a whole number, 0 or more")
    state = np.random.SeedSequence((_OWN, seed)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))
