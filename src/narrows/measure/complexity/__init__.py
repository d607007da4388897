"""Features of a network: how early they can be read, how they come about, how much they matter."""

from narrows.measure.complexity.complexity import (
    FeatureComplexity,
    feature_complexity,
    time_to_decode,
)
from narrows.measure.complexity.correlation import RankCorrelation, rank_correlation
from narrows.measure.complexity.dictionary import (
    FeatureDictionary,
    dictionary_stability,
    feature_dictionary,
    nonnegative_codes,
)
from narrows.measure.complexity.flow import ResidualFlow, linear_cka, residual_flow
from narrows.measure.complexity.importance import feature_contributions, feature_importance
from narrows.measure.complexity.pooled import PooledLayers
from narrows.measure.complexity.scores import Redundancy, redundancy, robustness
from narrows.measure.complexity.v_information import VInformation, linear_v_information

__all__ = [
    "FeatureComplexity",
    "FeatureDictionary",
    "PooledLayers",
    "RankCorrelation",
    "Redundancy",
    "ResidualFlow",
    "VInformation",
    "dictionary_stability",
    "feature_complexity",
    "feature_contributions",
    "feature_dictionary",
    "feature_importance",
    "linear_cka",
    "linear_v_information",
    "nonnegative_codes",
    "rank_correlation",
    "redundancy",
    "residual_flow",
    "robustness",
    "time_to_decode",
]
