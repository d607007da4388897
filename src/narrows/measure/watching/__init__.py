"""Layers under watch: their outputs, their place in the information plane, their gradients."""

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
from narrows.measure.watching.plane import InformationPlane
from narrows.measure.watching.plane_table import Compression, PlaneTable
from narrows.measure.watching.recorder import Reducer, Watch, watch
from narrows.measure.watching.schedules import log_epochs, saxe_epochs
from narrows.measure.watching.trade_off import IBCurve, consistent_beta, ib_curve

__all__ = [
    "Compression",
    "FixedBins",
    "GradientPhase",
    "IBCurve",
    "InformationPlane",
    "LayerInformation",
    "MixtureBounds",
    "PlaneTable",
    "RangeBins",
    "Reducer",
    "Watch",
    "WidthBins",
    "consistent_beta",
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
