"""Information and the gap between training and test loss: what a net keeps, and if that tells.

After Kawaguchi, Deng, Ji and Huang, "How Does Information Bottleneck Help Deep Learning?" (ICML
2023, arXiv 2305.18887).
"""

from narrows.measure.generalization.bound import gap_surrogate
from narrows.measure.generalization.constraint import MIConstraint
from narrows.measure.generalization.densities import local_information, log_densities
from narrows.measure.generalization.model_information import model_information
from narrows.measure.generalization.nets import Recipe, StochasticMLP, TrainedNets, train_nets
from narrows.measure.generalization.noise import NoiseChoice, choose_noise
from narrows.measure.generalization.report import bottleneck_report
from narrows.measure.generalization.report_result import BottleneckReport, LayerBottleneck
from narrows.measure.generalization.sandwich import sandwich_mi
from narrows.measure.generalization.study import GapStudy
from narrows.measure.generalization.study_table import Correlation, GapTable, Interval
from narrows.measure.generalization.swag import SWAG

__all__ = [
    "SWAG",
    "BottleneckReport",
    "Correlation",
    "GapStudy",
    "GapTable",
    "Interval",
    "LayerBottleneck",
    "MIConstraint",
    "NoiseChoice",
    "Recipe",
    "StochasticMLP",
    "TrainedNets",
    "bottleneck_report",
    "choose_noise",
    "gap_surrogate",
    "local_information",
    "log_densities",
    "model_information",
    "sandwich_mi",
    "train_nets",
]
