"""High dynamic range (PQ and HLG) as the standard range that everything here is made for.

Light up to that of white paper, 203 cd/m2 by BT.2408, is kept as it is; anything brighter is
white. Faces are below it.
"""

import functools
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from structures import Image

Light = NDArray[np.uint16]

PQ, HLG = 16, 18  # FFmpeg's numbers of the transfer functions of BT.2100
_BT2020 = 9  # FFmpeg's number of its primaries
_WHITE = 203.0  # cd/m2
_PEAK = 1000.0  # cd/m2, of the display that HLG is meant for
_WHITE_STEP = 16384  # linear light is uint16, with room above white for bright colours
_TOP = 65535

# Linear BT.2020 to linear BT.709 (BT.2087), for B, G, R.
_TO_BT709 = np.array(
    [[1.1187, -0.1006, -0.0182], [-0.0083, 1.1329, -0.1246], [-0.0728, -0.5876, 1.6605]],
    np.float32,
)
_LUMINANCE = np.array([[0.0593, 0.6780, 0.2627]], np.float32)  # of B, G, R in BT.2020


def is_hdr(transfer: int) -> bool:
    """Whether FFmpeg's number of a transfer function is that of PQ or HLG."""
    return transfer in (PQ, HLG)


def to_standard(image: Image, transfer: int, primaries: int) -> Image:
    """Return a PQ or HLG image as one of BT.709, both (H, W, 3) uint8 BGR.

    `transfer` and `primaries` are FFmpeg's numbers; primaries other than BT.2020 are kept.
    """
    light = cast("Light", cv2.LUT(image, _light(transfer)))
    if transfer == HLG:
        gain = cv2.LUT(cv2.transform(light, _LUMINANCE), _gains())
        scale = _PEAK / _WHITE * _WHITE_STEP / _TOP**2
        light = cast("Light", cv2.multiply(light, cv2.merge([gain] * 3), scale=scale))
    if primaries == _BT2020:
        light = cast("Light", cv2.transform(light, _TO_BT709))
    return cast("Image", cv2.LUT(light, _codes()))


@functools.cache
def _light(transfer: int) -> Light:
    """Linear light of each code, (256,): of PQ in steps, of HLG with the peak at 65535."""
    code = np.arange(256) / 255
    if transfer == PQ:  # SMPTE ST 2084
        root = code ** (32 / 2523)
        above = np.maximum(root - 3424 / 4096, 0)
        light = (above / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)
        light *= 10_000 / _WHITE * _WHITE_STEP
    else:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12) * _TOP
    return np.minimum(np.round(light), _TOP).astype(np.uint16)


@functools.cache
def _gains() -> Light:
    """HLG's gamma by the luminance of a pixel, (65536,), at most 65535."""
    return np.round(_TOP * (np.arange(_TOP + 1) / _TOP) ** 0.2).astype(np.uint16)


@functools.cache
def _codes() -> NDArray[np.uint8]:
    """BT.709 codes of linear light, (65536,), as displays show them (BT.1886)."""
    light = np.minimum(np.arange(_TOP + 1) / _WHITE_STEP, 1)
    return np.round(255 * light ** (1 / 2.4)).astype(np.uint8)
