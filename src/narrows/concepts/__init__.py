"""Concepts: readings a person can name."""

from narrows.concepts.cbm import CBM
from narrows.concepts.layer import ConceptLayer, SideConcepts

__all__ = ["CBM", "ConceptLayer", "SideConcepts"]
