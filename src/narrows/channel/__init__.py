"""Channels: readings that travel as bits."""

from narrows.channel.channel import Channel
from narrows.channel.factorized import FactorizedPrior
from narrows.channel.quantizer import QuantizingBottleneck

__all__ = ["Channel", "FactorizedPrior", "QuantizingBottleneck"]
