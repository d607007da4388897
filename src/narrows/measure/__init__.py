"""Measures: what passes through a narrow place, what it means, and what it leaks."""

from narrows.measure.intervention import InterventionCurve, intervention_curve
from narrows.measure.policies import policies, policy

__all__ = ["InterventionCurve", "intervention_curve", "policies", "policy"]
