"""Codes: readings that are numbers in code books."""

from narrows.codes.dkvb import KeyValueCode, value_optimizer
from narrows.codes.key_value import KeyValueBottleneck
from narrows.codes.keys import first_keys, fit_codebooks
from narrows.codes.selection import CodeSelection
from narrows.codes.vector_quantizer import VectorQuantizer

__all__ = [
    "CodeSelection",
    "KeyValueBottleneck",
    "KeyValueCode",
    "VectorQuantizer",
    "first_keys",
    "fit_codebooks",
    "value_optimizer",
]
