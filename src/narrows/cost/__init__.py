"""Cost: how large and how slow is a model?"""

from narrows.cost.size import Parameters, parameters
from narrows.cost.timing import Latency, Timing, latency

__all__ = ["Latency", "Parameters", "Timing", "latency", "parameters"]
