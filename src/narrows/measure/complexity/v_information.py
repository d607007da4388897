"""What a linear probe can read of a variable: V-information of linear-Gaussian predictors.

With predictors N(Mx, s2 I), and N(mu, s2 I) for those that do not see x (Xu et al. 2020; Fel et
al. 2024, arXiv 2407.06076):

    I_V(x -> z) = [inf_mu E (z - mu)^2 - inf_M E (z - Mx)^2] / (2 s2) = Var(z) R² / (2 s2)

For s2 = 1/2 and standardised z this is R² of the best linear probe, in [0, 1]. It is measured on
rows the probe has not seen, and not below 0: predictors that ignore x are in the family. Unlike
mutual information it can grow by processing: a layer that computes XOR makes it readable.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from narrows.errors import wrong
from narrows.measure.complexity.inputs import Targets, layer_batches, targets, varying
from narrows.measure.complexity.parts import split_parts
from narrows.measure.complexity.probing import Batches, Probed, probe_layers
from narrows.measure.complexity.ridge import ALPHAS, check_alphas

Ridge = str | float | Sequence[float]


@dataclasses.dataclass(frozen=True, repr=False)
class VInformation:
    """Linear V-information of each feature.

    Attributes:
        value: `(k,)` in nats under the Gaussian predictors; R² by default.
        stderr: `(k,)` over which rows were held out.
        r2: `(k,)` of held-out rows, below 0 where the probe is worse than the mean.
        names: of the features, in order.
        dropped: name of a feature without a value to why.
        alpha: `(k,)` ridge penalties chosen.
        settings: what was used.
        warnings: what a reader must know.
    """

    value: Tensor
    stderr: Tensor
    r2: Tensor
    names: tuple[str, ...]
    dropped: Mapping[str, str]
    alpha: Tensor
    settings: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        lists = {k: v.tolist() for k, v in found.items() if isinstance(v, Tensor)}
        plain = {"names": list(self.names), "warnings": list(self.warnings)}
        return found | lists | plain | {k: dict(found[k]) for k in ("dropped", "settings")}

    def __repr__(self) -> str:
        numbers = ", ".join(
            f"{name}: {value:.3f} ± {error:.3f}"
            for name, value, error in zip(
                self.names[:6], self.value.tolist(), self.stderr.tolist(), strict=False
            )
        )
        more = f", and {len(self.names) - 6} more" if len(self.names) > 6 else ""
        gone = "".join(f"\n  note: {name} dropped: {why}" for name, why in self.dropped.items())
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return f"I_V {numbers}{more}{gone}{notes}"


def linear_v_information(
    x: Any,
    z: Any,
    *,
    names: Sequence[str] | None = None,
    ridge: Ridge = "cv",
    holdout: float = 0.3,
    folds: int = 5,
    variance: float = 0.5,
    standardize: bool = True,
    seed: int = 0,
) -> VInformation:
    """How much of each feature a linear probe reads from x, on held-out rows.

    Memory: `8 (folds + 1) (d^2 + d k)` bytes beside x and z.

    Args:
        x: `(n, d)` tensor or array, a memory map too.
        z: `(n, k)` features, or `(n,)` one.
        names: of the features; `0`, `1`, ... by default.
        ridge: `cv` to choose each feature's penalty from 10^-3 to 10^6 over folds; or penalties
            to choose from; or one penalty, 0 for least squares. Columns of x are standardised.
        holdout: share of rows on which the probe is held to account.
        folds: parts of the other rows, for the choice of the penalty.
        variance: s2 of the predictors.
        standardize: measure z in its standard deviations.
        seed: of the split, which gives each part its share of each feature's active rows.

    Raises:
        InvalidType: no numbers.
        InvalidInput: other shapes, unequal lengths, too few rows, NaN or infinite values, no
            feature that varies, settings outside their range.

    Example:
        >>> x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
        >>> linear_v_information(x, x[:, :1] - x[:, 1:2])
        I_V 0: 1.000 ± 0.000
    """
    if not (math.isfinite(variance) and variance > 0):
        raise wrong("variance", variance, "a positive number")
    found, probed = probe_features(
        layer_batches({"x": x}), z, names, ridge=ridge, holdout=holdout, folds=folds, seed=seed
    )
    unit = torch.ones_like(probed.variance) if standardize else probed.variance
    unit = unit / (2 * variance)
    r2 = probed.r2[0]
    return VInformation(
        value=r2.clamp(min=0) * unit,
        stderr=probed.stderr[0] * unit,
        r2=r2,
        names=found.names,
        dropped=found.dropped,
        alpha=probed.alpha[0],
        settings=settings_of(probed, ridge, holdout, folds, seed)
        | {"variance": variance, "standardize": standardize},
        warnings=notes_of(probed),
    )


def probe_features(
    batches: Batches,
    Z: Any,
    names: Sequence[str] | None,
    *,
    ridge: Ridge,
    holdout: float,
    folds: int,
    seed: int,
) -> tuple[Targets, Probed]:
    """The features that can be probed, and their probes from each layer."""
    alphas = _alphas(ridge)
    parts = folds if len(alphas) > 1 else 1
    if len(alphas) > 1 and folds < 2:
        raise wrong("folds", folds, "2 or more, to choose a penalty")
    found = targets(Z, names, least=2 * (parts + 1))
    split = split_parts(found.z, holdout, parts, seed)
    found = varying(found, split)
    return found, probe_layers(batches, found.z, split, alphas)


def settings_of(
    probed: Probed, ridge: Ridge, holdout: float, folds: int, seed: int
) -> dict[str, Any]:
    """What probes were made with, as JSON values."""
    kind = ridge if isinstance(ridge, (str, float, int)) else list(ridge)
    rows = {"rows trained": probed.trained, "rows held out": probed.held}
    return {"ridge": kind, "holdout": holdout, "folds": folds, "seed": seed, **rows,
            "dims": dict(zip(probed.layers, probed.dims, strict=True))}  # fmt: skip


def notes_of(probed: Probed) -> tuple[str, ...]:
    """What to be wary of."""
    wide = [n for n, d in zip(probed.layers, probed.dims, strict=True) if probed.trained < 5 * d]
    if not wide:
        return ()
    return (f"fewer than 5 training rows for each column of {', '.join(wide)}: I_V is too low",)


def _alphas(ridge: Ridge) -> tuple[float, ...]:
    if isinstance(ridge, str):
        if ridge != "cv":
            raise wrong("ridge", repr(ridge), "'cv', penalties or one penalty")
        return ALPHAS
    return check_alphas([ridge] if isinstance(ridge, (int, float)) else ridge)
