"""Layers under watch: their outputs, their place in the information plane, their gradients."""

from narrows.measure.watching.adaptive import AdaptiveBins, AdaptiveNoise, FittedBins
from narrows.measure.watching.adaptive_score import (
    CompressionScore,
    ScoreCorrelation,
    compression_score,
    correlate_scores,
)
from narrows.measure.watching.compressed import CompressedInformation
from narrows.measure.watching.estimators import (
    FixedBins,
    LayerInformation,
    MixtureBounds,
    RangeBins,
    WidthBins,
    mixture_bounds,
    mixture_information,
)
from narrows.measure.watching.gradients import GradientPhase, gradient_phases, knee
from narrows.measure.watching.layers import find_layers, layer_names
from narrows.measure.watching.noisy import NoisyLayers
from narrows.measure.watching.plane import InformationPlane
from narrows.measure.watching.plane_table import Compression, PlaneTable
from narrows.measure.watching.recorder import Reducer, Watch, watch
from narrows.measure.watching.schedules import log_epochs, saxe_epochs
from narrows.measure.watching.trade_off import IBCurve, consistent_beta, ib_curve

__all__ = [
    "AdaptiveBins",
    "AdaptiveNoise",
    "CompressedInformation",
    "Compression",
    "CompressionScore",
    "FittedBins",
    "FixedBins",
    "GradientPhase",
    "IBCurve",
    "InformationPlane",
    "LayerInformation",
    "MixtureBounds",
    "NoisyLayers",
    "PlaneTable",
    "RangeBins",
    "Reducer",
    "ScoreCorrelation",
    "Watch",
    "WidthBins",
    "compression_score",
    "consistent_beta",
    "correlate_scores",
    "find_layers",
    "gradient_phases",
    "ib_curve",
    "knee",
    "layer_names",
    "log_epochs",
    "mixture_bounds",
    "mixture_information",
    "saxe_epochs",
    "watch",
]
