"""The key-value bottleneck: each head looks up the value of its nearest key."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from narrows import distributed
from narrows.codes.keys import first_keys, fit_codebooks
from narrows.codes.selection import CodeSelection
from narrows.errors import wrong
from narrows.functional.codes import nearest_code
from narrows.reading import Reading

SPLITS = ("random", "chunks")
_KEY_DIM = 32
_ROWS = 4096  # rows at a time: bounds the memory of their views
_SEEDS = 4096  # rows at most among which the first keys are looked for


class KeyValueBottleneck(CodeSelection):
    """`h -> C views of h -> nearest key of each head -> its value`, values side by side.

    Keys and views are fixed after `fit_keys`; only `values` can be trained, and a step changes
    none but the pairs that its batch picked. In training mode the pairs that are picked are
    counted; in evaluation a head picks among pairs that were ever counted, so an untrained pair
    never answers, and a head without any says nothing (unit 0, no value).

    Units are called "head 3 code 17". `{"head 3 code 17": 1.0}` makes head 3 pick code 17.

    Args:
        features: width of h.
        heads: C.
        pairs: J, key-value pairs per head.
        key_dim: width of a head's view. None takes `features / heads` for chunks and at most 32
            for random views (14 in the paper, at 256 heads).
        value_dim: width of a value; the number of classes, where heads vote.
        split: how heads see h. `random`: fixed Gaussian projections whose columns are
            normalised over the features, so that distances compare between heads. `chunks`:
            pieces of h in order.

    Attributes:
        keys: `(heads, pairs, key_dim)` buffer.
        usage: `(heads, pairs)` int64 buffer, how often each was picked in training mode.
        values: `(heads, pairs, value_dim)` parameter, 0 at first.

    Memory: `heads pairs (key_dim + value_dim)` numbers and as many gradients of values.

    Example:
        >>> layer = KeyValueBottleneck(2, heads=2, pairs=2, value_dim=3, split="chunks")
        >>> layer = layer.set_keys(torch.tensor([[[0.0], [1.0]], [[0.0], [1.0]]]))
        >>> reading = layer.read(torch.tensor([[0.9, 0.2]]))
        >>> layer.spoken(reading)
        [['head 0 code 1', 'head 1 code 0']]
        >>> layer.write(reading).shape
        torch.Size([1, 6])
    """

    projections: Tensor
    keys: Tensor
    usage: Tensor
    fitted: Tensor

    def __init__(
        self,
        features: int,
        heads: int = 64,
        pairs: int = 200,
        key_dim: int | None = None,
        value_dim: int = 10,
        split: str = "random",
    ) -> None:
        _check(features, heads, pairs, key_dim, value_dim, split)
        names = [f"head {c} code {j}" for c in range(heads) for j in range(pairs)]
        super().__init__(heads, pairs, names, [f"head {c}" for c in range(heads)])
        if key_dim is None:
            key_dim = features // heads if split == "chunks" else min(features, _KEY_DIM)
        self.features, self.key_dim, self.width, self.split = features, key_dim, value_dim, split
        if split == "random":
            drawn = torch.randn(features, heads * key_dim)
            self.register_buffer("projections", normalize(drawn, dim=0))
        self.register_buffer("keys", torch.zeros(heads, pairs, key_dim))
        self.register_buffer("usage", torch.zeros(heads, pairs, dtype=torch.int64))
        self.register_buffer("fitted", torch.tensor(False))
        self.values = nn.Parameter(torch.zeros(heads, pairs, value_dim))

    def views(self, h: Tensor) -> Tensor:
        """What the heads see of `(n, features)`: `(heads, n, key_dim)`, without gradient."""
        h = h.detach().to(self.keys.dtype)
        with torch.autocast(h.device.type, enabled=False):  # half precision picks wrong keys
            seen = h if self.split == "chunks" else h @ self.projections
        return seen.unflatten(-1, (self.heads, self.key_dim)).transpose(0, 1)

    @torch.no_grad()
    def fit_keys(
        self,
        h: Tensor,
        *,
        epochs: int = 10,
        batch_size: int = 256,
        decay: float = 0.95,
        init: str = "random",
        source: torch.Generator,
    ) -> KeyValueBottleneck:
        """Place the keys by vector quantisation of unlabelled features.

        Another data set's features serve as well. Usage counts start anew. With several
        processes each must pass the same rows and an equal source.

        Args:
            h: `(n, features)`.
            epochs: passes with moving averages; 0 keeps the first keys.
            batch_size: rows a step.
            decay: of the moving averages; 0 takes each batch's own means.
            init: `random` or `kmeans++` rows, see `keys.first_keys`.
            source: of randomness, on the CPU.
        """
        h = self._flat(h)
        if not len(h) or not h.isfinite().all():
            raise wrong("h", f"shape {tuple(h.shape)}", "rows of finite numbers, at least one")
        if epochs < 0 or batch_size < 1 or not 0 <= decay < 1:
            found = f"{epochs}, {batch_size}, {decay}"
            raise wrong("epochs, batch_size, decay", found, ">= 0, >= 1 and in [0, 1)")
        seed = int(torch.randint(2**62, (1,), generator=source))
        source = torch.Generator(h.device).manual_seed(seed)
        some = torch.randperm(len(h), generator=source, device=h.device)
        start = first_keys(self.views(h[some[: max(self.codes, _SEEDS)]]), self.codes, init, source)
        fitted = fit_codebooks(
            lambda rows: self.views(h[rows]),
            len(h),
            start,
            epochs=epochs,
            batch_size=batch_size,
            decay=decay,
            source=source,
        )
        return self.set_keys(fitted)

    @torch.no_grad()
    def set_keys(self, keys: Tensor) -> KeyValueBottleneck:
        """Use these keys `(heads, pairs, key_dim)`; usage counts start anew."""
        if keys.shape != self.keys.shape or not keys.isfinite().all():
            wanted = f"finite numbers of shape {tuple(self.keys.shape)}"
            raise wrong("keys", f"shape {tuple(keys.shape)}", wanted)
        self.keys.copy_(keys)
        self.usage.zero_()
        self.fitted.fill_(True)
        return self

    def read(self, h: Tensor) -> Reading:
        """The nearest key of each head to `(*batch, features)`; `(*batch, heads)`.

        Ties go to the lowest number. In training mode all keys compete and usage is counted.
        """
        numbers = self.nearest(h, None if self.training else self.usage > 0)
        if self.training:
            self.count(numbers)
            return self.select(numbers)
        return self.select(numbers.clamp(min=0), numbers >= 0)

    @torch.no_grad()
    def nearest(self, h: Tensor, usable: Tensor | None = None) -> Tensor:
        """The number of each head's nearest key, `(*batch, heads)`; nothing is counted.

        Args:
            h: `(*batch, features)`.
            usable: `(heads, pairs)` bool, keys that may be picked; a head without any gets -1.
        """
        if not self.fitted:
            raise wrong("keys", "none yet", "keys: call fit_keys(h) or set_keys(keys) first")
        parts = self._flat(h).split(_ROWS)
        numbers = torch.cat([nearest_code(self.views(p), self.keys, usable).T for p in parts])
        return numbers.view(*h.shape[:-1], self.heads)

    @torch.no_grad()
    def count(self, numbers: Tensor) -> None:
        """Count picks `(*batch, heads)` as used, those of all ranks together."""
        self.usage += distributed.total(self._picks(numbers))

    def write(self, reading: Reading) -> Tensor:
        """The picked values side by side, `(*batch, heads * value_dim)`."""
        # Looked up by row: the gradient of a pair that was not picked is exactly 0.
        values = embedding(self.picked(reading), self.values.flatten(0, 1))
        return (values * reading.units.unsqueeze(-1)).flatten(-2)

    def overlap(self, first: Tensor, second: Tensor) -> float:
        """The share of the pairs that features `first` pick which `second` pick too.

        Training on the second changes what the first say through these pairs and no others.
        """
        mine, theirs = (self._picks(self.nearest(h)) > 0 for h in (first, second))
        return float((mine & theirs).sum() / mine.sum())

    def _picks(self, numbers: Tensor) -> Tensor:
        """How often each pair is among `(*batch, heads)` numbers, `(heads, pairs)`."""
        units = (numbers + self._offsets(numbers)).flatten()
        return units.bincount(minlength=self.usage.numel()).view_as(self.usage)

    def _flat(self, h: Tensor) -> Tensor:
        if h.ndim < 1 or h.shape[-1] != self.features:
            raise wrong("h", f"shape {tuple(h.shape)}", f"shape (*batch, {self.features})")
        return h.reshape(-1, self.features)


def _check(
    features: int, heads: int, pairs: int, key_dim: int | None, value_dim: int, split: str
) -> None:
    sizes = {"features": features, "heads": heads, "pairs": pairs, "value_dim": value_dim}
    if key_dim is not None:
        sizes["key_dim"] = key_dim
    for name, size in sizes.items():
        if size < 1:
            raise wrong(name, size, "at least 1")
    if split not in SPLITS:
        raise wrong("split", repr(split), "one of " + ", ".join(map(repr, SPLITS)))
    if split == "chunks" and heads * (key_dim or features // heads) != features:
        found = f"{features} features for {heads} heads"
        raise wrong("heads", found, "heads that divide the features into equal chunks of key_dim")
