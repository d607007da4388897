"""How much a feature matters for what the model says.

With a linear head and A = Z D, the logit of class c is y_c = sum_i z_i (D_i . w_c) + b_c: a
feature's contribution is its code times its gradient, exactly. The importance is the mean size of
the contribution to the predicted class:

    Gamma(z_i) = mean over x of |z_i(x) (D_i . w_c(x))|
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.complexity.inputs import matrix
from narrows.measure.partition.checks import as_array


def feature_contributions(Z: Any, D: Any, head_weight: Any, predicted: Any) -> Tensor:
    """`(n, k)` what each feature adds to the logit of each row's class.

    Their sum over features is the logit less its bias, as far as Z D is what the head reads.

    Args:
        Z: `(n, k)` codes.
        D: `(k, d)` atoms.
        head_weight: `(classes, d)` of the linear head.
        predicted: `(n,)` class ids; those the model predicts, for importance.

    Raises:
        InvalidType: no numbers, ids that are no integers.
        InvalidInput: shapes that do not fit, ids outside the classes, NaN or infinite values.

    Example:
        >>> feature_contributions([[2.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 3.0]],
        ...                       [1]).tolist()
        [[2.0, 4.0]]
    """
    z, d, w = matrix("Z", Z), matrix("D", D), matrix("head_weight", head_weight)
    if d.shape[0] != z.shape[1]:
        raise wrong("D", f"{d.shape[0]} atoms", f"{z.shape[1]}, as Z has columns")
    if w.shape[1] != d.shape[1]:
        raise wrong("head_weight", f"{w.shape[1]} columns", f"{d.shape[1]}, as D has")
    return z * (w @ d.T)[_ids(predicted, len(z), len(w))]


def feature_importance(Z: Any, D: Any, head_weight: Any, predicted: Any) -> Tensor:
    """`(k,)` mean absolute contribution of each feature to the logit of the predicted class.

    Measure it on other rows than complexity where the two are to be compared.

    Args:
        Z: `(n, k)` codes.
        D: `(k, d)` atoms.
        head_weight: `(classes, d)` of the linear head.
        predicted: `(n,)` predicted class ids.

    Raises:
        As `feature_contributions`.

    Example:
        >>> feature_importance([[2.0], [4.0]], [[1.0]], [[-1.0]], [0, 0]).tolist()
        [3.0]
    """
    return feature_contributions(Z, D, head_weight, predicted).abs().mean(0)


def _ids(predicted: Any, rows: int, classes: int) -> Tensor:
    found = as_array(predicted)
    if found.dtype.kind not in "iu":
        raise wrong_type("predicted", f"dtype {found.dtype}", "integer class ids")
    if found.shape != (rows,):
        raise wrong("predicted", f"shape {found.shape}", f"one class for each of {rows} rows")
    if ((found < 0) | (found >= classes)).any():
        span = f"{int(found.min())} to {int(found.max())}"
        raise wrong("predicted", f"ids {span}", f"0 to {classes - 1}")
    return torch.from_numpy(found.astype(np.int64))
