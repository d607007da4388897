"""The numbers of one trained method, as JSON values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from narrows import cost, measure
from narrows.data import Dataset, Examples
from narrows.method import Method

POLICIES = ("random", "uncertainty")


def measure_run(method: Method, data: Dataset) -> dict[str, Any]:
    """Measure a fitted method: what `metrics.json` holds.

    Returns:
        `accuracy` on val and test, `bits`, `parameters`; and for a concept model `concepts`
        (see `concept_numbers`), `leakage` and `interventions`. Numbers that do not exist are
        None.
    """
    model = method.model_
    numbers: dict[str, Any] = {
        "accuracy": {"val": method.score(data.val), "test": method.score(data.test)},
        "bits": measure.bits(model, data).to_dict(),
        "parameters": int(cost.parameters(model)),
    }
    if has_concepts(method, data.test):
        numbers |= {
            "concepts": concept_numbers(method, data.test),
            "leakage": measure.leakage(model, data).to_dict(),
            "interventions": [
                measure.intervention_curve(model, data.test, policy).to_dict()
                for policy in POLICIES
            ],
        }
    plain: dict[str, Any] = finite(numbers)
    return plain


def has_concepts(method: Method, examples: Examples) -> bool:
    """Whether a method's units are concepts that these rows annotate."""
    return method.info.needs_concepts and examples.c is not None and len(examples.concepts) > 0


def concept_numbers(method: Method, examples: Examples) -> dict[str, Any]:
    """Quality of each concept and the means, as JSON values; None where there is no number."""
    with warnings.catch_warnings():
        # A concept without both values has no AUC; the table shows that as a dash.
        warnings.simplefilter("ignore", UserWarning)
        quality = measure.concept_quality_of(method.model_, examples)
    means = {what: quality.mean(what) for what in ("accuracy", "auc", "brier", "ece")}
    columns = {what: getattr(quality, what).tolist() for what in (*means, "base_rate", "known")}
    each = [
        {"name": name, **{what: column[i] for what, column in columns.items()}}
        for i, name in enumerate(quality.names)
    ]
    numbers: dict[str, Any] = finite({**means, "exact_set": quality.exact_set, "each": each})
    return numbers


def finite(value: Any) -> Any:
    """JSON values with None in place of NaN and infinity.

    Example:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
