"""Cost: how large and how slow is a model?"""

from narrows.cost.latency import Latency, Timing, latency
from narrows.cost.parameters import Parameters, parameters

__all__ = ["Latency", "Parameters", "Timing", "latency", "parameters"]
