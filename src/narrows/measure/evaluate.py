"""All measures of a concept bottleneck at once: one call, one table, one JSON file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows import store
from narrows.data.record import Dataset, Examples
from narrows.errors import InvalidInput, unknown
from narrows.measure.alignment import Alignment, alignment
from narrows.measure.evaluate_table import Row, rows_of, text
from narrows.measure.impurity import OracleImpurity, oracle_impurity, plain
from narrows.measure.impurity_niches import NicheImpurity, niche_impurity
from narrows.measure.intervention import InterventionCurve, intervention_curves
from narrows.measure.leakage import Leakage, leakage
from narrows.measure.leakage_information import InformationLeakage, information_leakage
from narrows.measure.leakage_residual import Residual, residual
from narrows.measure.quality import ConceptQuality, ConstantConcept, concept_quality
from narrows.measure.representations import represent
from narrows.measure.rows import decide_rows, matched, read_rows, targets
from narrows.measure.sparsity import Sparsity, sparsity_of
from narrows.model import NarrowModel

WHICH = ("accuracy", "auc", "cas", "ois", "nis", "leakage", "intervention", "anec")
POLICIES = ("random", "uncertainty", "coop")
_OF_ANY = ("anec",)  # what a model without named concepts has too


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. A part that was not asked for, or has no meaning, is None.

    Attributes:
        task: share of right labels on the test rows.
        which: the measures taken.
        quality: of the concept scores.
        cas: concept alignment, with that of noise.
        ois: oracle impurity.
        nis: niche impurity.
        leakage: of the scores to the label, by trained heads.
        information: the same in bits and shares of entropies, concept by concept.
        residual: accuracy that goes around the concepts.
        curves: accuracy while concepts are corrected, by policy.
        anec: accuracy at numbers of effective concepts, with that of random ones.
        skipped: measures that have no meaning for this model, and why.
        settings: what the numbers depend on beside model and data.
    """

    task: float
    which: tuple[str, ...]
    quality: ConceptQuality | None
    cas: Alignment | None
    ois: OracleImpurity | None
    nis: NicheImpurity | None
    leakage: Leakage | None
    information: InformationLeakage | None
    residual: Residual | None
    curves: Mapping[str, InterventionCurve]
    anec: Sparsity | None
    skipped: Mapping[str, str]
    settings: Mapping[str, Any]

    def curve(self, policy: str) -> InterventionCurve:
        """The intervention curve of one policy.

        Raises:
            UnknownName: a policy that was not asked for.
        """
        if policy not in self.curves:
            raise unknown("policy", policy, self.curves)
        return self.curves[policy]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The table's rows: what, how much, its standard error, and what to hold beside it."""
        return rows_of(self)

    def table(self) -> str:
        """All numbers as text, with notes."""
        return text(self)

    def __str__(self) -> str:
        return self.table()

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None where a number is not defined."""
        names = ("quality", "cas", "ois", "nis", "leakage", "information", "residual", "anec")
        parts = {name: getattr(self, name) for name in names}
        found: dict[str, Any] = plain(
            {
                "task": self.task,
                "which": list(self.which),
                **{n: None if part is None else part.to_dict() for n, part in parts.items()},
                "curves": {name: curve.to_dict() for name, curve in self.curves.items()},
                "skipped": dict(self.skipped),
                "settings": dict(self.settings),
            }
        )
        return found

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` as JSON.

        Raises:
            WriteFailed: the file could not be written.
        """
        store.write_json(path, self.to_dict())


def evaluate(
    model: NarrowModel,
    data: Dataset,
    which: Iterable[str] = WHICH,
    policies: Iterable[str] = POLICIES,
    seeds: int = 5,
    *,
    seed: int = 0,
    probe: str | Any = "mlp",
) -> Evaluation:
    """Measure a concept bottleneck on the test rows.

    A model without a unit that has a concept's name gets its accuracy and `anec`; the rest is
    listed as skipped. Where the head reads a vector of each concept, that is what alignment and
    impurity judge.

    Memory: that of the measures; alignment takes at most 2,000 rows.

    Args:
        model: any narrow model.
        data: heads are fitted on its training rows; policies learn from its validation rows.
        which: any of `accuracy`, `auc`, `cas`, `ois`, `nis`, `leakage`, `intervention`, `anec`.
        policies: for `intervention`; see `policies()`.
        seeds: orders of the random policy, and splits of rows for `ois` and `nis`.
        seed: of everything else that is drawn.
        probe: of `ois` and `nis`: `mlp`, `logistic` or a classifier of scikit-learn.

    Raises:
        UnknownName: no such measure, policy or probe.
        InvalidInput: scores or representations that are NaN or infinite, by the concept's name;
            rows without a label.

    Example:
        >>> import torch
        >>> from narrows.data.record import Concepts
        >>> from narrows.concepts import CBM
        >>> x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).repeat(5, 1)
        >>> rows = Examples(x, x.sum(1).long(), x, (0, 1, 2), Concepts(("a", "b")))
        >>> data = Dataset("sums", rows, rows, rows)
        >>> model = CBM("independent", encoder="identity").fit(data).model_
        >>> found = evaluate(model, data, which=["auc", "intervention"], policies=["random"])
        >>> found.quality.mean("auc"), found.curve("random").at(2)
        (1.0, 1.0)
    """
    chosen, policies = tuple(which), tuple(policies)
    for name in chosen:
        if name not in WHICH:
            raise unknown("which", name, WHICH)
    skipped = _skipped(model, data.test, chosen)
    taken = tuple(name for name in WHICH if name in chosen and name not in skipped)
    parts = (
        {}
        if not set(taken) - set(_OF_ANY)
        else _of_concepts(model, data, taken, seeds, seed, probe)
    )
    reading = read_rows(model, data.test)
    right = decide_rows(model, reading) == targets(model, data.test)
    curves: Mapping[str, InterventionCurve] = {}
    if "intervention" in taken:
        curves = intervention_curves(model, data.test, policies, seeds, validation=data.val)
    return Evaluation(
        task=float(right.double().mean()),
        which=taken,
        **{name: parts.get(name) for name in _PARTS},
        curves=curves,
        anec=sparsity_of(model, data, seed=seed) if "anec" in taken else None,
        skipped=skipped,
        settings={
            "seeds": seeds,
            "seed": seed,
            "probe": probe if isinstance(probe, str) else type(probe).__name__,
            "policies": list(policies),
            "data": data.name,
            "train": len(data.train),
            "test": len(data.test),
        },
    )


_PARTS = ("quality", "cas", "ois", "nis", "leakage", "information", "residual")


def _skipped(model: NarrowModel, examples: Examples, chosen: tuple[str, ...]) -> dict[str, str]:
    """Measures without meaning for a model that shares no name with the concepts."""
    try:
        matched(model.bottleneck.columns, examples)
    except InvalidInput as error:
        return {name: str(error) for name in chosen if name not in _OF_ANY}
    return {}


def _of_concepts(
    model: NarrowModel,
    data: Dataset,
    taken: tuple[str, ...],
    seeds: int,
    seed: int,
    probe: str | Any,
) -> dict[str, Any]:
    """The parts that judge named concepts; the rows are read once for those that take arrays."""
    rows = represent(model, data.test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantConcept)  # the table has a note of it
        quality = concept_quality(rows.scores, rows.truth, rows.names)
    parts: dict[str, Any] = {"quality": quality}
    if "cas" in taken:
        parts["cas"] = alignment(rows.z, rows.truth, rows.names, y=rows.y, seed=seed)
    shared: dict[str, Any] = {"probe": probe, "repeats": seeds, "seed": seed}
    if "ois" in taken:
        parts["ois"] = oracle_impurity(rows.z, rows.truth, rows.names, **shared)
    if "nis" in taken:
        parts["nis"] = niche_impurity(rows.z, rows.truth, rows.names, **shared)
    if "leakage" in taken:
        parts["residual"] = residual(model, data)
        if not quality.unbounded:
            parts["leakage"] = leakage(model, data)
            parts["information"] = information_leakage(rows.scores, rows.truth, rows.y, rows.names)
    return parts
