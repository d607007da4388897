"""Noise on concept vectors while training, drawn from the generator that a fit has to itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.concepts.energy.energies import Energies
from narrows.functional.losses import label_loss

_FLIPPED = 0.2  # share of rows, and of concepts in them
_NEGATIVES = 16  # disturbed concept vectors for each row


def flipped(c: Tensor) -> Tensor:
    """A fifth of the rows with a fifth of the concepts (the same ones) the other way round."""
    rows = torch.rand(len(c), 1, device=c.device) < _FLIPPED
    chosen = torch.zeros(c.shape[1], dtype=torch.bool, device=c.device)
    chosen[torch.randperm(c.shape[1], device=c.device)[: round(_FLIPPED * c.shape[1])]] = True
    return torch.where(rows & chosen, 1 - c, c)


def contrast(energies: Energies, c: Tensor, y: Tensor, others: Tensor) -> Tensor:
    """Mean of -log exp(-E_glob(c, y)) / sum over c' of exp(-E_glob(c', y)), c among the c'.

    Args:
        energies: the networks.
        c: `(n, concepts)`.
        y: `(n,)` class ids.
        others: `(count, n, concepts)`, see `rivals`.
    """
    candidates = torch.cat([c[None], others])
    energy = energies.joint_of(candidates.flatten(0, 1), y.repeat(len(candidates)))
    return label_loss(-energy.unflatten(0, (-1, len(c))).T, torch.zeros_like(y))


def rivals(c: Tensor, turns: Sequence[Sequence[int]], count: int = _NEGATIVES) -> Tensor:
    """Concept vectors `(count, n, concepts)` that only their probability tells from `c`.

    `c` is disturbed once, and what comes out `count` times. The noise being symmetric, `c` is to
    that midpoint just what its rivals are. Disturbing `c` itself would put it in the middle of
    its rivals and give it away.
    """
    return disturbed(disturbed(c, turns, 1)[0], turns, count)


def disturbed(c: Tensor, turns: Sequence[Sequence[int]], count: int) -> Tensor:
    """Concept vectors `(count, n, concepts)` near `c`, by noise that is as likely backwards.

    One turn, and each other with probability one tenth, is disturbed: a single concept flips;
    in a group either one member flips or the values move round by a random distance.
    """
    one = torch.randint(len(turns), (count, len(c), 1), device=c.device)
    every = torch.arange(len(turns), device=c.device)
    chosen = (one == every) | (torch.rand(count, len(c), len(turns), device=c.device) < 0.1)
    out = c.repeat(count, 1, 1)
    for t, turn in enumerate(turns):
        members, size = list(turn), len(turn)
        here, hit = out[..., members], chosen[..., t, None]
        place = torch.arange(size, device=c.device)
        member = torch.randint(size, (count, len(c), 1), device=c.device)
        new = torch.where(place == member, 1 - here, here)
        if size > 1:
            shift = torch.randint(1, size, (count, len(c), 1), device=c.device)
            moved = here.gather(-1, (place + shift) % size)
            new = torch.where(torch.rand(count, len(c), 1, device=c.device) < 0.5, moved, new)
        out[..., members] = torch.where(hit, new, here)
    return out
