"""The geometry of representations: covariance, effective rank, spectrum, phases, ablations."""

from narrows.measure.geometry.ablation import ablate_spectrum, leading_directions, project
from narrows.measure.geometry.covariance import CovarianceStream
from narrows.measure.geometry.monitor import GeometryMonitor, GeometryRow, pool_features
from narrows.measure.geometry.phases import Phase, find_phases
from narrows.measure.geometry.report import SpectrumReport, bootstrap, spectrum_report
from narrows.measure.geometry.sampling import pass_at_k
from narrows.measure.geometry.spectrum import PRESETS, PowerLaw, alpha_req, rankme, spectrum_of

__all__ = [
    "PRESETS",
    "CovarianceStream",
    "GeometryMonitor",
    "GeometryRow",
    "Phase",
    "PowerLaw",
    "SpectrumReport",
    "ablate_spectrum",
    "alpha_req",
    "bootstrap",
    "find_phases",
    "leading_directions",
    "pass_at_k",
    "pool_features",
    "project",
    "rankme",
    "spectrum_of",
    "spectrum_report",
]
