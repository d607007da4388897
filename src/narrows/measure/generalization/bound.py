"""What the bound of Kawaguchi et al. (ICML 2023) is made of, and a number that is not the bound.

With probability 1 - delta over a sample of n, and for an encoder phi_l learned from it,

    gap <= G3 sqrt(((I(X; Z_l | Y) + I(phi_l; S)) ln 2 + G2) / n) + G1 / sqrt(n),    bits

where G1, G2, G3 hold the number of classes, the largest loss, delta and how far log p(z) changes
when one coordinate is drawn again. They are not computed here, so that no number of this module
bounds anything. What can be computed is the part that differs between nets.
"""

from __future__ import annotations

import math

from narrows.errors import wrong
from narrows.measure.mi.result import NO_UNIT, MIResult

_NOTE = "not a bound: the theorem's constants G1, G2, G3 are left out; compare nets, certify none"


def gap_surrogate(xz_given_y: MIResult, n: int, theta: MIResult | None = None) -> MIResult:
    """sqrt((I(X; Z | Y) + I(S; theta)) / n) in nats, the part of the bound that differs.

    Args:
        xz_given_y: of a layer.
        n: training rows.
        theta: of the weights up to that layer; without it the encoder counts as fixed
            independently of the sample, for which the theorem leaves that term out.

    Returns:
        A result of kind surrogate, without a unit, whose first warning says what is left out.

    Raises:
        InvalidInput: fewer than 1 row.

    Example:
        >>> gap_surrogate(MIResult(4.0, 0.1, "lower", "sandwich", 50), n=100)
        0.200 (bound's varying part, surrogate, 50 samples)
          note: not a bound: the theorem's constants G1, G2, G3 are left out; ...
          note: I(S; theta) is left out: right only for an encoder not trained on these rows
    """
    if n < 1:
        raise wrong("n", n, "at least 1 row")
    parts = [xz_given_y.to("nats"), *([] if theta is None else [theta.to("nats")])]
    notes = [_NOTE]
    if theta is None:
        notes.append("I(S; theta) is left out: right only for an encoder not trained on these rows")
    notes += [note for part in parts for note in part.warnings]
    total = sum(max(part.value, 0.0) for part in parts)
    return MIResult(
        math.sqrt(total / n),
        math.nan,
        "surrogate",
        "bound's varying part",
        xz_given_y.samples,
        NO_UNIT,
        warnings=tuple(notes),
        settings={
            "n": n,
            "I(X; Z | Y), nats": parts[0].value,
            "I(S; theta), nats": None if theta is None else parts[1].value,
        },
    )
