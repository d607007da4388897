"""Does a concept look at its own place? By attribution (`maps`) and by intervention (`swaps`)."""

from narrows.measure.locality.maps import MapScores, concept_maps, map_scores
from narrows.measure.locality.swaps import Swaps, swap

__all__ = ["MapScores", "Swaps", "concept_maps", "map_scores", "swap"]
