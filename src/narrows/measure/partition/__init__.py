"""Partitions of items: their bits against their spread, and what people make of the same items."""

from narrows.measure.partition.alignment import CategoryAlignment, category_alignment
from narrows.measure.partition.clusters import sized_kmeans
from narrows.measure.partition.comparison import PartitionComparison, PartitionScore
from narrows.measure.partition.curve import RateDistortionCurve, rate_distortion_curve
from narrows.measure.partition.human import HumanStudy, read_human_concepts
from narrows.measure.partition.information import partition_distortion, partition_information
from narrows.measure.partition.items import item_embeddings
from narrows.measure.partition.typicality import TypicalityAlignment, typicality_alignment

__all__ = [
    "CategoryAlignment",
    "HumanStudy",
    "PartitionComparison",
    "PartitionScore",
    "RateDistortionCurve",
    "TypicalityAlignment",
    "category_alignment",
    "item_embeddings",
    "partition_distortion",
    "partition_information",
    "rate_distortion_curve",
    "read_human_concepts",
    "sized_kmeans",
    "typicality_alignment",
]
