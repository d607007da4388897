"""Words of the reports: names on one line, numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence


def one_line(text: object, most: int = 40) -> str:
    r"""A text on one line, cut where it is long.

    Example:
        >>> one_line("wing\nblack"), one_line("x" * 50, 10)
        ('wing black', 'xxxxxxxxx…')
    """
    flat = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def percent(value: float | None, digits: int = 1) -> str:
    r"""A share as people write it, its sign never on a line of its own.

    Example:
        >>> percent(0.9876), percent(None)
        ('98.8\xa0%', '–')
    """
    return "–" if unknown(value) else f"{100 * (value or 0):.{digits}f}\N{NO-BREAK SPACE}%"


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands apart.

    Example:
        >>> number(12345.0), number(0.5, 2), number(float("nan"))
        ('12,345', '0.50', '–')
    """
    return "–" if value is None or unknown(value) else f"{value:,.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign; what rounds to zero has none.

    Example:
        >>> signed(0.5), signed(-1.25), signed(-0.001)
        ('+0.50', '−1.25', '0.00')
    """
    shown = f"{value:+.{digits}f}"
    return shown[1:] if float(shown) == 0 else shown.replace("-", "−")


def unknown(value: float | None) -> bool:
    """Whether there is no number."""
    return value is None or math.isnan(value)


def joined(parts: Sequence[str], word: str = "and") -> str:
    """A list as people say it.

    Example:
        >>> joined(["a", "b", "c"])
        'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"
