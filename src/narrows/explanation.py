"""Explanations: what each unit adds to each class."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from narrows.errors import require

_STEPS = 64  # midpoints of the path integral; its error shrinks with the square of their number


def contributions(head: nn.Module, z: Tensor, units: int) -> tuple[Tensor, Tensor, bool]:
    """Share each class's logit among the units.

    For an affine head `logit_l = bias_l + sum_j contribution_jl` holds exactly. For any other
    head the shares are integrated gradients from `z = 0` (Sundararajan, Taly, Yan, 2017), which
    sum to `logit_l - head(0)_l` up to the quadrature error.

    Args:
        head: from `(batch, units * width)` to `(batch, classes)`.
        z: the head's input.
        units: how many units `z` lays side by side.

    Returns:
        Shares `(batch, units, classes)`, the rest `(classes,)`, and whether they are exact.

    Example:
        >>> from narrows.heads import FixedHead
        >>> shares, rest, exact = contributions(FixedHead(2), torch.tensor([[1.0, 3.0]]), 2)
        >>> shares
        tensor([[[1., 0.],
                 [0., 3.]]])
    """
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    if isinstance(weight, Tensor) and isinstance(bias, Tensor):
        parts = z.unflatten(-1, (units, -1))
        shares = torch.einsum("bnw,lnw->bnl", parts, weight.unflatten(-1, (units, -1)))
        return shares, bias, True
    with torch.no_grad():
        rest = head(torch.zeros_like(z[:1]))[0]
    steps = (torch.arange(_STEPS, dtype=z.dtype, device=z.device) + 0.5) / _STEPS
    path = (steps[:, None, None] * z.detach()).flatten(0, 1)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: head(row)))(path)
    mean = jacobian.detach().unflatten(0, (_STEPS, len(z))).mean(0)
    return (mean * z[:, None]).unflatten(-1, (units, -1)).sum(-1).transpose(1, 2), rest, False


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Contributions of every unit to every class, for a batch.

    Attributes:
        names: `(units,)` what each column of `values` is called; per row where codes differ.
        values: `(batch, units)` on the scale people speak.
        contributions: `(batch, units, classes)`.
        rest: `(classes,)` what no unit accounts for (the bias).
        logits: `(batch, classes)`.
        classes: the labels.
        exact: whether contributions and rest sum to the logits exactly.
    """

    names: Sequence[Sequence[str]]
    values: Tensor
    contributions: Tensor
    rest: Tensor
    logits: Tensor
    classes: tuple[Any, ...]
    exact: bool

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: int = 0, top: int = 3) -> tuple[list[str], list[list[Any]]]:
        """Header and rows for one example: its top classes, its strongest units first."""
        order = self.logits[index].argsort(descending=True)[:top].tolist()
        shares = self.contributions[index][:, order]
        header = ["unit", "value", *(str(self.classes[i]) for i in order)]
        strongest = shares.abs().amax(-1).argsort(descending=True).tolist()
        rows: list[list[Any]] = [
            [self.names[index][j], float(self.values[index, j]), *shares[j].tolist()]
            for j in strongest
        ]
        rows.append(["(rest)", float("nan"), *self.rest[order].tolist()])
        rows.append(["= logit", float("nan"), *self.logits[index, order].tolist()])
        return header, rows

    def __str__(self) -> str:
        return "\n\n".join(self._text(i) for i in range(min(len(self), 3)))

    def _text(self, index: int, units: int = 8) -> str:
        header, rows = self.rows(index)
        hidden = len(rows) - 2 - units
        if hidden > 0:
            others = [f"({hidden} others)", float("nan")]
            sums = [sum(row[k] for row in rows[units:-2]) for k in range(2, len(header))]
            rows = [*rows[:units], [*others, *sums], *rows[-2:]]
        kind = "exact" if self.exact else "approximate"
        wide = max(len(str(row[0])) for row in rows)
        lines = [f"example {index}: says {header[2]} ({kind} contributions)"]
        lines.append(f"{'unit':<{wide}} {'value':>7} " + " ".join(f"{h:>8}" for h in header[2:]))
        for name, value, *shares in rows:
            shown = " " * 7 if value != value else f"{value:7.2f}"
            lines.append(f"{name:<{wide}} {shown} " + " ".join(f"{s:+8.2f}" for s in shares))
        return "\n".join(lines)

    def to_html(self, index: int = 0, units: int = 12) -> str:
        """One example as an HTML table; names are escaped."""
        header, rows = self.rows(index)
        shown = rows[:-2][:units] + rows[-2:]
        head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
        body = "".join(
            f"<tr><th scope=row>{html.escape(str(name))}</th>"
            f"<td>{'' if value != value else f'{value:.2f}'}</td>"
            + "".join(f"<td>{share:+.2f}</td>" for share in shares)
            + "</tr>"
            for name, value, *shares in shown
        )
        return (
            f"<table class=explanation><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    _repr_html_ = to_html

    def save(self, path: str | Path) -> None:
        """Write one HTML page with a table per example."""
        tables = "".join(self.to_html(i) for i in range(len(self)))
        page = f"<!doctype html><meta charset=utf-8><title>Explanation</title>{tables}"
        Path(path).write_text(page, encoding="utf-8")

    def to_png(self, path: str | Path, index: int = 0, units: int = 12) -> None:
        """Draw one example's contributions to its first class as bars."""
        figure = require("matplotlib.figure", "report").Figure(figsize=(6, 4), layout="constrained")
        header, rows = self.rows(index)
        shown = rows[:-2][:units][::-1]
        axes = figure.subplots()
        axes.barh([str(row[0]) for row in shown], [row[2] for row in shown])
        axes.set_xlabel(f"contribution to {header[2]}")
        figure.savefig(path, format="png")
