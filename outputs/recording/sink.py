"""The sink that records the annotated frames, into one file or several."""

import logging
import math
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from errors import SinkError
from files import check_writable, sink_error
from outputs.recording.clips import ClipFiles
from outputs.recording.encoder import PRESETS, USUAL_CRF, USUAL_PRESET, Encoding, PresetChoice
from outputs.recording.parts import CONSEQUENCE, RecordingFiles, wall_clock
from people.triggers import Clip, Watch
from structures import Frame, FrameResult, Image
from threads import WriterThread

_Item = tuple[Image, Frame, Clip | None, datetime]
SUFFIXES = (".mp4", ".mov", ".mkv")
_QUEUE_DEPTH = 2  # frames; a 4K one takes 25 MB, and 0.1 s to encode when closing
_LIVE_QUEUE_DEPTH = 8  # enough for a disk that is busy for a third of a second
_PATIENCE_S = 60.0  # for a disk that hangs

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
        watch: says when to record its camera, each time into a file of its own as with
            `segment_s`, without sound, with a JSON file beside it; None = always, everything.

    Attributes:
        path: as given.
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
        watch: Watch | None = None,
    ) -> None:
        _check(fps, preset, crf, segment_s)
        self.path = check_writable(path, SUFFIXES, whole=True)
        self.dropped = 0
        self._live = live
        self._choice = PresetChoice(preset if live else preset or USUAL_PRESET)
        encoding = Encoding(self._choice.preset, crf, fps)
        self._watch = watch
        self._files: RecordingFiles | ClipFiles
        if watch is None:
            self._files = RecordingFiles(
                self.path, encoding, live=live, segment_s=segment_s, film=sound_from, inputs=inputs
            )
        else:
            self._files = ClipFiles(self.path, encoding, live=live, inputs=inputs)
        self._closed = False
        self._hung: SinkError | None = None
        self._dropped_before = 0
        depth = _LIVE_QUEUE_DEPTH if live else _QUEUE_DEPTH
        self._writer: WriterThread[_Item | None] = WriterThread(
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
        if self._hung or (self._watch and result.camera != self._watch.camera):
            return
        utc = wall_clock(result.frame)
        clip = self._watch.look(result, utc) if self._watch else None
        item = picture, result.frame, clip, utc
        if not self._live:
            try:
                self._writer.submit(item)
            except TimeoutError as error:
                self._give_up(error)
        elif not self._writer.offer(item):
            self.dropped += 1
            if self.dropped == 1:
                log.warning("%s: the encoder is behind, pictures are left out", self.path.name)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Finish a clip whose camera was lost. See `outputs.Sink.refresh`."""
        if self._watch is None or self._hung or result.camera != self._watch.camera:
            return
        if self._watch.look(result, wall_clock(result.frame)) is None and self.writing:
            self._writer.offer(None)

    def close(self) -> None:
        """Write the queued frames and finish the file; may be called again.

        If that takes too long or Ctrl-C interrupts it, the file stays as it is and can be
        played: the writer's thread may still use it.
        """
        if self._closed:
            return
        self._closed = True
        if self._watch is not None:
            self._watch.end()
        try:
            self._writer.close()
        except TimeoutError as error:
            self._give_up(error)
        finally:
            if self._writer.stopped:
                self._files.close()
        if self.dropped:
            log.warning("%s: %d pictures were left out", self.path.name, self.dropped)

    def _give_up(self, error: TimeoutError) -> None:
        if self._hung is None:
            self._hung = sink_error(self.path, error)
            log.warning("%s; %s", self._hung, CONSEQUENCE)

    def _encode(self, item: _Item | None) -> None:
        """Encode one image, or finish a file where there is none; runs in the writer's thread."""
        began_s = time.monotonic()
        if item is None:
            self._files.close()
            return
        picture, frame, clip, utc = item
        if isinstance(self._files, ClipFiles):
            self._files.write(picture, frame, self._choice.preset, clip, utc)
        else:
            self._files.write(picture, frame, self._choice.preset)
        if self._live:
            dropped, self._dropped_before = self.dropped - self._dropped_before, self.dropped
            crowded = dropped > 0 or self._writer.waiting >= _LIVE_QUEUE_DEPTH // 2
            self._choice.note(began_s, time.monotonic(), crowded)


def _check(fps: float, preset: str | None, crf: int, segment_s: float | None) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, got {fps}")
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be 0..51, got {crf}")
    if segment_s is not None and not segment_s > 0:
        raise ValueError(f"segment_s must be positive, got {segment_s}")
