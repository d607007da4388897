"""The concept embedding layer: two vectors a concept, mixed by its probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.errors import wrong
from narrows.reading import Reading


class ConceptEmbeddingLayer(Bottleneck):
    """Concepts as embeddings: an active and an inactive vector, and which of them counts.

        context_i = leaky_relu(A_i h + b_i), its halves are on_i and off_i
        p_i       = sigmoid(w . context_i + b)
        z_i       = p_i on_i + (1 - p_i) off_i

    The units are the probabilities; both halves go along as context `on` and `off`, `(*batch, k,
    width)` each, so that a correction works wherever the reading is, on the far side of a wire
    too. They are `k * (2 * width + 1)` numbers an example: what `write` needs to mix anew.

    Args:
        features: width of `h`.
        names: one per concept.
        groups: mutually exclusive concepts.
        width: of one vector; the head reads `k * width` numbers.
        shared_scorer: one `w` and `b` for all concepts, as in the paper, or one each.

    Example:
        >>> layer = ConceptEmbeddingLayer(4, ["furry", "loud"], width=3)
        >>> reading = layer.read(torch.ones(1, 4))
        >>> loud = layer.condition(reading, {"loud": 1.0})
        >>> torch.equal(layer.write(loud)[:, 3:], reading.context["on"][:, 1])
        True
    """

    def __init__(
        self,
        features: int,
        names: Sequence[str],
        groups: Sequence[Sequence[int]] = (),
        width: int = 16,
        shared_scorer: bool = True,
    ) -> None:
        super().__init__(names, groups)
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise wrong("width", repr(width), "an integer >= 1")
        self.width = width
        k, scorers = len(self.names), 1 if shared_scorer else len(self.names)
        # One product for all concepts: rows i * 2 * width and on are A_i.
        self.linear = nn.Linear(features, k * 2 * width)
        # A scorer starts as torch's own linear layers do.
        bound = 1 / math.sqrt(2 * width)
        self.scorer = nn.Parameter(torch.empty(scorers, 2 * width).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.empty(scorers).uniform_(-bound, bound))

    def embed(self, h: Tensor) -> Tensor:
        """`(*batch, k, 2 * width)` the context of every concept."""
        context = nn.functional.leaky_relu(self.linear(h))
        return context.unflatten(-1, (len(self.names), -1))

    def logits(self, context: Tensor) -> Tensor:
        """`(*batch, k)` of the probabilities: what losses take."""
        return (context * self.scorer).sum(-1) + self.offset

    def let_through(self, logits: Tensor, context: Tensor) -> Reading:
        """What passes of these."""
        on, off = context.unflatten(-1, (2, self.width)).unbind(-2)
        return Reading(logits.sigmoid(), context={"on": on, "off": off})

    def read(self, h: Tensor) -> Reading:
        """Embed and score every concept."""
        context = self.embed(h)
        return self.let_through(self.logits(context), context)

    def write(self, reading: Reading) -> Tensor:
        """`(*batch, k * width)` the mixed vectors, concept by concept."""
        p = reading.units.unsqueeze(-1)
        # In this form 1 and 0 give the halves themselves, bit for bit.
        return (p * reading.context["on"] + (1 - p) * reading.context["off"]).flatten(-2)

    def condition(self, reading: Reading, known: Known) -> Reading:
        """Fix probabilities to values in [0, 1]; the halves stay as the encoder made them."""
        mask, values = resolve_known(known, self.names, self.groups, reading.units)
        outside = (mask & ((values < 0) | (values > 1))).nonzero()
        if len(outside):
            place = tuple(outside[0].tolist())
            name, value = self.names[place[-1]], float(values[place])
            raise wrong(f"known[{name!r}]", value, "a value in [0, 1]")
        return reading.replace(units=torch.where(mask, values, reading.units))
