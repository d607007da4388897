"""The report of an information capacity, and when two may stand side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import wrong
from narrows.measure.language.scores import TextScore

_GROUPS = 64
_NORMAL = 1.959963984540054  # 97.5 % of a standard normal lie below
# A group's sums: documents, tokens, bits of text, bits of loss, C of each document, its gain and
# that squared.
_FIELDS = 7


class Sums:
    """Sums over documents, in groups by turns: flat memory, and a spread all the same."""

    def __init__(self) -> None:
        self.documents = 0
        self._table = np.zeros((_GROUPS, _FIELDS))

    def add(self, score: TextScore) -> None:
        """Count a document in."""
        text, loss = 8.0 * score.bytes, -score.log_likelihood / math.log(2)
        gain = (text - loss) / score.tokens
        row = self._table[self.documents % _GROUPS]
        row += (1, score.tokens, text, loss, text / score.tokens, gain, gain**2)
        self.documents += 1

    def groups(self) -> tuple[tuple[float, ...], ...]:
        """The groups that hold something."""
        return tuple(tuple(row) for row in self._table.tolist() if row[0])


@dataclasses.dataclass(frozen=True)
class CapacityReport:
    """An information capacity, and what it is made of.

    Attributes:
        flops_per_token: N.
        groups: sums over documents, by turns in at most 64 groups; for spreads and comparisons.
        marked: whether a mark stood before each text.
        settings: max_tokens, bias, weighting, and the digest of the texts.
    """

    flops_per_token: float
    groups: tuple[tuple[float, ...], ...]
    marked: bool
    settings: Mapping[str, Any]

    @property
    def documents(self) -> int:
        """How many texts were read."""
        return round(self._sums[0])

    @property
    def tokens(self) -> int:
        """How many tokens were scored."""
        return round(self._sums[1])

    @property
    def text_bits_per_token(self) -> float:
        """C, the bits of text behind a token."""
        if self.settings["weighting"] == "reference":
            return round(float(self._sums[4] / self._sums[0]), 2)
        return float(self._sums[2] / self._sums[1])

    @property
    def nll_bits_per_token(self) -> float:
        """NLL, the bits of loss of a token."""
        return float(self._sums[3] / self._sums[1])

    @property
    def gain(self) -> float:
        """C - NLL, the bits a token saves."""
        return self.text_bits_per_token - self.nll_bits_per_token

    @property
    def bits_per_byte(self) -> float:
        """Bits of loss for a byte of text: the other view, which no tokenizer can improve."""
        return float(8 * self._sums[3] / self._sums[2])

    @property
    def value(self) -> float:
        """IC = (C - NLL + b) / log2 N."""
        return (self.gain + self.settings["bias"]) / math.log2(self.flops_per_token)

    @property
    def stderr(self) -> float:
        """Of the value, over which texts were drawn; NaN of one text. Texts must not repeat."""
        return _error(self._influence())

    @property
    def interval(self) -> tuple[float, float]:
        """The value's 95 % interval."""
        return self.value - _NORMAL * self.stderr, self.value + _NORMAL * self.stderr

    @property
    def spread(self) -> float:
        """Standard deviation over documents of their own C - NLL, in bits a token."""
        n, mean = self._sums[0], self._sums[5] / self._sums[0]
        return float(math.sqrt(max(self._sums[6] / n - mean**2, 0.0)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before trusting the value."""
        notes = []
        if self.value < 0:
            notes.append(
                "the bias is larger than the gain: it was fitted to other models or texts; "
                "fit_capacity_bias fits it to a series of yours"
            )
        if self.documents < 30:
            notes.append(f"{self.documents} documents say little of others like them")
        if not self.marked:
            notes.append("no mark stands first: each text's first token is read and not scored")
        return tuple(notes)

    def compare(self, other: CapacityReport) -> tuple[float, float]:
        """This value less another's, and the standard error of that, text by text.

        Raises:
            InvalidInput: reports of other texts, lengths, biases or weightings.
        """
        same_footing((self, other))
        return self.value - other.value, _error(self._influence() - other._influence())

    def __repr__(self) -> str:
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return (
            f"{self.value:.4f} ± {self.stderr:.4f} information capacity "
            f"({self.text_bits_per_token:.3f} bits of text, {self.nll_bits_per_token:.3f} of loss "
            f"a token; {self.bits_per_byte:.4f} bits a byte; {self.flops_per_token:.4g} FLOPs a "
            f"token; bias {self.settings['bias']:g}, {self.documents:,} documents, "
            f"{self.tokens:,} tokens){notes}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is NaN."""
        names = ("value", "stderr", "text_bits_per_token", "nll_bits_per_token", "gain",
                 "bits_per_byte", "flops_per_token", "spread", "documents", "tokens")  # fmt: skip
        found: dict[str, Any] = {name: _json(getattr(self, name)) for name in names}
        return {
            **found,
            "interval": [_json(end) for end in self.interval],
            "marked": self.marked,
            "settings": dict(self.settings),
            "warnings": list(self.warnings),
        }

    @property
    def _sums(self) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.array(self.groups).sum(0)
        return total

    def _influence(self) -> NDArray[np.float64]:
        """By how much each group moves the value: first-order, for ratios of sums."""
        table, sums = np.array(self.groups).T, self._sums
        loss = (table[3] - sums[3] / sums[1] * table[1]) / sums[1]
        if self.settings["weighting"] == "reference":
            text = (table[4] - sums[4] / sums[0] * table[0]) / sums[0]
        else:
            text = (table[2] - sums[2] / sums[1] * table[1]) / sums[1]
        return np.asarray((text - loss) / math.log2(self.flops_per_token))


def same_footing(reports: Sequence[CapacityReport], but: Sequence[str] = ()) -> None:
    """Refuse reports that must not be compared.

    Args:
        reports: any number.
        but: settings that may differ.

    Raises:
        InvalidInput: another text, length, bias, weighting or number of documents.
    """
    for name in (n for n in reports[0].settings if n not in but):
        found = list(dict.fromkeys(report.settings[name] for report in reports))
        if len(found) > 1:
            told = " and ".join(str(value)[:12] for value in found[:2])
            raise wrong("reports", f"{name} {told}", f"the same {name}: else nothing compares")


def _error(influence: NDArray[np.float64]) -> float:
    count = len(influence)
    return math.nan if count < 2 else math.sqrt(count / (count - 1) * float((influence**2).sum()))


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
