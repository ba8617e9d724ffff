"""H.264 files that browsers play, and that survive a killed process.

While it is written the file is fragmented: whatever happens, all but the last moments
can be played. When it is finished, it is rewritten so that players can seek and stream it.
"""

import contextlib
import logging
import math
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2

from structures import Image
from video.outputs import sink_error

TICKS_PER_S = 90_000
ERRORS = (av.FFmpegError, OSError)  # what writing may raise

_KEY_FRAME_S = 1.0  # a key frame this often: seeking is as fine as that
_FRAGMENT_US = 200_000  # of which a killed process loses the last
_LOOKAHEAD_S = 0.25  # and what the encoder holds back; more makes slightly smaller files

log = logging.getLogger(__name__)


class H264File:
    """One file with pictures of one size; not to be used from two threads at a time.

    Args:
        path: made here, or replaced.
        size_wh: of all its pictures, pixels.
        fps: roughly.
        start_s: the time that is the file's zero.
        options: for x264.
    """

    def __init__(
        self,
        path: Path,
        size_wh: tuple[int, int],
        fps: float,
        start_s: float,
        options: dict[str, str],
    ) -> None:
        self.size_wh = size_wh
        self._path = path.absolute()  # or FFmpeg takes the "a:" of "a:b.mp4" for a protocol
        self._fps = fps
        self._offset = -round(start_s * TICKS_PER_S)
        self._last_pts = -1
        self._next_key = 0
        self._epoch: int | None = None
        self._broken = False
        self._file = av.open(str(self._path), "w", options=_muxer_options(path))
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._file.add_stream("libx264", rate, options=options | _x264_options(fps))
        _set_picture_format(self._stream, size_wh)

    def write(self, picture: Image, time_s: float, epoch: int) -> None:
        """Encode one (H, W, 3) uint8 BGR picture of the size promised."""
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.time_base = Fraction(1, TICKS_PER_S)
        frame.pts = self._pts(time_s, epoch)
        if frame.pts >= self._next_key:
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = frame.pts + round(_KEY_FRAME_S * TICKS_PER_S)
        try:
            self._file.mux(self._stream.encode(frame))
        except ERRORS:
            self._broken = True
            raise

    def _pts(self, time_s: float, epoch: int) -> int:
        """Return the time in ticks, which never stands still and never runs backwards."""
        pts = round(time_s * TICKS_PER_S) + self._offset
        if pts <= self._last_pts:
            anew = self._epoch is not None and epoch != self._epoch
            later = self._last_pts + (round(TICKS_PER_S / self._fps) if anew else 1)
            self._offset += later - pts
            pts = later
        self._last_pts, self._epoch = pts, epoch
        return pts

    def finish(self) -> None:
        """Write what the encoder holds back, close the file and make it seekable.

        After an error only the file is closed: it stays as it is, and can be played.
        """
        if self._broken:
            with contextlib.suppress(*ERRORS):
                self._file.close()
            return
        try:
            self._file.mux(self._stream.encode(None))
        finally:
            self._file.close()
        if self._path.suffix.lower() != ".mkv":
            _make_seekable(self._path)


def _muxer_options(path: Path) -> dict[str, str]:
    if path.suffix.lower() == ".mkv":  # by design readable up to where it breaks off
        return {"flush_packets": "1", "cluster_time_limit": str(_FRAGMENT_US // 1000)}
    return {
        # delay_moov: with empty_moov all times are late by what the encoder's reordering takes
        "movflags": "+frag_keyframe+delay_moov+default_base_moof",
        "frag_duration": str(_FRAGMENT_US),
        "video_track_timescale": str(TICKS_PER_S),
        "flush_packets": "1",
    }


def _x264_options(fps: float) -> dict[str, str]:
    """Bound what the encoder holds back: pictures looked ahead at, and those in its threads."""
    lookahead = max(1, min(10, round(fps * _LOOKAHEAD_S)))
    return {
        "rc-lookahead": str(lookahead),
        "bf": str(min(3, lookahead - 1)),
        "g": str(max(1, math.ceil(2 * fps * _KEY_FRAME_S))),  # ours come first
        "threads": str(min(4, os.cpu_count() or 1)),
        "forced-idr": "1",
    }


def _set_picture_format(stream: av.VideoStream, size_wh: tuple[int, int]) -> None:
    """Set an even size, the time base, and the colours that browsers expect, and say so."""
    context = stream.codec_context
    context.width, context.height = (side + side % 2 for side in size_wh)
    context.pix_fmt = "yuv420p"
    context.time_base = stream.time_base = Fraction(1, TICKS_PER_S)
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # 16..235


def _make_seekable(path: Path) -> None:
    """Rewrite a fragmented file with its index in front; where that fails it stays as it is."""
    beside = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        options = {"movflags": "+faststart", "video_track_timescale": str(TICKS_PER_S)}
        with av.open(str(path)) as old, av.open(str(beside), "w", options=options) as new:
            stream = new.add_stream_from_template(old.streams.video[0])
            for packet in old.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
        beside.replace(path)
    except ERRORS as error:
        log.warning("%s stays fragmented: %s", path.name, sink_error(path, error))
    finally:
        with contextlib.suppress(OSError):  # after a success there is nothing to remove
            beside.unlink()
