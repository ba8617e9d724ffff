"""H.264 files that browsers play, and that survive a killed process.

While it is written the file is fragmented: whatever happens, all but the last moments
can be played. When it is finished, it is rewritten so that players can seek and stream it,
with its sound where there is one.
"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from outputs.recording.encoding import (
    KEY_FRAME_S,
    TICK,
    TICKS_PER_S,
    ColourConverter,
    Encoding,
    set_up,
    successor,
)
from outputs.recording.rewriting import ERRORS, rewrite
from outputs.recording.sound import Sound
from structures import Image

_FRAGMENT_US = 200_000  # of which a killed process loses the last


class H264File:
    """One file with pictures of one size; not to be used from two threads at a time.

    Args:
        path: made here, or replaced.
        size_wh: of all its pictures, pixels.
        encoding: how; `write` may change its preset.
        start_s: the time that is the file's zero.
    """

    def __init__(
        self, path: Path, size_wh: tuple[int, int], encoding: Encoding, start_s: float
    ) -> None:
        self.size_wh = size_wh
        self.path = path.absolute()  # or FFmpeg takes the "a:" of "a:b.mp4" for a protocol
        self._fps = encoding.fps
        self._start_s = start_s
        self._offset = -round(start_s * TICKS_PER_S)
        self._last_pts = -1
        self._next_key = 0
        self._epoch: int | None = None
        self._colours = ColourConverter()
        self._encoding = encoding
        self._file = av.open(str(self.path), "w", options=_muxer_options(path))
        self._stream = self._file.add_stream("libx264", encoding.rate)
        self._stream.time_base = TICK
        self._encoder: VideoCodecContext = self._stream.codec_context
        set_up(self._encoder, size_wh, encoding)

    def write(self, picture: Image, time_s: float, epoch: int, preset: str = "") -> None:
        """Encode one (H, W, 3) uint8 BGR picture of the size promised.

        With another `preset` the file goes on at its next key frame; empty = the same.
        """
        frame = self._colours.convert(picture)
        frame.pts = pts = self._pts(time_s, epoch)
        if pts >= self._next_key:
            self._go_on_with(preset)
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = pts + round(KEY_FRAME_S * TICKS_PER_S)
        self._mux(self._encoder.encode(frame))

    def _go_on_with(self, preset: str) -> None:
        """Let an encoder of another preset take over; emptied, the old one takes no more."""
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
        """Return the time in ticks, which never stands still and never runs backwards."""
        pts = round(time_s * TICKS_PER_S) + self._offset
        if pts <= self._last_pts:
            anew = self._epoch is not None and epoch != self._epoch
            later = self._last_pts + (round(TICKS_PER_S / self._fps) if anew else 1)
            if anew or later - pts > TICKS_PER_S:  # a clock set back; else a picture out of turn
                self._offset += later - pts
            pts = later
        self._last_pts, self._epoch = pts, epoch
        return pts

    def abandon(self) -> None:
        """Close the file after an error: it stays as it is, and can be played."""
        with contextlib.suppress(*ERRORS):
            self._file.close()

    def end(self) -> None:
        """Close the file: all of it can be played.

        Raises:
            av.FFmpegError, OSError: the last pictures could not be written.
        """
        try:
            self._mux(self._encoder.encode(None))
        finally:
            self._file.close()

    def finish(self, next_s: float | None = None, sound: Sound | None = None) -> None:
        """End the file and make it seekable; raises as `end` does.

        Args:
            next_s: the time at which the next file goes on; None = a picture after the last.
            sound: of the film that is recorded; what belongs to the pictures is added.
        """
        self.end()
        if next_s is None:
            next_s = self._start_s + self._last_pts / TICKS_PER_S + 1 / self._fps
        rewrite(self.path, sound, self._start_s, next_s)


def _muxer_options(path: Path) -> dict[str, str]:
    if path.suffix.lower() == ".mkv":  # by design readable up to where it breaks off
        return {"flush_packets": "1", "cluster_time_limit": str(_FRAGMENT_US // 1000)}
    return {
        # delay_moov: with empty_moov the first picture's time would be lost
        "movflags": "+frag_keyframe+delay_moov+default_base_moof",
        "frag_duration": str(_FRAGMENT_US),
        "video_track_timescale": str(TICKS_PER_S),
        "flush_packets": "1",
    }
