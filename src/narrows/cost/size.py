"""How many numbers a model holds, part by part."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from narrows.model import NarrowModel


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Counts of numbers, each counted once.

    Attributes:
        encoder: parameters of the encoder.
        bottleneck: parameters of the bottleneck, without those of the encoder.
        head: parameters of the head, without those of the other two.
        buffers: numbers kept beside the parameters (codebooks, statistics), in all parts.
        bytes: memory of parameters and buffers.
    """

    encoder: int
    bottleneck: int
    head: int
    buffers: int
    bytes: int

    @property
    def total(self) -> int:
        """All parameters."""
        return self.encoder + self.bottleneck + self.head

    def __index__(self) -> int:
        return self.total

    def __str__(self) -> str:
        return (
            f"{self.total:,} parameters (encoder {self.encoder:,}, bottleneck "
            f"{self.bottleneck:,}, head {self.head:,}), {self.buffers:,} other numbers, "
            f"{self.bytes:,} bytes"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**dataclasses.asdict(self), "total": self.total}


def parameters(model: NarrowModel) -> Parameters:
    """Count a model's numbers.

    Example:
        >>> from narrows.bottleneck import IdentityBottleneck
        >>> from narrows.heads import LinearHead
        >>> model = NarrowModel(nn.Flatten(), IdentityBottleneck(4), LinearHead(4, 2))
        >>> print(parameters(model))
        10 parameters (encoder 0, bottleneck 0, head 10), 0 other numbers, 40 bytes
    """
    seen: set[int] = set()

    def count(part: nn.Module) -> int:
        new = [p for p in part.parameters() if id(p) not in seen]
        seen.update(map(id, new))
        return sum(p.numel() for p in new)

    kept = [*model.parameters(), *model.buffers()]
    return Parameters(
        encoder=count(model.encoder),
        bottleneck=count(model.bottleneck),
        head=count(model.head),
        buffers=sum(b.numel() for b in model.buffers()),
        bytes=sum(t.numel() * t.element_size() for t in kept),
    )
