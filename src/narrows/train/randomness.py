"""Seeds: independent streams from one number, and no trace left on the global generators."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import numpy as np
import torch

_LOCK = threading.RLock()


def stream(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, independent of the seeds of all other purposes.

    Example:
        >>> stream(0, "order", 1) == stream(0, "order", 1), stream(0, "order", 2) == stream(0, 1)
        (True, False)
    """
    keys = [crc32(p.encode()) if isinstance(p, str) else p for p in purpose]
    state = np.random.SeedSequence([seed, *keys]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A torch generator for one purpose."""
    return torch.Generator().manual_seed(stream(seed, *purpose))


@contextmanager
def isolated(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run a block on its own random stream and put the global generators back.

    Initialisers, dropout and samplers of any module draw from torch's global generator, so the
    block owns it; a lock keeps two threads from owning it at once.
    """
    with _LOCK:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # kept, not drawn from
        devices = range(torch.cuda.device_count())
        with torch.random.fork_rng(devices):
            try:
                reseed(seed, *purpose)
                yield
            finally:
                random.setstate(python)
                np.random.set_state(numpy)  # noqa: NPY002  # see above


def reseed(seed: int, *purpose: str | int) -> None:
    """Start a new stream; only inside `isolated`."""
    value = stream(seed, *purpose)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(value)
