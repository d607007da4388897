"""Information bottlenecks: readings that are priced in nats."""

from narrows.information.gaussian import GaussianBottleneck, diag_gaussian_kl
from narrows.information.vib import VIB, predict_samples, vib_loss

__all__ = ["VIB", "GaussianBottleneck", "diag_gaussian_kl", "predict_samples", "vib_loss"]
