"""H.264 files that browsers play, and that survive a killed process.

While it is written the file is fragmented: after a crash all but the last moments can be
played. Finished, it is an ordinary file with one index at its end (FFmpeg writes that first
and then hides the fragments, so that a full disk does no harm).
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from files import cause_of, replacing, sink_error
from outputs.recording.chapters import scenes_of, set_chapters
from outputs.recording.sound import ERRORS, Sound
from structures import Image

log = logging.getLogger(__name__)

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
_MARK = "faces-live: age and gender"  # how the comment of our files begins
_CROWDED = 0.5  # share of a period's frames that found the queue half full
_PERIOD_S = 1.0
_ROOM = 0.4  # busy share below which there is time for the slower preset
_CALM_S = 20.0  # how long there must have been time
_FRAGMENT_US = 200_000  # of which a killed process loses the last


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


class H264File:
    """One file with frames of one size; not to be used from two threads at a time.

    Args:
        path: made here, or replaced.
        size_wh: of all its frames, pixels.
        encoding: of the frames; `write` may change its preset.
        start_s: the time that is the file's zero.
        film: whose sound is copied; None = without.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        encoding: Encoding,
        start_s: float,
        film: Path | None = None,
    ) -> None:
        self.size_wh = size_wh
        self.path = path.absolute()  # else FFmpeg takes the "a:" of "a:b.mp4" for a protocol
        self._fps = encoding.fps
        self._start_s = start_s
        self._offset = -round(start_s * TICKS_PER_S)
        self._last_pts = -1
        self._last_frame: VideoFrame | None = None
        self._next_key = 0
        self._epoch: int | None = None
        self._scenes: list[int] = []  # where epochs begin, ticks
        self._colours = ColourConverter()
        self._encoding = encoding
        self._sound: Sound | None = None
        try:
            self._open(film)
        except (*ERRORS, ValueError) as error:
            if film is None:
                raise
            log.warning("%s: the sound is left out: %s", path.name, cause_of(error))
            self.abandon()
            self._sound = None
            self._open(None)

    def _open(self, film: Path | None) -> None:
        self._file = av.open(str(self.path), "w", options=_muxer_options(self.path))
        self._file.metadata["comment"] = _MARK
        self._stream = self._file.add_stream("libx264", self._encoding.rate)
        self._stream.time_base = TICK
        self._encoder: VideoCodecContext = self._stream.codec_context
        set_up(self._encoder, self.size_wh, self._encoding)
        if film is not None:
            self._sound = Sound(film, self._start_s, self._file, self.path.name)
        self._file.start_encoding()

    def write(self, picture: Image, time_s: float, epoch: int, preset: str = "") -> None:
        """Encode one image, (H, W, 3) uint8 BGR, of the file's size.

        Another `preset` applies from the next key frame on; empty = the same.
        """
        frame = self._colours.convert(picture)
        before = self._last_pts
        pts = self._pts(time_s, epoch)
        self._bridge(before, pts)
        self._encode(frame, pts, preset)

    def _bridge(self, before: int, pts: int) -> None:
        """Repeat the last frame in a gap that is too long for one of an MP4 file."""
        if self._last_frame is None or self.path.suffix.lower() == ".mkv":
            return
        for ticks in range(before + LONGEST_TICKS, pts, LONGEST_TICKS)[:_MOST_REPEATS]:
            self._encode(self._last_frame, ticks, "")

    def _encode(self, frame: VideoFrame, pts: int, preset: str) -> None:
        self._last_frame, frame.pts = frame, pts
        if pts >= self._next_key:
            self._continue_with(preset)
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = pts + round(KEY_FRAME_S * TICKS_PER_S)
        if self._sound is not None:
            self._sound.copy_until(pts / TICKS_PER_S)
        self._mux(self._encoder.encode(frame))

    def _continue_with(self, preset: str) -> None:
        """Flush the encoder and replace it by one with another preset."""
        if preset in ("", self._encoding.preset):
            return
        encoding = dataclasses.replace(self._encoding, preset=preset)
        if (new := successor(self._encoder, encoding)) is not None:
            self._mux(self._encoder.encode(None))
            self._encoder, self._encoding = new, encoding

    def _mux(self, packets: "list[Packet[Any]]") -> None:
        for packet in packets:
            packet.stream = self._stream
            self._file.mux(packet)

    def _pts(self, time_s: float, epoch: int) -> int:
        """Return the time in ticks, strictly increasing."""
        pts = round(time_s * TICKS_PER_S) + self._offset
        if pts <= self._last_pts:
            is_new_epoch = self._epoch is not None and epoch != self._epoch
            later = self._last_pts + (round(TICKS_PER_S / self._fps) if is_new_epoch else 1)
            # A clock was set back; else a frame is out of order.
            if is_new_epoch or later - pts > TICKS_PER_S:
                self._offset += later - pts
            pts = later
        if epoch != self._epoch:
            self._scenes.append(pts)
        self._last_pts, self._epoch = pts, epoch
        return pts

    def abandon(self) -> None:
        """Close the file after an error: it stays as it is, and can be played."""
        with contextlib.suppress(*ERRORS):
            self._close()

    def _close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        self._file.close()

    def finish(self, next_s: float | None = None) -> None:
        """Flush the encoder, the sound up to `next_s`, and write the index.

        The next file begins there; None = a frame after the last.

        Raises:
            av.FFmpegError, OSError: the end could not be written; the file can be played.
        """
        end_s = self._last_pts / TICKS_PER_S + 1 / self._fps
        try:
            self._mux(self._encoder.encode(None))
            if self._sound is not None:
                self._sound.copy_until(end_s if next_s is None else next_s - self._start_s)
            set_chapters(self._file, self._scenes, self._last_pts, TICK)
        finally:
            self._close()


def is_recording(path: Path) -> bool:
    """Whether a file was made by `H264File` or `concatenate`."""
    try:
        with av.open(str(path.absolute())) as file:
            return any(text.startswith(_MARK) for text in file.metadata.values())
    except (*ERRORS, ValueError):
        return False


def _muxer_options(path: Path) -> dict[str, str]:
    options = {"flush_packets": "1", "max_interleave_delta": str(_FRAGMENT_US)}
    if path.suffix.lower() == ".mkv":  # by design readable up to an early end
        return options | {"cluster_time_limit": str(_FRAGMENT_US // 1000)}
    return options | {
        # delay_moov: without it the first frame's time would be lost
        "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov+default_base_moof",
        "frag_duration": str(_FRAGMENT_US),
        "video_track_timescale": str(TICKS_PER_S),
    }


def concatenate(paths: Sequence[Path], target: Path, film: Path | None = None) -> None:
    """Write one recording with the packets of several, at their own times.

    Args:
        paths: in order, of the same image size, each beginning at its place in the film.
        target: the file to make; seekable, its index at the start.
        film: whose sound is copied; None = without.

    Raises:
        SinkError: it cannot be written.
    """
    try:
        _concatenate(paths, target, film)
    except (*ERRORS, ValueError) as error:
        if film is None:
            raise sink_error(target, error) from error
        log.warning("%s: the sound is left out: %s", target.name, cause_of(error))
        concatenate(paths, target)


def _concatenate(paths: Sequence[Path], target: Path, film: Path | None) -> None:
    options = {"movflags": "+faststart", "video_track_timescale": str(TICKS_PER_S)}
    with contextlib.ExitStack() as stack:
        beside = stack.enter_context(replacing(target))
        new = stack.enter_context(av.open(str(beside), "w", options=options))
        new.metadata["comment"] = _MARK
        with av.open(str(paths[0])) as first:
            stream = new.add_stream_from_template(first.streams.video[0])
        sound = Sound(film, 0.0, new, target.name) if film is not None else None
        if sound is not None:
            stack.callback(sound.close)
        last, end_s = -1, 0.0
        for packet in _packets_of(paths):
            # The decoding times of each slice restart, and may overlap those of the slice
            # before where frames are irregular.
            packet.dts = last = max(packet.dts or 0, last + 1)
            start_s, end_s = _times_s(packet)
            if sound is not None:
                sound.copy_until(start_s)
            packet.stream = stream
            new.mux(packet)
        if sound is not None:
            sound.copy_until(end_s)
        set_chapters(new, scenes_of(paths, TICK), last, TICK)


def _packets_of(paths: Sequence[Path]) -> "Iterator[Packet[Any]]":
    for path in paths:
        with av.open(str(path)) as file:
            yield from (packet for packet in file.demux(video=0) if packet.dts is not None)


def _times_s(packet: "Packet[Any]") -> tuple[float, float]:
    """Begin and end of a packet's frame."""
    start, tick = packet.pts or 0, packet.time_base
    return float(start * tick), float((start + (packet.duration or 0)) * tick)
