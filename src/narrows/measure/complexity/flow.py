"""Along which branch a feature comes: the alignment of residual branches with features.

Linear CKA of activations x `(n, d)` with one feature z `(n,)`, columns about their means
(Kornblith et al. 2019):

    CKA = |X^T z|² / (|X^T X|_F |z|²)

A block's output is main(x) + skip(x). Simple features are said to pass by the skip branch, complex
ones to be built up along the main branch (Fel et al. 2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import wrong
from narrows.measure.complexity.inputs import layer_batches, matrix
from narrows.measure.complexity.pooled import PooledLayers
from narrows.measure.complexity.streams import CrossStream
from narrows.measure.watching.recorder import watch

Branch = tuple[str, str | None]


def cka_of(stream: CrossStream) -> Tensor:
    """`(k,)` linear CKA of the inputs of a stream with each of its targets; 0 for constants."""
    size = stream.x.scatter.norm() * stream.z_scatter
    return torch.where(size > 0, stream.cross.square().sum(0) / size.clamp(min=1e-300), 0.0)


def linear_cka(layers: Any, Z: Any) -> dict[str, Tensor]:
    """Linear CKA of each layer with each feature.

    Memory: `8 (d^2 + d k)` bytes a layer.

    Args:
        layers: a `PooledLayers`, or a mapping from layer to `(n, d)` arrays or tensors.
        Z: `(n, k)` features, or `(n,)` one.

    Returns:
        Layer to `(k,)` in [0, 1].

    Raises:
        InvalidType: no numbers, no layers.
        InvalidInput: other shapes, unequal lengths, NaN or infinite values.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [5.0]])
        >>> linear_cka({"same": 3 * z + 1}, z)["same"].tolist()
        [1.0]
    """
    z = matrix("Z", Z)
    streams: dict[str, CrossStream] = {}
    start = 0
    for found in layer_batches(layers):
        size = len(next(iter(found.values())))
        for layer, h in found.items():
            own = streams.setdefault(layer, CrossStream(h.shape[1], z.shape[1], h.device))
            own.update(h, z[start : start + size].to(h.device))
        start += size
    if start != len(z):
        raise wrong("layers", f"{start} rows", f"as many as Z has, {len(z)}")
    return {layer: cka_of(own).cpu() for layer, own in streams.items()}


@dataclasses.dataclass(frozen=True)
class ResidualFlow:
    """Linear CKA of each block's branches with each feature.

    Attributes:
        blocks: in order.
        skip: `(blocks, k)`.
        main: `(blocks, k)`.
    """

    blocks: tuple[str, ...]
    skip: Tensor
    main: Tensor

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"blocks": list(self.blocks), "skip": self.skip.tolist(), "main": self.main.tolist()}


def residual_flow(
    model: nn.Module,
    batches: Iterable[Any],
    blocks: Mapping[str, Branch],
    Z: Any,
    *,
    pool: str = "gap",
) -> ResidualFlow:
    """CKA of main and skip branches with features, block by block, in one pass.

    Args:
        model: any module.
        batches: its inputs, in the order of the rows of Z.
        blocks: block to its main and its skip branch, parts of the block whose output is the
            branch: `{"layer1.0": ("bn2", None)}`. None: the block's input is the skip branch.
        Z: `(n, k)` features.
        pool: as for `PooledLayers`.

    Raises:
        UnknownName: a part that does not exist.
        InvalidInput: no block; as `linear_cka`.
    """
    if not blocks:
        raise wrong("blocks", "none", "at least one")
    outputs = [f"{block}.{main}" for block, (main, _) in blocks.items()]
    outputs += [f"{block}.{skip}" for block, (_, skip) in blocks.items() if skip is not None]
    inputs = [block for block, (_, skip) in blocks.items() if skip is None]
    found = linear_cka(_Branches(model, batches, outputs, inputs, pool), Z)
    return ResidualFlow(
        tuple(blocks),
        torch.stack([found[_skip(block, branch[1])] for block, branch in blocks.items()]),
        torch.stack([found[f"{block}.{main}"] for block, (main, _) in blocks.items()]),
    )


def _skip(block: str, part: str | None) -> str:
    return f"input of {block}" if part is None else f"{block}.{part}"


class _Branches(PooledLayers):
    """Outputs of some layers, and beside them what goes into others, in one pass."""

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        outputs: Sequence[str],
        inputs: Sequence[str],
        pool: str,
    ) -> None:
        super().__init__(model, batches, outputs, pool=pool)
        self.inputs = tuple(inputs)

    def of_batch(self, batch: Any) -> dict[str, Tensor]:
        """Both, for one batch."""
        if not self.inputs:
            return super().of_batch(batch)
        entering = watch(self.model, self.inputs, transform=self._rows, side="input")
        with entering as into:
            found = super().of_batch(batch)
        return found | {f"input of {block}": into[block] for block in self.inputs}
