"""Counts against arithmetic."""

from __future__ import annotations

import json

from torch import nn

from narrows.bottleneck import IdentityBottleneck
from narrows.concepts.layer import ConceptLayer
from narrows.cost import parameters
from narrows.encoders import MLPEncoder
from narrows.heads import LinearHead
from narrows.model import NarrowModel


def test_each_part_is_counted_by_its_formula():
    model = NarrowModel(MLPEncoder(6, (5,)), ConceptLayer(5, ["a", "b"], extra=1), LinearHead(3, 4))
    found = parameters(model)
    assert (found.encoder, found.bottleneck, found.head) == (6 * 5 + 5, 5 * 3 + 3, 3 * 4 + 4)
    assert found.total == int(found) == float(found) == 35 + 18 + 16
    # Mean and scale of 6 features, two percentiles of 2 concepts.
    assert found.buffers == 2 * 6 + 2 * 2
    assert found.bytes == 4 * (found.total + found.buffers)
    assert json.loads(json.dumps(found.to_dict()))["total"] == found.total


def test_shared_parameters_count_once_and_dtype_counts_in_bytes():
    head = LinearHead(3, 3)
    model = NarrowModel(nn.Sequential(nn.Flatten(), head), IdentityBottleneck(3), head).double()
    found = parameters(model)
    assert (found.encoder, found.head, found.bytes) == (12, 0, 96)
