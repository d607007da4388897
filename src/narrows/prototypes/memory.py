"""A memory of class means that learns online, merges and forgets exactly.

Nearest class means with online averages (Mensink, Verbeek, Perronnin, Csurka, 2013; Snell,
Swersky, Zemel, NeurIPS 2017). With n new vectors of mean m, and with a second summary (c_b, N_b):

    update   N <- N + n;      c <- c + (n / N) (m - c)
    merge    c <- c + N_b / (N + N_b) (c_b - c)
    remove   c <- c + N_b / (N - N_b) (c - c_b)

All three give the mean of the joined data, whatever the order and the parts, up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from narrows.errors import unknown, wrong, wrong_type
from narrows.prototypes.distances import DISTANCES, cosine_distances, squared_distances

_BLOCK = 16_384  # rows summed in single precision before they join a double-precision total
_ROWS = 65_536  # rows at a time in predict: bounds its memory


class PrototypeMemory(nn.Module):
    """One mean and one count per class, in double precision, ordered by label.

    The state is `labels (k,)`, `counts (k,)` and `means (k, dim)`, all buffers: the class of
    every row is written beside it, so two memories that saw different classes merge correctly.

    Args:
        dim: length of an embedding.
        distance: `sqeuclidean` or `cosine`, for `distances` and `predict`.

    Example:
        >>> memory = PrototypeMemory(2).update(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), [7, 7])
        >>> memory = memory.merge(PrototypeMemory(2).update(torch.tensor([[9.0, 9.0]]), [3]))
        >>> memory.labels, memory.counts, memory.predict(torch.tensor([[1.0, 1.0]]))
        (tensor([3, 7]), tensor([1, 2]), tensor([7]))
    """

    labels: Tensor
    counts: Tensor
    means: Tensor

    def __init__(self, dim: int, distance: str = "sqeuclidean") -> None:
        super().__init__()
        if dim < 1:
            raise wrong("dim", dim, "at least 1")
        if distance not in DISTANCES:
            raise wrong("distance", repr(distance), "one of " + ", ".join(map(repr, DISTANCES)))
        self.dim, self.distance = dim, distance
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("means", torch.zeros(0, dim, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.labels)

    @torch.no_grad()
    def update(self, embeddings: Any, labels: Any) -> Self:
        """Learn `(n, dim)` embeddings of classes `(n,)`, in any order and any number of calls.

        Memory beside the arguments: a number per row, and sums of at most half their size.

        Args:
            embeddings: floating point; half precision is averaged in single precision.
            labels: integers; new ones open a class.

        Raises:
            InvalidInput: no rows, a wrong dim, NaN or infinity; the memory stays as it was.
            InvalidType: labels that are not integers.
        """
        z, y = self._embeddings(embeddings), _labels(labels)
        if len(z) == 0 or y.shape != z.shape[:1]:
            found = f"{tuple(y.shape)} labels for {len(z)} embeddings"
            raise wrong("labels", found, "one label per embedding, at least one")
        seen, index, counts = _rows_of(y.to(z.device))
        sums = _class_sums(z, index, len(seen))
        return self._join(seen, sums / counts.unsqueeze(1), counts)

    @torch.no_grad()
    def merge(self, other: PrototypeMemory) -> Self:
        """Learn all that another memory learnt; the other is left as it is."""
        self._check_like(other)
        return self._join(other.labels, other.means, other.counts)

    @torch.no_grad()
    def remove(self, other: PrototypeMemory) -> Self:
        """Forget what another memory learnt; a class left without examples is dropped.

        Rounding grows with N / (N - N_b), so a class that is forgotten almost wholly keeps
        fewer digits.

        Raises:
            UnknownName: a class this memory does not hold.
            InvalidInput: more examples of a class than it holds.
        """
        self._check_like(other)
        held = set(self.labels.tolist())
        for label in other.labels.tolist():
            if label not in held:
                raise unknown("class", label, map(str, self.labels.tolist()))
        rows = torch.searchsorted(self.labels, other.labels.to(self.labels.device))
        counts = self.counts.clone()
        counts[rows] -= other.counts.to(counts.device)
        if (counts < 0).any():
            row = int((counts < 0).nonzero()[0])
            label, more = int(self.labels[row]), int(self.counts[row] - counts[row])
            raise wrong("other", f"{more} examples of class {label}", f"<= {self.counts[row]}")
        means = self.means.clone()
        share = other.counts.to(means) / counts[rows].clamp(min=1)
        means[rows] += share.unsqueeze(1) * (means[rows] - other.means.to(means))
        kept = counts > 0
        self.labels, self.counts, self.means = self.labels[kept], counts[kept], means[kept]
        return self

    def distances(self, embeddings: Any) -> Tensor:
        """`(n, dim)` embeddings to `(n, classes)` distances, columns in the order of `labels`."""
        z = self._embeddings(embeddings).to(self.means)
        if not len(self):
            raise wrong("memory", "no class", "at least one: call update or merge first")
        measure = squared_distances if self.distance == "sqeuclidean" else cosine_distances
        return measure(z, self.means)

    @torch.no_grad()
    def predict(self, embeddings: Any) -> Tensor:
        """The label of the nearest mean, `(n,)`; of equally near ones the smallest label."""
        z = self._embeddings(embeddings)
        if not z.isfinite().all():
            raise wrong("embeddings", "NaN or infinity", "finite numbers")
        return torch.cat([self.labels[self.distances(p).argmin(1)] for p in z.split(_ROWS)])

    def prototype(self, label: int) -> Tensor:
        """The mean `(dim,)` of one class."""
        rows = (self.labels == label).nonzero().flatten()
        if not len(rows):
            raise unknown("class", label, map(str, self.labels.tolist()))
        return self.means[rows[0]]

    def state_bytes(self, dtype: torch.dtype | None = None) -> int:
        """How many bytes labels, counts and means take: what a client would send.

        Args:
            dtype: of the means on the wire; None is the precision they are kept in.
        """
        each = (self.means.dtype if dtype is None else dtype).itemsize
        return self.means.numel() * each + self.counts.nbytes + self.labels.nbytes

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"dim={self.dim}, distance={self.distance!r}, classes={len(self)}"

    def _join(self, labels: Tensor, means: Tensor, counts: Tensor) -> Self:
        means, counts = means.to(self.means), counts.to(self.counts.device)
        every = torch.cat([self.labels, labels.to(self.labels.device)]).unique()
        total = torch.zeros_like(every)
        joined = means.new_zeros(len(every), self.dim)
        for part, centre, number in (
            (self.labels, self.means, self.counts),
            (labels.to(self.labels.device), means, counts),
        ):
            rows = torch.searchsorted(every, part)
            total[rows] += number
            # A ratio of integers would be single precision.
            share = number.to(centre) / total[rows]
            joined[rows] += share.unsqueeze(1) * (centre - joined[rows])
        self.labels, self.counts, self.means = every, total, joined
        return self

    def _embeddings(self, embeddings: Any) -> Tensor:
        z = torch.as_tensor(embeddings)
        if not z.is_floating_point():
            raise wrong_type("embeddings", f"dtype {z.dtype}", "floating point")
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise wrong("embeddings", f"shape {tuple(z.shape)}", f"shape (n, {self.dim})")
        return z.detach()

    def _check_like(self, other: PrototypeMemory) -> None:
        if not isinstance(other, PrototypeMemory):
            raise wrong_type("other", type(other).__name__, "a PrototypeMemory")
        if other.dim != self.dim:
            raise wrong("other.dim", other.dim, f"{self.dim}")
        _check_state(other.labels, other.counts, other.means)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # A memory grows with its classes, so the buffers take the size of what is loaded.
        names = [prefix + name for name in ("labels", "counts", "means")]
        if all(name in state_dict for name in names):
            labels, counts, means = (state_dict[name] for name in names)
            if means.shape[1:] != (self.dim,):
                raise wrong("means", f"shape {tuple(means.shape)}", f"shape (k, {self.dim})")
            _check_state(labels, counts, means)
            self.labels = self.labels.new_empty(labels.shape)
            self.counts = self.counts.new_empty(counts.shape)
            self.means = self.means.new_empty(means.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _check_state(labels: Tensor, counts: Tensor, means: Tensor) -> None:
    if not len(labels) == len(counts) == len(means):
        sizes = f"{len(labels)} labels, {len(counts)} counts, {len(means)} means"
        raise wrong("state", sizes, "as many of each")
    if (labels.diff() <= 0).any():
        raise wrong("labels", "labels out of order or twice", "ascending labels")
    if (counts < 1).any():
        empty = int(labels[counts < 1][0])
        raise wrong("counts", f"an empty class: {empty}", "at least one example per class")
    if not means.isfinite().all():
        raise wrong("means", "NaN or infinity", "finite numbers")


def _labels(labels: Any) -> Tensor:
    y = torch.as_tensor(labels)
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise wrong_type("labels", f"dtype {y.dtype}", "integers")
    return y.long()


def _rows_of(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The labels that occur, ascending; for each entry its place among them; their counts."""
    low, high = (int(edge) for edge in y.aminmax())
    if high - low > 4 * len(y) + 1024:  # a table of all labels in between would be too long
        return y.unique(return_inverse=True, return_counts=True)
    index = y - low
    counts = index.bincount()
    present = counts > 0
    if not present.all():
        index = (present.cumsum(0) - 1)[index]
    return present.nonzero().flatten() + low, index, counts[present]


def _class_sums(z: Tensor, index: Tensor, classes: int) -> Tensor:
    """`(classes, dim)` sums in double precision, for the price of about one `index_add_`.

    Rows are summed in their own precision, each block of rows into a table of its own, and the
    tables in double precision: blocks are so short that rounding stays near that of one number.
    """
    rows = max(_BLOCK, 2 * classes)
    blocks = -(-len(z) // rows)
    # On a CPU a short index halves the time of `index_add_`.
    short = torch.int32 if blocks * classes < 2**31 else torch.int64
    first = torch.arange(blocks, device=z.device, dtype=short) * classes
    place = index.to(short) + first.repeat_interleave(rows)[: len(z)]
    wide = torch.promote_types(z.dtype, torch.float32)
    tables = torch.zeros(blocks * classes, z.shape[1], dtype=wide, device=z.device)
    tables.index_add_(0, place, z.to(wide))
    sums = tables.view(blocks, classes, -1).sum(0, dtype=torch.float64)
    # One bad row spoils its class's sum, so the sums tell about all rows.
    if not sums.isfinite().all():
        if not z.isfinite().all():
            raise wrong("embeddings", "NaN or infinity", "finite numbers")
        if wide == torch.float64:
            raise wrong("embeddings", "numbers whose sum overflows", "smaller numbers")
        return _class_sums(z.double(), index, classes)
    return sums
