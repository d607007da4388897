"""Ids of opened runs: short, unique, and safe in an address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def name_runs(folders: Sequence[Path]) -> list[str]:
    """An id for each run folder, from its own name.

    Letters outside a to z, A to Z, 0 to 9, `.`, `_` and `-` become `-`; a second run of the same
    name gets a number.

    Example:
        >>> name_runs([Path("runs/mine"), Path("old/mine"), Path("runs/my run")])
        ['mine', 'mine-2', 'my-run']
    """
    names: list[str] = []
    for folder in folders:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip(".-")[:60] or "run"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names
