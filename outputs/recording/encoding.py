"""The H.264 encoder: its settings, how hard it tries, and its colours."""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from structures import Image

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
BY_LOAD = ("veryfast", "superfast")  # calm, and where the encoder falls behind
USUAL_PRESET = "superfast"  # files 4 % larger than veryfast's for 60 % of the work
USUAL_CRF = 25  # as good as 23 where the encoder may look ahead, as it may not here
TICKS_PER_S = 90_000
TICK = Fraction(1, TICKS_PER_S)
KEY_FRAME_S = 1.0  # a key frame this often: seeking is as fine as that

# What the presets of `BY_LOAD` would set differently in the headers. A file states those
# once, in front: only an encoder with the same ones can go on in it.
_SAME_HEADERS = "stitchable=1:cabac=1:8x8dct=1:weightp=0:ref=1"
_CROWDED = 0.5  # share of a period's pictures that found the queue half full
_PERIOD_S = 1.0
_ROOM = 0.4  # busy share below which there is time for the slower preset
_CALM_S = 20.0  # for which there must have been


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are encoded: each comes out before the next goes in.

    Holding some back would make files a sixth smaller for a third more work, and a killed
    process would lose them.

    Attributes:
        preset: of x264.
        crf: of x264: quality, 0 lossless .. 51 worst.
        fps: of the pictures, roughly: for the header, and the length of the last one.
    """

    preset: str
    crf: int
    fps: float

    @property
    def rate(self) -> Fraction:
        """`fps` as a fraction that a header can hold."""
        return Fraction(self.fps).limit_denominator(1001)

    def options(self) -> dict[str, str]:
        """Return x264's options."""
        options = {
            "preset": self.preset,
            "tune": "zerolatency",
            "crf": str(self.crf),
            "forced-idr": "1",
            "sc_threshold": "0",  # key frames come when they are due, and not at cuts too
            "threads": str(min(4, os.cpu_count() or 1)),
        }
        if self.preset in BY_LOAD:
            options["x264-params"] = _SAME_HEADERS
        return options


class PresetChoice:
    """Takes a quicker preset while pictures pile up, and the slower one when there is room.

    The next quicker one, ultrafast, would make files twice as large for a tenth less work.

    Args:
        fixed: a preset to stay with; None chooses by the load.

    Attributes:
        preset: the one to encode with now.
    """

    def __init__(self, fixed: str | None = None) -> None:
        self.preset = fixed or USUAL_PRESET
        self._fixed = fixed is not None
        self._began_s: float | None = None
        self._busy_s = self._calm_s = 0.0
        self._pictures = self._crowded = 0

    def note(self, began_s: float, ended_s: float, crowded: bool) -> None:
        """Hear of one encoded picture.

        Args:
            began_s: when its encoding began, on any clock.
            ended_s: when it ended.
            crowded: whether others pile up behind it, or had to be left out.
        """
        if self._fixed:
            return
        if self._began_s is None:
            self._began_s = began_s
        self._busy_s += ended_s - began_s
        self._pictures += 1
        self._crowded += crowded
        if (passed_s := ended_s - self._began_s) >= _PERIOD_S:
            self._choose(passed_s)
            self._began_s, self._busy_s, self._pictures, self._crowded = ended_s, 0.0, 0, 0

    def _choose(self, passed_s: float) -> None:
        room = self._busy_s < _ROOM * passed_s
        self._calm_s = self._calm_s + passed_s if room else 0.0
        if self._crowded >= _CROWDED * self._pictures:
            self.preset, self._calm_s = BY_LOAD[1], 0.0
        elif self._calm_s >= _CALM_S:
            self.preset = BY_LOAD[0]


def set_up(context: VideoCodecContext, size_wh: tuple[int, int], encoding: Encoding) -> None:
    """Set an even size, the time base, and the colours that browsers expect, and say so."""
    context.width, context.height = (side + side % 2 for side in size_wh)
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = encoding.rate, TICK
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # 16..235
    context.options = encoding.options()
    context.flags |= av.codec.context.Flags.global_header


def successor(context: VideoCodecContext, encoding: Encoding) -> VideoCodecContext | None:
    """Return an encoder that can go on in the file of `context`; None where none can."""
    new = cast("VideoCodecContext", av.CodecContext.create("libx264", "w"))
    set_up(new, (context.width, context.height), encoding)
    new.open()
    return new if new.extradata == context.extradata else None


class ColourConverter:
    """Turns (H, W, 3) uint8 BGR pictures into the encoder's frames, of even size."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, picture: Image) -> VideoFrame:
        """Return the YUV 4:2:0 frame; an odd last column or row is doubled."""
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), format="bgr24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.time_base = TICK
        return frame
