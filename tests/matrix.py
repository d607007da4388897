"""One row a method: small, quick settings for the tests that every method takes."""

from __future__ import annotations

import dataclasses
from typing import Any

from narrows.registry import methods


@dataclasses.dataclass(frozen=True)
class Row:
    """How the shared tests try a method.

    Attributes:
        settings: constructor arguments that train in about a second.
        variants: further settings whose models must keep the contract too.
        sklearn: constructor arguments for scikit-learn's checks, which judge accuracy.
        expected: name of a failing check, ours or scikit-learn's, to the reason why it may fail.
    """

    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    variants: tuple[dict[str, Any], ...] = ()
    sklearn: dict[str, Any] = dataclasses.field(default_factory=dict)
    expected: dict[str, str] = dataclasses.field(default_factory=dict)


ROWS: dict[str, Row] = {
    "black-box": Row({"epochs": 2}, sklearn={"epochs": 20}),
    "random": Row({"epochs": 2}, sklearn={"epochs": 20}),
    "chance": Row(),
    "prototypes": Row(
        {"epochs": 1},
        sklearn={"epochs": 5},
        expected={
            "check_methods_subset_invariance": "squared distances in float32: a batch of another "
            "size sums them in another order, which moves probabilities by 7e-7, allowed is 1e-7"
        },
    ),
    "key-value": Row(
        {"heads": 4, "pairs": 10, "key_epochs": 1, "epochs": 2}, sklearn={"epochs": 20}
    ),
    "vib": Row({"units": 8, "epochs": 2}, sklearn={"units": 8, "epochs": 30}),
    "channel": Row({"units": 4, "epochs": 2}, sklearn={"units": 4, "epochs": 30}),
    "cbm": Row(
        {"epochs": 2},
        variants=(
            {"epochs": 2, "mode": "independent", "encoder": "identity"},
            {"epochs": 2, "mode": "independent", "kind": "hard"},
            {"epochs": 2, "mode": "sequential", "kind": "logit", "hidden": (8,)},
            {"epochs": 2, "mode": "joint", "kind": "logit", "extra_dims": 3},
            {"epochs": 2, "mode": "standard"},
            {"epochs": 2, "mode": "multitask"},
        ),
    ),
    "cem": Row(
        {"width": 4, "epochs": 2},
        variants=(
            {"width": 3, "epochs": 2, "randint": "batch:0.5", "shared_scorer": False},
            {"width": 3, "epochs": 2, "randint": 0.0, "hidden": (8,)},
        ),
    ),
    "ecbm": Row(
        {"dims": 8, "epochs": 2},
        variants=(
            {"dims": 8, "epochs": 2, "hard_global": True, "correction": (0.0, 0.0, 3.0)},
            {"dims": 8, "epochs": 2, "partition": "y", "correction": (0.0, 1.0, 3.0)},
        ),
    ),
    "tf-tti": Row(
        {"epochs": 2},
        variants=(
            {
                "base": {"name": "cbm", "params": {"mode": "sequential", "kind": "logit"}},
                "epochs": 2,
            },
            {
                "base": {"name": "cbm", "params": {"mode": "independent", "kind": "hard"}},
                "epochs": 2,
            },
        ),
    ),
    "pcbm": Row(
        {"epochs": 2, "penalty": 1e-3},
        variants=(
            {"epochs": 2, "penalty": 1e-3, "residual": True},
            {"encoder": "identity", "cav": "ridge", "penalty": 1e-2},
        ),
    ),
}


def instances() -> list[Any]:
    """Every method with its small settings, and every variant."""
    return [
        methods()[name](**settings)
        for name, row in ROWS.items()
        for settings in (row.settings, *row.variants)
    ]
