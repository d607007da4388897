"""Measures: what passes through a narrow place, what it means, and what it leaks."""

from narrows.measure.bits import BitsResult, bits
from narrows.measure.intervention import InterventionCurve, intervention_curve
from narrows.measure.leakage import IrrelevantLeakage, Leakage, irrelevant_leakage, leakage
from narrows.measure.policies import policies, policy
from narrows.measure.quality import (
    ConceptQuality,
    ConstantConcept,
    concept_quality,
    concept_quality_of,
)

__all__ = [
    "BitsResult",
    "ConceptQuality",
    "ConstantConcept",
    "InterventionCurve",
    "IrrelevantLeakage",
    "Leakage",
    "bits",
    "concept_quality",
    "concept_quality_of",
    "intervention_curve",
    "irrelevant_leakage",
    "leakage",
    "policies",
    "policy",
]
