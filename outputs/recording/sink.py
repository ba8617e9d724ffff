"""The sink that records the annotated frames, into one file or several."""

import contextlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from errors import SinkError
from files import Outage, check_apart, check_ours, check_writable, is_taken, named_after, sink_error
from outputs.recording.encoder import (
    PRESETS,
    USUAL_CRF,
    USUAL_PRESET,
    Encoding,
    PresetChoice,
)
from outputs.recording.h264 import H264File, is_recording
from outputs.recording.sound import ERRORS, has_sound
from structures import Frame, FrameResult, Image
from threads import WriterThread

SUFFIXES = (".mp4", ".mov", ".mkv")
_QUEUE_DEPTH = 2  # frames; a 4K one takes 25 MB, and 0.1 s to encode when closing
_LIVE_QUEUE_DEPTH = 8  # enough for a disk that is busy for a third of a second
_PATIENCE_S = 60.0  # for a disk that hangs
_CONSEQUENCE = "the recording stops there, everything else continues"

log = logging.getLogger(__name__)


class Recording:
    """A sink that records the annotated frames.

    They are encoded in a thread of their own, at their true times. The path is checked here;
    the file is made with the first frame. One that exists is kept if `live`, and the new one
    named after the time; else it is replaced if it is a recording of ours. When the size
    changes, a new part begins: out.mp4, out-2.mp4 ... An odd width or height is made even by
    doubling the last column or row, as H.264's half-size colour requires.

    With `segment_s` a new file begins that often: out-001.mp4, out-002.mp4 ..., or of a live
    source out-20260131-120000.mp4, the time of its first frame in UTC. Set it for cameras:
    until an MP4 is finished, its index takes 6 MB of memory an hour.

    If a file cannot be written, one warning is logged (at most one a day) and `failed` is set;
    what was written can be played. The next file is tried when it is due.

    Args:
        path: ends in .mp4, .mov or .mkv.
        fps: approximate; the timing is the frames' own.
        live: frames are left out, and counted, rather than waited for; times are relative to
            the first frame, not to the start of the medium.
        preset: of x264, ultrafast .. placebo: fast and large to slow and small. None
            chooses, by the load if `live`.
        crf: of x264: quality, 0 lossless .. 51 worst.
        segment_s: seconds of recording per file; None = one file.
        sound_from: the source, if it is a film on disk: its sound is kept.
        inputs: files that are read; no part of the recording overwrites one.

    Attributes:
        dropped: frames left out so far because the encoder was behind.

    Raises:
        SinkError: the file cannot be made there.
        ValueError: fps or segment_s is not positive, or x264 has no such preset or crf.
    """

    wants_picture = True

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        live: bool = False,
        preset: str | None = None,
        crf: int = USUAL_CRF,
        segment_s: float | None = None,
        sound_from: Path | None = None,
        inputs: Sequence[Path] = (),
    ) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps must be positive, got {fps}")
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf must be 0..51, got {crf}")
        if segment_s is not None and not segment_s > 0:
            raise ValueError(f"segment_s must be positive, got {segment_s}")
        self._path = check_writable(path, SUFFIXES, whole=True)
        self.dropped = 0
        self._live = live
        self._choice = PresetChoice(preset if live else preset or USUAL_PRESET)
        encoding = Encoding(self._choice.preset, crf, fps)
        self._files = RecordingFiles(
            self._path, encoding, live=live, segment_s=segment_s, film=sound_from, inputs=inputs
        )
        self._closed = False
        self._hung: SinkError | None = None
        self._dropped_before = 0
        depth = _LIVE_QUEUE_DEPTH if live else _QUEUE_DEPTH
        self._writer: WriterThread[tuple[Image, Frame]] = WriterThread(
            self._encode, depth, patience_s=_PATIENCE_S, name="recording"
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def failed(self) -> SinkError | None:
        """The error of the last file that could not be written; None = all could."""
        return self._hung or self._files.failed

    @property
    def writing(self) -> Path | None:
        """The file that is open; None = none is."""
        return self._files.writing

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Queue one image. See `outputs.Sink.write`; this one raises no SinkError.

        A live recording never waits; others wait while the encoder is behind. `picture`,
        (H, W, 3) uint8 BGR, must not be changed afterwards.
        """
        if picture is None:
            raise ValueError("a recording needs pictures, got None")
        if self._hung:
            return
        item = picture, result.frame
        if not self._live:
            try:
                self._writer.submit(item)
            except TimeoutError as error:
                self._give_up(error)
        elif not self._writer.offer(item):
            self.dropped += 1
            if self.dropped == 1:
                log.warning("%s: the encoder is behind, pictures are left out", self._path.name)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Write the queued frames and finish the file; may be called again.

        If that takes too long or Ctrl-C interrupts it, the file stays as it is and can be
        played: the writer's thread may still use it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._writer.close()
        except TimeoutError as error:
            self._give_up(error)
        finally:
            if self._writer.stopped:
                self._files.close()
        if self.dropped:
            log.warning("%s: %d pictures were left out", self._path.name, self.dropped)

    def _give_up(self, error: TimeoutError) -> None:
        if self._hung is None:
            self._hung = sink_error(self._path, error)
            log.warning("%s; %s", self._hung, _CONSEQUENCE)

    def _encode(self, item: tuple[Image, Frame]) -> None:
        """Encode one image; runs in the writer's thread."""
        began_s = time.monotonic()
        self._files.write(*item, self._choice.preset)
        if self._live:
            dropped, self._dropped_before = self.dropped - self._dropped_before, self.dropped
            crowded = dropped > 0 or self._writer.waiting >= _LIVE_QUEUE_DEPTH // 2
            self._choice.note(began_s, time.monotonic(), crowded)


def part_path(path: Path, number: int, *, segments: bool, began: datetime | None = None) -> Path:
    """Return the path of a recording's file `number`, from 1, where the user gave `path`.

    `segments`: whether the recording is cut by time; `began`: time of the file's first frame,
    for live sources, which keep a file that exists; else None.
    """
    if not segments:
        plain = path.with_stem(path.stem + (f"-{number}" if number > 1 else ""))
        return named_after(path, began) if began and is_taken(plain) else plain
    if began is None:
        return path.with_stem(f"{path.stem}-{number:03d}")
    return named_after(path, began)


class RecordingFiles:
    """The files of one recording, one after another; for one thread at a time.

    An error of a file is logged once a day and kept in `failed`; nothing more is written until the
    next one is due.

    Its parameters, `inputs` too, are those of `Recording`; `film` is the recorded film, for
    its sound. The preset in `encoding` is replaced by that of `write`.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        *,
        live: bool,
        segment_s: float | None,
        film: Path | None,
        inputs: Sequence[Path] = (),
    ) -> None:
        self._outage = Outage(_CONSEQUENCE)
        self._path, self._encoding, self._live = path, encoding, live
        self._segment_s, self._film = segment_s, film
        self._inputs = [*inputs, *([film] if film else [])]
        self._has_sound = film is not None and has_sound(film, path.suffix.lower())
        self._number = 0
        self._part: H264File | None = None
        self._due: tuple[tuple[int, int], int] | None = None  # size, segment
        self._recorded_s = 0.0
        self._last_s: float | None = None

    @property
    def failed(self) -> SinkError | None:
        """Why a file could not be written, the last one that could not; None = all could."""
        return self._outage.failed

    @property
    def writing(self) -> Path | None:
        """The file that is open; None = none is."""
        part = self._part
        return part.path if part else None

    def write(self, picture: Image, frame: Frame, preset: str) -> None:
        """Encode one (H, W, 3) uint8 BGR image at its frame's time."""
        size_wh = picture.shape[1], picture.shape[0]
        due = size_wh, self._segment_of(frame.time_s)
        try:
            if due != self._due:
                self._due = due
                self._begin(size_wh, frame, preset)
            if self._part is not None:
                self._part.write(picture, frame.time_s, frame.epoch, preset)
        except (SinkError, *ERRORS) as error:
            part, self._part = self._part, None
            if part is not None:
                part.abandon()
            self._fail(part.path if part else self._path, error)

    def _segment_of(self, time_s: float) -> int:
        """Return the number of the segment; time need not begin at 0 and may run backwards."""
        if self._last_s is not None:
            self._recorded_s += max(0.0, time_s - self._last_s)
        self._last_s = time_s
        return int((self._recorded_s + 1e-6) / self._segment_s) if self._segment_s else 0

    def _begin(self, size_wh: tuple[int, int], frame: Frame, preset: str) -> None:
        """Finish the current file and begin the next one with `frame`."""
        if self._part is not None:
            part, self._part = self._part, None
            self._finish(part, frame.time_s)
        self._number += 1
        began = _wall_clock(frame) if self._live else None
        segments = self._segment_s is not None
        path = part_path(self._path, self._number, segments=segments, began=began)
        check_apart([path], self._inputs)
        check_ours(path, is_recording)
        check_writable(path, whole=True)
        start_s = 0.0 if self._number == 1 and not self._live else frame.time_s
        encoding = replace(self._encoding, preset=preset)
        film = self._film if self._has_sound else None
        try:
            self._part = H264File(path, size_wh, encoding, start_s, film)
        except ERRORS:
            _remove_empty(path)
            raise

    def _finish(self, part: H264File, next_s: float | None = None) -> None:
        try:
            part.finish(next_s)
        except ERRORS as error:
            self._fail(part.path, error)

    def _fail(self, path: Path, error: Exception) -> None:
        self._outage.note(error if isinstance(error, SinkError) else sink_error(path, error))

    def close(self) -> None:
        """Finish the last file; may be called again."""
        part, self._part = self._part, None
        if part is not None:
            self._finish(part)


def _remove_empty(path: Path) -> None:
    """Remove a file that there was no room to begin; one that holds anything stays."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def _wall_clock(frame: Frame) -> datetime:
    """When the frame arrived, in UTC."""
    age_s = time.monotonic() - frame.arrived_s if frame.arrived_s is not None else 0.0
    return datetime.now(UTC) - timedelta(seconds=age_s)
