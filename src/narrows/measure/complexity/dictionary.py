"""A dictionary of features: non-negative activations as sums of non-negative atoms.

A ≈ Z D with A `(n, d)` penultimate activations, atoms D `(k, d)` and sparse codes Z `(n, k)`, all
at least 0; a feature is a column of Z. By non-negative matrix factorisation (scikit-learn's), of
all rows at once or, as in the paper, of each class's rows by themselves with k / classes atoms.
The codes are then, for old and new rows alike, the non-negative least squares solution given D.

The factorisation is not unique and depends on the seed: see `dictionary_stability`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.errors import wrong, wrong_type
from narrows.measure.complexity.inputs import matrix
from narrows.measure.partition.checks import codes as label_codes


@dataclasses.dataclass(frozen=True, repr=False)
class FeatureDictionary:
    """Atoms and the codes of the rows they were learned on; unpacks as `Z, D`.

    Attributes:
        codes: `(n, k)` float64, at least 0.
        atoms: `(k, d)` float64, at least 0, each of length 1; 0 where an atom died.
        r2: share of the rows' sum of squares that Z D explains.
        classes: `(k,)` the label each atom was learned on, or empty.
        settings: what was used.
        warnings: what a reader must know.
    """

    codes: Tensor
    atoms: Tensor
    r2: float
    classes: tuple[Any, ...]
    settings: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def encode(self, A: Any) -> Tensor:
        """`(n, k)` codes of new activations `(n, d)`, by non-negative least squares."""
        return nonnegative_codes(A, self.atoms)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.codes, self.atoms))

    def __repr__(self) -> str:
        k, d = self.atoms.shape
        used = float((self.codes != 0).double().mean())
        notes = "".join(f"\n  note: {text}" for text in self.warnings)
        return (
            f"{k} atoms of {d} units, {100 * self.r2:.1f} % of the sum of squares explained, "
            f"{100 * used:.1f} % of the codes above 0{notes}"
        )


def feature_dictionary(
    A: Any,
    k: int,
    *,
    method: str = "nmf",
    labels: Any = None,
    max_iter: int = 400,
    seed: int = 0,
) -> FeatureDictionary:
    """Learn k atoms and the codes of the rows.

    Args:
        A: `(n, d)` activations, at least 0.
        k: atoms; at most as many as rows. More than d are possible.
        method: `nmf`, the only one.
        labels: `(n,)` one a row: each label's rows get k / labels atoms of their own.
        max_iter: of the factorisation; a warning says where it was not enough.
        seed: of its start.

    Raises:
        InvalidType: no numbers.
        InvalidInput: negative, NaN or infinite activations, all zero, too many atoms, atoms that
            labels do not divide, labels of another length.

    Example:
        >>> A = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
        >>> Z, D = feature_dictionary(A, 2)
        >>> torch.allclose(Z @ D, A.double(), atol=1e-4)
        True
    """
    a = _activations(A)
    if method != "nmf":
        raise wrong("method", repr(method), "'nmf'")
    if isinstance(k, bool) or not isinstance(k, int):
        raise wrong_type("k", type(k).__name__, "an integer")
    groups, classes = _groups(a, k, labels)
    parts, notes = [], []
    for i, rows in enumerate(groups):
        size = k // len(groups)
        if not 1 <= size <= len(rows):
            raise wrong("k", f"{size} atoms", f"1 to {len(rows)}, the rows they are learned on")
        atoms, ended = _factorise(a[rows], size, max_iter, seed)
        parts.append(atoms)
        if not ended:
            of = f" of {classes[i]!r}" if classes else ""
            notes.append(f"the factorisation{of} had not converged after {max_iter} iterations")
    found = np.concatenate(parts)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    atoms = torch.from_numpy(found / np.where(length > 0, length, 1.0))
    codes = nonnegative_codes(a, atoms)
    left = float((torch.from_numpy(a) - codes @ atoms).square().sum()) / float(np.square(a).sum())
    dead = int((codes == 0).all(0).sum())
    if dead:
        notes.append(f"{dead} atoms are used by no row")
    return FeatureDictionary(
        codes,
        atoms,
        1 - left,
        tuple(label for label in classes for _ in range(k // len(groups))),
        {"method": method, "k": k, "per label": bool(classes), "max_iter": max_iter, "seed": seed},
        tuple(notes),
    )


def nonnegative_codes(A: Any, atoms: Any) -> Tensor:
    """`(n, k)` the codes z >= 0 that minimise |a - z D|² for each row a of A.

    By the active-set method of Lawson and Hanson (scipy's), row by row: exact, and no more codes
    above 0 than there are units.

    Args:
        A: `(n, d)`.
        atoms: `(k, d)`.

    Raises:
        InvalidType: no numbers.
        InvalidInput: other shapes, NaN or infinite values.

    Example:
        >>> nonnegative_codes([[1.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
        [[1.0, 0.0]]
    """
    from scipy.optimize import nnls

    a, d = matrix("A", A).numpy(), matrix("atoms", atoms).numpy()
    if a.shape[1] != d.shape[1]:
        raise wrong("A", f"{a.shape[1]} columns", f"{d.shape[1]}, as the atoms have")
    columns = np.ascontiguousarray(d.T)
    found = np.stack([nnls(columns, row, maxiter=30 * len(d))[0] for row in a])
    return torch.from_numpy(found)


def dictionary_stability(first: Any, second: Any) -> Tensor:
    """`(k,)` cosine of each atom with its partner in another dictionary.

    Partners are those of the best one-to-one matching (Hungarian algorithm): of two seeds, two
    halves of the data, two checkpoints. Near 1 where an atom is found again.

    Args:
        first: `(k, d)` atoms.
        second: `(m, d)` atoms, m >= k.

    Raises:
        InvalidInput: other shapes, fewer atoms in the second, NaN or infinite values.

    Example:
        >>> dictionary_stability([[1.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [2.0, 0.0]]).tolist()
        [1.0, 1.0]
    """
    from scipy.optimize import linear_sum_assignment

    a, b = matrix("first", first), matrix("second", second)
    if a.shape[1] != b.shape[1] or len(b) < len(a):
        found = f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        raise wrong("second", found, "as many columns as the first, and as many rows or more")
    a, b = (v / v.norm(dim=1, keepdim=True).clamp(min=1e-300) for v in (a, b))
    cosine: Tensor = a @ b.T
    rows, columns = linear_sum_assignment(cosine.numpy(), maximize=True)
    return cosine[rows, columns]


def _activations(A: Any) -> Any:
    a = matrix("A", A).numpy()
    if (a < 0).any():
        row, column = np.argwhere(a < 0)[0]
        raise wrong("A", f"{a[row, column]} at row {row}, column {column}", "activations >= 0")
    if not a.any():
        raise wrong("A", "zeros only", "activations that are not all 0")
    return a


def _groups(a: Any, k: int, labels: Any) -> tuple[list[Any], tuple[Any, ...]]:
    if labels is None:
        return [np.arange(len(a))], ()
    place, known = label_codes("labels", labels, len(a))
    if k % len(known):
        raise wrong("k", k, f"a multiple of {len(known)}, the number of labels")
    return [np.flatnonzero(place == i) for i in range(len(known))], known


def _factorise(a: Any, k: int, max_iter: int, seed: int) -> tuple[Any, bool]:
    """Atoms `(k, d)`, and whether the factorisation converged."""
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    if not a.any():  # nothing to learn: dead atoms, told as such
        return np.zeros((k, a.shape[1])), True
    # The default start of scikit-learn cannot make more atoms than there are units.
    start = "nndsvda" if k <= min(a.shape) else "random"
    model = NMF(k, init=start, max_iter=max_iter, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(a)
    return model.components_, model.n_iter_ < max_iter
