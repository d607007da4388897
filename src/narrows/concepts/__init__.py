"""Concepts: readings a person can name."""

from narrows.concepts.cbm import CBM
from narrows.concepts.cem import CEM
from narrows.concepts.cem_layer import ConceptEmbeddingLayer
from narrows.concepts.ecbm import ECBM
from narrows.concepts.energy.layer import EnergyBottleneck
from narrows.concepts.layer import ConceptLayer, SideConcepts
from narrows.concepts.pcbm import PCBM
from narrows.concepts.post_hoc.bank import ConceptBank
from narrows.concepts.post_hoc.edits import Edit, finetune, prune, prune_greedily, rescale
from narrows.concepts.post_hoc.layer import ConceptProjection
from narrows.concepts.tf_tti import TFTTI

__all__ = [
    "CBM",
    "CEM",
    "ECBM",
    "PCBM",
    "TFTTI",
    "ConceptBank",
    "ConceptEmbeddingLayer",
    "ConceptLayer",
    "ConceptProjection",
    "Edit",
    "EnergyBottleneck",
    "SideConcepts",
    "finetune",
    "prune",
    "prune_greedily",
    "rescale",
]
