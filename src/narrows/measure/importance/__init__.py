"""Are the concepts a model weighs the right ones, in the picture, and where it looks?

The scores of Aysel, Cai, Prügel-Bennett, "Concept-Based XAI: Metrics and Benchmarks" (2025), arXiv
2501.19271, one file each:

    overall      global importance: weights against how often people annotate (CGIM)
    existence    local importance: are the most important concepts there (CEM)
    activation   concept activation mapping
    location     are they found where they are (CLM)
    of_model     global importance and existence of a whole model
"""

from narrows.measure.importance.activation import activation_map, enlarge
from narrows.measure.importance.existence import existence, local_importance
from narrows.measure.importance.location import Location, location
from narrows.measure.importance.of_model import ImportanceReport, importance_of
from narrows.measure.importance.overall import GlobalImportance, class_means, global_importance
from narrows.measure.importance.top import TopShare

__all__ = [
    "GlobalImportance",
    "ImportanceReport",
    "Location",
    "TopShare",
    "activation_map",
    "class_means",
    "enlarge",
    "existence",
    "global_importance",
    "importance_of",
    "local_importance",
    "location",
]
