"""The narrow place of a channel: whole numbers, priced by a learned prior, sent as a bit stream."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from narrows import distributed
from narrows.bottleneck import Bottleneck, Known, resolve_known
from narrows.channel.factorized import FactorizedPrior
from narrows.errors import FileRefused, wrong
from narrows.functional.coder import FactorizedCode
from narrows.reading import Reading

_FAR = 2**20  # of a symbol: whole numbers this large are exact in float32
