"""H.264 files that browsers play, and that survive a killed process.

While it is written the file is fragmented: after a crash all but the last moments can be
played. Finished, it is an ordinary file with one index at its end (FFmpeg writes that first
and then hides the fragments, so that a full disk does no harm).
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from av.packet import Packet

from files import cause_of, replacing, sink_error
from outputs.recording.chapters import scenes_of, set_chapters
from outputs.recording.encoder import TICK, TICKS_PER_S, Encoding, FrameEncoder, set_up
from outputs.recording.sound import ERRORS, Sound
from structures import Image

log = logging.getLogger(__name__)

MARK = "faces-live: age and gender"  # how the comment of our files begins
_FRAGMENT_US = 200_000  # of which a killed process loses the last


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
        self._start_s = start_s
        self._epoch: int | None = None
        self._scenes: list[int] = []  # where epochs begin, ticks
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
        self._file = av.open(str(self.path), "w", options=muxer_options(self.path))
        self._file.metadata["comment"] = MARK
        self._stream = self._file.add_stream("libx264", self._encoding.rate)
        self._stream.time_base = TICK
        set_up(self._stream.codec_context, self.size_wh, self._encoding)
        bridged = self.path.suffix.lower() != ".mkv"
        self._frames = FrameEncoder(
            self._stream.codec_context, self._encoding, self._start_s, bridged
        )
        if film is not None:
            self._sound = Sound(film, self._start_s, self._file, self.path.name)
        self._file.start_encoding()

    def write(self, picture: Image, time_s: float, epoch: int, preset: str = "") -> None:
        """Encode one image, (H, W, 3) uint8 BGR, of the file's size.

        Another `preset` applies from the next key frame on; empty = the same.
        """
        self._mux(self._frames.encode(picture, time_s, epoch, preset))
        if epoch != self._epoch:
            self._epoch = epoch
            self._scenes.append(self._frames.last_ticks)

    def _mux(self, packets: "Iterable[Packet[Any]]") -> None:
        for packet in packets:
            if self._sound is not None:
                self._sound.copy_until(float((packet.pts or 0) * TICK))
            packet.stream = self._stream
            self._file.mux(packet)

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
        last = self._frames.last_ticks
        end_s = last / TICKS_PER_S + 1 / self._encoding.fps
        try:
            self._mux(self._frames.flush())
            if self._sound is not None:
                self._sound.copy_until(end_s if next_s is None else next_s - self._start_s)
            set_chapters(self._file, self._scenes, last, TICK)
        finally:
            self._close()


def is_recording(path: Path) -> bool:
    """Whether a file was made by `H264File` or `concatenate`."""
    try:
        with av.open(str(path.absolute())) as file:
            return any(text.startswith(MARK) for text in file.metadata.values())
    except (*ERRORS, ValueError):
        return False


def muxer_options(path: Path) -> dict[str, str]:
    """FFmpeg's options for a file that survives a killed process."""
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
        new.metadata["comment"] = MARK
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
