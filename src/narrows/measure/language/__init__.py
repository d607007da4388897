"""Language models measured: capacity for their compute, and what a summary keeps of a text."""

from narrows.measure.language.capacity import information_capacity
from narrows.measure.language.capacity_report import CapacityReport
from narrows.measure.language.capacity_series import CapacitySeries, fit_capacity_bias
from narrows.measure.language.channel_information import (
    ChannelInformation,
    channel_information,
    conditional_channel_information,
)
from narrows.measure.language.channel_stream import ChannelStream
from narrows.measure.language.flops import DecoderFlops, decoder_flops
from narrows.measure.language.rate_fit import RateDistortionFit, rate_distortion_fit
from narrows.measure.language.score_matrix import (
    LanguageScorer,
    Scorer,
    score_blocks,
    score_matrix,
)
from narrows.measure.language.scores import TextScore, score_text

__all__ = [
    "CapacityReport",
    "CapacitySeries",
    "ChannelInformation",
    "ChannelStream",
    "DecoderFlops",
    "LanguageScorer",
    "RateDistortionFit",
    "Scorer",
    "TextScore",
    "channel_information",
    "conditional_channel_information",
    "decoder_flops",
    "fit_capacity_bias",
    "information_capacity",
    "rate_distortion_fit",
    "score_blocks",
    "score_matrix",
    "score_text",
]
