"""One function that loads whatever people have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from narrows.data import registry
from narrows.data.arrays import from_arrays
from narrows.data.columns import is_table
from narrows.data.embedded import is_embedded, load_embedded
from narrows.data.record import Dataset
from narrows.data.table import from_table
from narrows.errors import wrong, wrong_type


def load(source: Any, **options: Any) -> Dataset:
    """Load a data set.

    Args:
        source: the name of a data set (`datasets()` lists them; a name wins over a file of the
            same name); a CSV or Parquet path; a folder with `table.csv` or `table.parquet`, or
            one that `narrows embed` wrote;
            `(X, y)` or `(X, y, C)` arrays; a pandas data frame, a Hugging Face data set or
            columns by name; or a `Dataset`, which passes through.
        **options: of the loader: see `from_table`, `from_arrays` or the named set.

    Raises:
        UnknownName: no such data set or option, with the nearest ones.
        InvalidType: another kind of source.
        InvalidInput, FileRefused: what the loader refuses.

    Example:
        >>> load("digit_pairs", sizes=(100, 20, 20), task="parity")
        Dataset('digit_pairs', 100 + 20 + 20 rows, x (1, 8, 16), 2 classes, 20 concepts)
    """
    if isinstance(source, Dataset):
        if options:
            raise wrong("options", f"{sorted(options)} for a ready data set", "no options")
        return source
    if isinstance(source, str) and _is_name(source):
        named = registry.find(source)
        registry.check_options(named, options)
        return named(**options)
    if not (isinstance(source, tuple | str | Path) or is_table(source)):
        wanted = "a name, a path, arrays (X, y[, C]), a data frame or a Dataset"
        raise wrong_type("source", type(source).__name__, wanted)
    loader: Callable[..., Dataset] = from_arrays if isinstance(source, tuple) else from_table
    if isinstance(source, str | Path) and is_embedded(source):
        loader = load_embedded
    registry.check_options(loader, options)
    return loader(source, **options)


def _is_name(source: str) -> bool:
    """Whether a text is meant as a name: it is one, or it does not look like a path."""
    path = Path(source)
    return source in registry.datasets() or not (
        path.suffix or len(path.parts) > 1 or path.exists()
    )
