"""Readings of all rows of each split: every row goes through the encoder once."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.data import Dataset, Examples
from narrows.errors import unknown
from narrows.measure.rows import read_rows, targets
from narrows.model import NarrowModel
from narrows.reading import Reading


class Readings:
    """The cached readings of a data set; corrections and edits start from them.

    Memory: what a reading holds, for every row of the splits that were asked for.

    Args:
        model: that reads.
        data: whose rows are read.
    """

    def __init__(self, model: NarrowModel, data: Dataset) -> None:
        self.model, self.data = model, data
        self._read: dict[str, Reading] = {}
        self._truth: dict[str, NDArray[np.int64]] = {}
        self._lock = threading.Lock()

    def examples(self, split: str) -> Examples:
        """The rows of a split."""
        if split not in self.data.splits:
            raise unknown("split", split, self.data.splits)
        return self.data.splits[split]

    def of(self, split: str) -> Reading:
        """The readings of all rows of a split."""
        examples = self.examples(split)
        with self._lock:  # two requests at once must not read the same rows twice
            if split not in self._read:
                self._read[split] = read_rows(self.model, examples).to("cpu")
            return self._read[split]

    def row(self, split: str, row: int) -> Reading:
        """The reading of one row, as a batch of one."""
        return self.of(split)[torch.tensor([self.place(split, row)])]

    def place(self, split: str, row: int) -> int:
        """A row's number, checked."""
        count = len(self.examples(split))
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < count:
            raise unknown(f"row of {split}", row, (f"0 to {count - 1}",))
        return row

    def truth(self, split: str) -> NDArray[np.int64]:
        """`(n,)` the rows' classes as the model numbers them."""
        if split not in self._truth:
            self._truth[split] = targets(self.model, self.examples(split)).cpu().numpy()
        return self._truth[split]
