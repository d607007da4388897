"""Measures: what passes through a narrow place, what it means, and what it leaks."""

from narrows.measure.alignment import Alignment, alignment, alignment_of
from narrows.measure.audit import Audit, audit
from narrows.measure.bits import BitsResult, bits
from narrows.measure.evaluate import Evaluation, evaluate
from narrows.measure.importance import (
    GlobalImportance,
    ImportanceReport,
    Location,
    TopShare,
    activation_map,
    class_means,
    enlarge,
    existence,
    global_importance,
    importance_of,
    local_importance,
    location,
)
from narrows.measure.impurity import OracleImpurity, oracle_impurity, oracle_impurity_of
from narrows.measure.impurity_niches import NicheImpurity, niche_impurity, niche_impurity_of
from narrows.measure.intervention import (
    InterventionCurve,
    intervention_curve,
    intervention_curves,
    policies,
    policy,
)
from narrows.measure.leakage import IrrelevantLeakage, Leakage, irrelevant_leakage, leakage
from narrows.measure.leakage_information import (
    InformationLeakage,
    information_leakage,
    information_leakage_of,
)
from narrows.measure.leakage_residual import Residual, residual
from narrows.measure.locality import MapScores, Swaps, concept_maps, map_scores, swap
from narrows.measure.quality import (
    ConceptQuality,
    ConstantConcept,
    concept_quality,
    concept_quality_of,
)
from narrows.measure.sparsity import SparseAccuracy, Sparsity, sparse_accuracy, sparsity_of

__all__ = [
    "Alignment",
    "Audit",
    "BitsResult",
    "ConceptQuality",
    "ConstantConcept",
    "Evaluation",
    "GlobalImportance",
    "ImportanceReport",
    "InformationLeakage",
    "InterventionCurve",
    "IrrelevantLeakage",
    "Leakage",
    "Location",
    "MapScores",
    "NicheImpurity",
    "OracleImpurity",
    "Residual",
    "SparseAccuracy",
    "Sparsity",
    "Swaps",
    "TopShare",
    "activation_map",
    "alignment",
    "alignment_of",
    "audit",
    "bits",
    "class_means",
    "concept_maps",
    "concept_quality",
    "concept_quality_of",
    "enlarge",
    "evaluate",
    "existence",
    "global_importance",
    "importance_of",
    "information_leakage",
    "information_leakage_of",
    "intervention_curve",
    "intervention_curves",
    "irrelevant_leakage",
    "leakage",
    "local_importance",
    "location",
    "map_scores",
    "niche_impurity",
    "niche_impurity_of",
    "oracle_impurity",
    "oracle_impurity_of",
    "policies",
    "policy",
    "residual",
    "sparse_accuracy",
    "sparsity_of",
    "swap",
]
