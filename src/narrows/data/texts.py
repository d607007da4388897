"""A column of texts, which models see only after they were embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from narrows.errors import wrong


class TextColumn:
    """Texts of rows. They are no numbers: `narrows.embedding.embed` makes features of them.

    Example:
        >>> column = TextColumn(["a wing", "a beak"])
        >>> column.shape, column.take(slice(1, 2)).texts
        ((2,), ('a beak',))
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)

    @property
    def shape(self) -> tuple[int]:
        """`(rows,)`."""
        return (len(self.texts),)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: Tensor | slice) -> NoReturn:
        """Refuse: a text has no numbers.

        Raises:
            InvalidInput: always.
        """
        raise wrong("x", "texts", "features: embed the data first (narrows embed)")

    def take(self, rows: Tensor | slice) -> TextColumn:
        """Some rows."""
        which = torch.arange(len(self))[rows.cpu() if isinstance(rows, Tensor) else rows]
        return TextColumn([self.texts[i] for i in which.tolist()])

    def digests(self) -> list[str]:
        """SHA-256 of each text in UTF-8."""
        return [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in self.texts
        ]
