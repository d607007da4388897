"""What a decoder computes for each token it writes.

With a cache of keys and values, averaged over `T` tokens after a prompt of `S`, 2 for each
multiplication with its addition (Yuan et al., "Information Capacity", arXiv 2511.08066):

    projections of attention   4 d n_head d_head + 4 d n_kv d_head             a layer
    scores and mixing          4 n_head d_head (S + (T - 1) / 2)               a layer
    feed-forward, gated        6 d d_ff,  without a gate 4 d d_ff              a layer
    output                     2 d V

Norms, softmax, rotations and the look-up of embeddings are left out. `S + (T - 1) / 2` are the
positions in the cache before the token itself; it attends to itself, too, which the formula
leaves out (one position of some hundreds). A layer that looks back at a window only never sees
more than that. Experts: those a token uses, the shared ones, and the router, which the paper's
code leaves out (2 d for each expert, mostly far below 1 %). Latent attention: down to and up from
the narrow places for the new token, scores over `plain + rotated`, mixing over `value` dimensions;
keys and values of earlier tokens are taken from the cache as they came up (a program that keeps
the narrow place only, and opens it again for each token, computes more).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from narrows.errors import wrong
from narrows.measure.language.decoder_shape import DecoderShape, Latent, decoder_shape

_MOST = 2**63 - 1  # what counters of operations can hold


@dataclasses.dataclass(frozen=True)
class DecoderFlops:
    """Operations of a decoder.

    Attributes:
        parts: for a token, on average: projections, attention, feed_forward, router, output.
        gen_len: tokens written, over which was averaged.
        prompt: tokens in the cache before.
    """

    parts: Mapping[str, float]
    gen_len: int
    prompt: int

    @property
    def per_token(self) -> float:
        """For one token, on average."""
        return math.fsum(self.parts.values())

    @property
    def total(self) -> float:
        """For all tokens written; the prompt is not counted."""
        return self.per_token * self.gen_len

    def __repr__(self) -> str:
        shares = ", ".join(f"{k} {v / self.per_token:.0%}" for k, v in self.parts.items() if v)
        return f"{self.per_token:.4g} FLOPs for a token ({shares}; {self.gen_len:,} tokens)"

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "per_token": self.per_token,
            "total": self.total,
            "parts": dict(self.parts),
            "gen_len": self.gen_len,
            "prompt": self.prompt,
        }


def decoder_flops(config: Any, gen_len: int = 1024, prompt: int = 0) -> DecoderFlops:
    """Count the operations of a decoder that writes with a cache.

    Args:
        config: of the Transformers library, or a mapping as `decoder_shape` takes it.
        gen_len: tokens that are written.
        prompt: tokens before, whose keys and values lie in the cache.

    Raises:
        InvalidType: no configuration.
        InvalidInput: sizes that are missing or wrong, another kind of model, or more operations
            in all than 2^63 - 1.

    Example:
        >>> tiny = {"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 50,
        ...     "num_attention_heads": 2, "intermediate_size": 16, "gated": True}
        >>> decoder_flops(tiny, gen_len=11).parts["attention"]  # 4 * 8 * (11 - 1) / 2
        160.0
        >>> decoder_flops(tiny, gen_len=11)
        2240 FLOPs for a token (projections 23%, attention 7%, feed_forward 34%, output 36%; ...)
    """
    for name, value, least in (("gen_len", gen_len, 1), ("prompt", prompt, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(name, repr(value), f"a whole number of {least} or more")
    shape = decoder_shape(config)
    width = 6 if shape.gated else 4
    dense = width * shape.width * shape.hidden
    sparse = router = 0
    if shape.experts is not None:
        some = shape.experts
        sparse = width * shape.width * (some.used * some.width + some.shared)
        router = 2 * shape.width * (some.count + some.gated_shared)
    layers = len(shape.windows)
    parts = {
        "projections": layers * _projections(shape),
        "attention": _per_position(shape)
        * math.fsum(_positions(gen_len, prompt, window) for window in shape.windows),
        "feed_forward": sum(sparse if here else dense for here in shape.sparse),
        "router": sum(shape.sparse) * router,
        "output": 2 * shape.width * shape.vocabulary,
    }
    if sum(parts.values()) * gen_len > _MOST:
        raise wrong("config", "more than 2^63 - 1 operations in all", "sizes of a decoder")
    return DecoderFlops({name: float(value) for name, value in parts.items()}, gen_len, prompt)


def _projections(shape: DecoderShape) -> int:
    """Of one layer for one token."""
    d, latent = shape.width, shape.latent
    if latent is None:
        return 4 * d * shape.heads * shape.head + 4 * d * shape.key_value_heads * shape.head
    key = latent.plain + latent.rotated
    query = 2 * d * shape.heads * key
    if latent.query:
        query = 2 * latent.query * (d + shape.heads * key)
    down = 2 * d * (latent.key_value + latent.rotated)
    up = 2 * latent.key_value * shape.heads * (latent.plain + latent.value)
    return query + down + up + 2 * shape.heads * latent.value * d


def _per_position(shape: DecoderShape) -> int:
    """Of one layer for one token that attends to one position."""
    latent: Latent | None = shape.latent
    if latent is None:
        return 4 * shape.heads * shape.head
    return 2 * shape.heads * (latent.plain + latent.rotated + latent.value)


def _positions(gen_len: int, prompt: int, window: int | None) -> float:
    """Positions in the cache that a token attends to, on average: `min(S + t, window)`."""
    if window is None or window >= prompt + gen_len:
        return prompt + (gen_len - 1) / 2
    growing = max(min(window - prompt, gen_len), 0)  # tokens before the window is full
    return (growing * prompt + growing * (growing - 1) / 2 + (gen_len - growing) * window) / gen_len
