"""The prototype layer: one similarity per class, to the mean of its examples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.bottleneck import Bottleneck
from narrows.errors import wrong
from narrows.prototypes.distances import squared_distances
from narrows.prototypes.memory import PrototypeMemory
from narrows.reading import Evidence, Reading


class PrototypeLayer(Bottleneck):
    """Units are `-|h - c_k|^2`, one per class, 0 at the prototype and negative away from it.

    A unit is called "like <class>". Correcting it to 0 says "this is as like it as can be"; a
    large negative number says it is not.

    Args:
        features: length of an embedding.
        labels: one per class; their texts must differ.

    Attributes:
        prototypes: `(classes, features)`.
        nearest: `(classes,)` the row of the training data nearest to each prototype, among the
            rows of its own class; -1 before `fit`.

    Example:
        >>> layer = PrototypeLayer(2, ["cat", "dog"])
        >>> h, y = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]]), torch.tensor([0, 0, 1])
        >>> layer.fit(h, y).read(torch.tensor([[1.0, 1.0]])).units
        tensor([[ -1., -32.]])
        >>> layer.names, layer.nearest
        (('like cat', 'like dog'), tensor([0, 2]))
    """

    prototypes: Tensor
    nearest: Tensor

    def __init__(self, features: int, labels: Sequence[object]) -> None:
        super().__init__([f"like {label}" for label in labels])
        self.features = features
        self.register_buffer("prototypes", torch.zeros(len(labels), features))
        self.register_buffer("nearest", torch.full((len(labels),), -1))

    @torch.no_grad()
    def fit(self, h: Tensor, y: Tensor) -> PrototypeLayer:
        """Set each prototype to the mean of its class.

        Args:
            h: `(n, features)` embeddings of the training rows.
            y: `(n,)` class ids into `labels`.

        Raises:
            InvalidInput: a class without a row, NaN, or wrong shapes.
        """
        memory = PrototypeMemory(self.features).update(h, y)
        held = set(memory.labels.tolist())
        if strange := held - set(range(len(self.names))):
            raise wrong("y", f"class id {min(strange)}", f"ids 0 to {len(self.names) - 1}")
        for i, name in enumerate(self.names):
            if i not in held:
                raise wrong("y", f"no example for {name!r}", "at least one example per class")
        self.prototypes.copy_(memory.means)
        self.nearest.copy_(_nearest(h, y, self.prototypes))
        return self

    def read(self, h: Tensor) -> Reading:
        """Similarities of `(*batch, features)` to each prototype, `(*batch, classes)`."""
        if h.shape[-1] != self.features:
            raise wrong("h", f"shape {tuple(h.shape)}", f"shape (*batch, {self.features})")
        if (self.nearest < 0).any():
            raise wrong("prototypes", "none yet", "prototypes: call fit(h, y) first")
        return Reading(-squared_distances(h, self.prototypes))

    def evidence(self, x: Tensor, reading: Reading, units: Sequence[str]) -> list[Evidence]:
        """The training example that stands for each unit: the same for every row of `x`."""
        known = super().evidence(x, reading, units)
        rows = [self.nearest[self.names.index(e.unit)].expand(len(reading)) for e in known]
        return [Evidence(e.unit, "example", row) for e, row in zip(known, rows, strict=True)]


def _nearest(h: Tensor, y: Tensor, prototypes: Tensor) -> Tensor:
    """For each class the row nearest to its prototype; of equally near rows the first."""
    order = (h - prototypes.to(h)[y]).square().sum(1).argsort(stable=True)
    by_class = order[y[order].argsort(stable=True)]
    counts = y.bincount(minlength=len(prototypes))
    return by_class[counts.cumsum(0) - counts]
