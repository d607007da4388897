"""Explanations of single decisions: where a score comes from, and what would change the answer.

What each unit adds to each class is `NarrowModel.explain`; it stands in `narrows.explanation`.
"""

from narrows.explain.attribution import attribute, heat
from narrows.explain.counterfactual import WhyNot, why_not
from narrows.explain.moves import Correction

__all__ = ["Correction", "WhyNot", "attribute", "heat", "why_not"]
