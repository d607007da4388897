"""`breast_cancer_nuclei`: medical measurements with a clinical concept set.

The data is scikit-learn's `load_breast_cancer` (569 fine-needle aspirates, 30 measurements of
cell nuclei; Street, Wolberg & Mangasarian 1993), which the package carries.
"""

from __future__ import annotations

import numpy as np
import torch

from narrows.data.assemble import assemble
from narrows.data.record import Concepts, Dataset
from narrows.data.registry import dataset
from narrows.data.split import split_rows


@dataset("breast_cancer_nuclei")
def breast_cancer_nuclei(seed: int = 0) -> Dataset:
    """Ten mean and ten error measurements; the ten worst ones, made binary, are the concepts.

    A concept `high worst radius` is true where the worst radius lies above its median in
    training rows. The features are raw: encoders standardise them.

    Args:
        seed: of the stratified 70/15/15 split.

    Raises:
        InvalidInput: a negative seed.

    Example:
        >>> breast_cancer_nuclei()
        Dataset('breast_cancer_nuclei', 399 + 85 + 85 rows, x (20,), 2 classes, 10 concepts)
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    labels = bunch.target_names[bunch.target].tolist()
    names = [str(name) for name in bunch.feature_names]
    rows = split_rows(labels, seed)
    worst = bunch.data[:, 20:]
    c = worst > np.median(worst[rows["train"]], axis=0)
    return assemble(
        "breast_cancer_nuclei",
        torch.from_numpy(bunch.data[:, :20].astype(np.float32)),
        labels,
        c,
        Concepts(tuple(f"high {name}" for name in names[20:])),
        rows,
        settings={
            "source": "breast_cancer_nuclei",
            "target": "label",
            "prefix": "concept:",
            "seed": seed,
            "split": "random",
            "features": names[:20],
            "columns": [{"name": name} for name in names[:20]],
        },
    )
