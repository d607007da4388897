"""Information of what is too wide to measure, through a few coordinates that stand for it."""

from narrows.measure.mi.compression.autoencoder import AutoencoderCompressor
from narrows.measure.mi.compression.compressed import CompressedMI, compressed_mi
from narrows.measure.mi.compression.compressor import Compressor, FittedCompressor, relative_error
from narrows.measure.mi.compression.pca import PCACompressor

__all__ = [
    "AutoencoderCompressor",
    "CompressedMI",
    "Compressor",
    "FittedCompressor",
    "PCACompressor",
    "compressed_mi",
    "relative_error",
]
