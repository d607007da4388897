"""What a result depends on beside its settings: versions, threads, machine."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

_PACKAGES = ("narrows", "torch", "numpy", "scikit-learn", "safetensors")


def environment() -> dict[str, str]:
    """Versions and machine, as texts.

    Example:
        >>> sorted(environment())[:3]
        ['cuda', 'machine', 'narrows']
    """
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        **versions,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "cuda": cuda,
    }
