"""Frames in, H.264 packets out: how they are encoded, and at what times.

No frame is held back: each gives its packet at once.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from structures import Image

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
BY_LOAD = ("veryfast", "superfast")  # with time to spare, and where the encoder falls behind
USUAL_PRESET = "superfast"  # files 4 % larger than veryfast's for 60 % of the work
USUAL_CRF = 25  # as good as 23 with look-ahead, which is off here
TICKS_PER_S = 90_000
TICK = Fraction(1, TICKS_PER_S)
KEY_FRAME_S = 1.0  # between key frames: the precision of seeking
LONGEST_TICKS = 2**31 - TICKS_PER_S  # of a frame, 6.6 h: FFmpeg's MP4 cannot hold 2^31
_MOST_REPEATS = 1000  # nine months; more is a broken clock

# What the presets of `BY_LOAD` would set differently in the headers. A file has those once,
# at its start: only an encoder with the same ones can continue it.
_SAME_HEADERS = "stitchable=1:cabac=1:8x8dct=1:weightp=0:ref=1"
_CROWDED = 0.5  # share of a period's frames that found the queue half full
_PERIOD_S = 1.0
_ROOM = 0.4  # busy share below which there is time for the slower preset
_CALM_S = 20.0  # how long there must have been time


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are encoded, without look-ahead.

    Look-ahead would make files a sixth smaller for a third more work, and a killed process
    would lose the frames held back.

    Attributes:
        preset: of x264.
        crf: of x264: quality, 0 lossless .. 51 worst.
        fps: approximate: for the header, and the length of the last frame.
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
            "sc_threshold": "0",  # key frames at regular times, not at cuts
            "threads": str(min(4, os.cpu_count() or 1)),
        }
        if self.preset in BY_LOAD:
            options["x264-params"] = _SAME_HEADERS
        return options


class PresetChoice:
    """Chooses a faster preset while frames pile up, and the slower one when there is room.

    The next faster one, ultrafast, would make files twice as large for a tenth less work.

    Args:
        fixed: the only preset to use; None chooses by the load.

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
        """Count one encoded frame, with the begin and end of its encoding on any clock.

        `crowded`: whether others pile up behind it, or were left out.
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
    """Set an even size, the time base, and the colours that browsers expect."""
    context.width, context.height = (side + side % 2 for side in size_wh)
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = encoding.rate, TICK
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # 16..235
    context.options = encoding.options()
    context.flags |= av.codec.context.Flags.global_header


def successor(context: VideoCodecContext, encoding: Encoding) -> VideoCodecContext | None:
    """Return an encoder that can continue the file of `context`, or None."""
    new = cast("VideoCodecContext", av.CodecContext.create("libx264", "w"))
    set_up(new, (context.width, context.height), encoding)
    new.open()
    return new if new.extradata == context.extradata else None


class ColourConverter:
    """Converts (H, W, 3) uint8 BGR images to the encoder's frames, of even size."""

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


class FrameEncoder:
    """Encodes frames of one size at their true times; for one thread at a time.

    Args:
        context: of a stream, after `set_up`.
        encoding: of the frames; `encode` may change its preset.
        start_s: the time that is zero in the packets.
        bridged: whether the last frame is repeated in a gap that is too long for one of an MP4
            file.

    Attributes:
        last_ticks: time of the newest frame; -1 before the first.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        encoding: Encoding,
        start_s: float,
        bridged: bool = False,
    ) -> None:
        self.last_ticks = -1
        self._context, self._encoding, self._bridged = context, encoding, bridged
        self._offset = -round(start_s * TICKS_PER_S)
        self._last_frame: VideoFrame | None = None
        self._next_key = 0
        self._epoch: int | None = None
        self._colours = ColourConverter()

    def encode(
        self, picture: Image, time_s: float, epoch: int, preset: str = ""
    ) -> "Iterator[Packet[Any]]":
        """Encode one image, (H, W, 3) uint8 BGR; yields its packet.

        Another `preset` applies from the next key frame on; empty = the same.
        """
        frame = self._colours.convert(picture)
        before = self.last_ticks
        self._set_time(time_s, epoch)
        if self._bridged and self._last_frame is not None:
            gap = range(before + LONGEST_TICKS, self.last_ticks, LONGEST_TICKS)
            for ticks in gap[:_MOST_REPEATS]:
                yield from self._encode(self._last_frame, ticks, "")
        yield from self._encode(frame, self.last_ticks, preset)

    def demand_key(self) -> None:
        """Make the next frame a key frame."""
        self._next_key = 0

    def flush(self) -> "Iterator[Packet[Any]]":
        """Yield what is left; nothing can be encoded afterwards."""
        yield from self._context.encode(None)

    def _encode(self, frame: VideoFrame, ticks: int, preset: str) -> "Iterator[Packet[Any]]":
        self._last_frame, frame.pts = frame, ticks
        if ticks >= self._next_key:
            yield from self._continue_with(preset)
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = ticks + round(KEY_FRAME_S * TICKS_PER_S)
        yield from self._context.encode(frame)

    def _continue_with(self, preset: str) -> "Iterator[Packet[Any]]":
        """Flush the encoder and replace it by one with another preset."""
        if preset in ("", self._encoding.preset):
            return
        encoding = replace(self._encoding, preset=preset)
        if (new := successor(self._context, encoding)) is not None:
            yield from self.flush()
            self._context, self._encoding = new, encoding

    def _set_time(self, time_s: float, epoch: int) -> None:
        """Set the time in ticks, strictly increasing."""
        ticks = round(time_s * TICKS_PER_S) + self._offset
        if ticks <= self.last_ticks:
            is_new_epoch = self._epoch is not None and epoch != self._epoch
            step = round(TICKS_PER_S / self._encoding.fps) if is_new_epoch else 1
            later = self.last_ticks + step
            # A clock was set back; else a frame is out of order.
            if is_new_epoch or later - ticks > TICKS_PER_S:
                self._offset += later - ticks
            ticks = later
        self.last_ticks, self._epoch = ticks, epoch
