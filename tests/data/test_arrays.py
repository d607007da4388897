"""From arrays to data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from narrows.data import Concepts, load
from narrows.data.arrays import features_of
from narrows.errors import InvalidInput, InvalidType

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), np.arange(40) % 2
C = np.where(RNG.random((40, 2)) < 0.3, np.nan, RNG.random((40, 2)))


def rows_of(data: Any) -> np.ndarray:
    return np.concatenate([split.x.numpy() for split in data.splits.values()])


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "longdouble",
        ">f4",
        "int8",
        "int64",
        "uint8",
        "uint16",
        "bool",
    ],
)
def test_every_real_dtype_gives_the_float32_values(dtype: str) -> None:
    values = (10 * X).astype(dtype)
    assert np.array_equal(features_of(values).numpy(), values.astype(np.float32))


def test_bfloat16_views_read_only_and_negative_strides_are_accepted() -> None:
    fixed = X.copy()
    fixed.setflags(write=False)
    assert np.array_equal(features_of(fixed[::-1]).numpy(), X[::-1].astype(np.float32))
    assert np.array_equal(features_of(X.T[::2].T).numpy(), X[:, ::2].astype(np.float32))
    wide = torch.ones(40, 1).expand(40, 3)
    assert features_of(wide).is_contiguous()
    half = torch.tensor(X).to(torch.bfloat16)
    assert torch.equal(features_of(half), half.float())


def test_gradients_and_memory_of_the_caller_are_left_alone() -> None:
    x = torch.tensor(X, requires_grad=True)
    found = features_of(x)
    assert not found.requires_grad
    plain = torch.tensor(X, dtype=torch.float32)
    features_of(plain).zero_()
    assert plain.any()
    before = [a.tobytes() for a in (X, Y, C)]
    load((X, Y, C))
    assert [a.tobytes() for a in (X, Y, C)] == before


def test_numpy_torch_and_pandas_give_one_fingerprint() -> None:
    names = ["a", "b"]
    sources = [
        (X, Y, C),
        (torch.tensor(X), torch.tensor(Y), torch.tensor(C)),
        (pd.DataFrame(X), pd.Series(Y), pd.DataFrame(C, columns=names)),
        (X.tolist(), Y.tolist(), C.tolist()),
    ]
    assert len({load(source, concepts=names).fingerprint for source in sources}) == 1


def test_images_keep_their_shape() -> None:
    images = RNG.random((20, 3, 4, 5))
    data = load((images, Y[:20]))
    assert data.train.x.shape[1:] == (3, 4, 5)
    assert sorted(rows_of(data).sum((1, 2, 3))) == pytest.approx(sorted(images.sum((1, 2, 3))))


def test_concepts_are_named_by_the_schema_the_frame_or_their_number() -> None:
    assert load((X, Y, C)).concepts.names == ("concept 0", "concept 1")
    assert load((X, Y, pd.DataFrame(C, columns=["u", "v"]))).concepts.names == ("u", "v")
    grouped = Concepts(("u", "v"), ((0, 1),))
    assert load((X, Y, C), concepts=grouped).concepts == grouped
    assert load((X, Y, C), concepts="u | v").concepts == grouped


def test_splits_and_ids_may_be_given() -> None:
    split = ["train"] * 30 + ["val"] * 5 + ["test"] * 5
    data = load((X, Y, C), split=split, ids=[f"r{i}" for i in range(40)])
    assert np.array_equal(rows_of(data), X.astype(np.float32))
    assert data.test.ids == ("r35", "r36", "r37", "r38", "r39")
    known = np.concatenate([s.known.numpy() for s in data.splits.values()])
    assert np.array_equal(known, ~np.isnan(C))


@pytest.mark.parametrize(
    "labels", [list("ab") * 20, [-5, 7] * 20, [True, False] * 20, [0.5, 2.0] * 20]
)
def test_labels_keep_the_callers_type(labels: list[Any]) -> None:
    data = load((X, np.array(labels)))
    assert data.classes == tuple(sorted(set(labels)))
    assert {type(v) for v in data.classes} == {type(labels[0])}


def swapped(place: int, value: Any) -> tuple[Any, ...]:
    source: list[Any] = [X, Y, C]
    source[place] = value
    return tuple(source)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ((X,), InvalidInput, "1 arrays"),
        (swapped(0, X.T), InvalidInput, "y: found 40 rows, wanted 3"),
        (swapped(0, X[:, 0]), InvalidInput, r"X: found shape \(40,\)"),
        (swapped(0, X[:0]), InvalidInput, r"X: found shape \(0, 3\)"),
        (swapped(0, X[:, :0]), InvalidInput, r"X: found shape \(40, 0\)"),
        (swapped(0, X.astype(complex)), InvalidType, "complex"),
        (swapped(0, X.astype(object)), InvalidType, "object"),
        (swapped(0, X.astype(str)), InvalidType, "X: found dtype <U"),
        (swapped(0, np.where(X > 2, np.nan, X)), InvalidInput, "x: found nan in row"),
        (swapped(0, np.where(X > 2, np.inf, X)), InvalidInput, "x: found inf in row"),
        (swapped(0, X * 1e300), InvalidInput, "float32 can hold"),
        (swapped(0, torch.tensor(X).to_sparse()), InvalidType, "sparse"),
        (swapped(1, Y[:, None]), InvalidInput, r"y: found shape \(40, 1\)"),
        (swapped(1, np.eye(2)[Y]), InvalidInput, r"y: found shape \(40, 2\)"),
        (swapped(1, Y[:39]), InvalidInput, "y: found 39 rows, wanted 40"),
        (swapped(1, np.where(Y, np.nan, 0.0)), InvalidInput, "nothing in rows 2, 4"),
        (swapped(1, Y * 0), InvalidInput, "one class only"),
        (swapped(2, C[:39]), InvalidInput, "C: found 39 rows"),
        (swapped(2, C[:, 0]), InvalidInput, r"C: found shape \(40,\)"),
        (swapped(2, C[:, :, None]), InvalidInput, r"C: found shape \(40, 2, 1\)"),
        (swapped(2, C + 2), InvalidInput, "concept 'concept "),
        (swapped(2, C.astype(complex)), InvalidType, "C: found dtype complex"),
    ],
)
def test_bad_arrays_are_refused_by_name(
    source: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(source)


def test_scipy_matrices_are_refused_not_unpacked() -> None:
    with pytest.raises(InvalidType, match="sparse matrix"):
        features_of(sparse.csr_array(X))


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="1 names, wanted 2"):
        load((X, Y, C), concepts=["only"])
    with pytest.raises(InvalidInput, match="split: found 1 rows"):
        load((X, Y), split=["train"])
    with pytest.raises(InvalidInput, match="ids: found 2 rows"):
        load((X, Y), ids=["a", "b"])
