"""Compression methods, one file each."""

from collections.abc import Mapping

from deltaworks.methods.compression import (
    base_shift,
    bitdelta,
    dare,
    delta_come,
    delta_dct,
    deltazip,
    gptq,
    group_dropout,
    impart,
    impart_qt,
    lossless,
    low_rank,
    magnitude,
    rdc,
    sign,
    ultradelta,
)
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.methods.method import index

COMPRESSION: Mapping[str, CompressionMethod] = index(
    sign.METHOD,
    delta_dct.METHOD,
    dare.METHOD,
    magnitude.METHOD,
    low_rank.METHOD,
    lossless.METHOD,
    impart.METHOD,
    impart_qt.METHOD,
    delta_come.METHOD,
    group_dropout.METHOD,
    base_shift.METHOD,
    rdc.METHOD,
    bitdelta.METHOD,
    gptq.METHOD,
    deltazip.METHOD,
    ultradelta.METHOD,
)
