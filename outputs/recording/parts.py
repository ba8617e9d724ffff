"""The files of one recording: when the next one begins, what it is called, how it ends."""

import itertools
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from errors import SinkError
from files import check_writable, refuse_overwriting, sink_error
from outputs.recording.encoding import Encoding
from outputs.recording.h264 import H264File
from outputs.recording.rewriting import ERRORS
from outputs.recording.sound import find_sound
from structures import Frame, Image
from threads import WriterThread

_FINISHING = 2  # files that may wait to be finished; each keeps its encoder so long
_PATIENCE_S = 600.0  # for them when all is over: a long one is copied once

log = logging.getLogger(__name__)


def part_path(path: Path, number: int, *, segments: bool, began: datetime | None = None) -> Path:
    """Return the path of a recording's file.

    Args:
        path: as the user gave it.
        number: of the file in this recording, from 1.
        segments: whether there will be many.
        began: when its first picture was taken; None where that means nothing.
    """
    if not segments:
        name = f"-{number}" if number > 1 else ""
    elif began is None:
        name = f"-{number:03d}"
    else:
        name = f"-{began:%Y%m%d-%H%M%S}"
        names = itertools.chain([name], (f"{name}-{again}" for again in itertools.count(2)))
        name = next(n for n in names if not path.with_stem(path.stem + n).exists())
    return path.with_stem(path.stem + name)


class Parts:
    """The files of one recording, one after another; for one thread at a time.

    All that can go wrong with a file is logged once and kept in `failed`. What there is of
    it stays, nothing more is written until the next one is due, and that is tried again.

    Args:
        path: as the user gave it; see `part_path`.
        encoding: its preset is that of `write`.
        live: pictures come at their own pace, from the first one's time on.
        segment_s: seconds of recording after which a new file is begun; None = never.
        film: the film that is recorded, for its sound; None where it is none.

    Attributes:
        failed: why the last file that could not be written could not; None = all could.
    """

    def __init__(
        self,
        path: Path,
        encoding: Encoding,
        *,
        live: bool,
        segment_s: float | None,
        film: Path | None,
    ) -> None:
        self.failed: SinkError | None = None
        self._path, self._encoding, self._live = path, encoding, live
        self._segment_s, self._film = segment_s, film
        self._sound = find_sound(film, path.suffix.lower()) if film else None
        self._number = 0
        self._part: H264File | None = None
        self._due: tuple[tuple[int, int], int] | None = None  # size, segment
        self._recorded_s = 0.0
        self._last_s: float | None = None
        self._told = False
        self._finisher: WriterThread[tuple[H264File, float | None]] | None = None

    def write(self, picture: Image, frame: Frame, preset: str) -> None:
        """Encode one (H, W, 3) uint8 BGR picture at its frame's time."""
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
        """Count the time; it need not begin at 0, and it may run backwards."""
        if self._last_s is not None:
            self._recorded_s += max(0.0, time_s - self._last_s)
        self._last_s = time_s
        return int((self._recorded_s + 1e-6) / self._segment_s) if self._segment_s else 0

    def _begin(self, size_wh: tuple[int, int], frame: Frame, preset: str) -> None:
        """Begin the next file with `frame`, and let the one before be finished."""
        if self._part is not None:
            part, self._part = self._part, None
            self._let_finish(part, frame.time_s)
        self._number += 1
        began = _wall_clock(frame) if self._live else None
        segments = self._segment_s is not None
        path = part_path(self._path, self._number, segments=segments, began=began)
        if self._film is not None:
            refuse_overwriting(path, str(self._film))
        check_writable(path)
        start_s = 0.0 if self._number == 1 and not self._live else frame.time_s
        encoding = replace(self._encoding, preset=preset)
        self._part = H264File(path, size_wh, encoding, start_s)

    def _let_finish(self, part: H264File, next_s: float) -> None:
        """Have a file finished beside what goes on; a live recording never waits for it."""
        if self._finisher is None:
            self._finisher = WriterThread(
                self._finish, _FINISHING, patience_s=_PATIENCE_S, name="recording-finisher"
            )
        if not self._live:
            self._finisher.submit((part, next_s))
        elif not self._finisher.offer((part, next_s)):
            log.warning("%s stays fragmented: the disk is behind", part.path.name)
            part.end()

    def _finish(self, item: tuple[H264File, float | None]) -> None:
        part, next_s = item
        try:
            part.finish(next_s, self._sound)
            self._told = False
        except ERRORS as error:
            self._fail(part.path, error)

    def _fail(self, path: Path, error: Exception) -> None:
        self.failed = error if isinstance(error, SinkError) else sink_error(path, error)
        if not self._told:  # once, until a file was written well
            log.warning("%s; the recording stops there, all else goes on", self.failed)
        self._told = True

    def close(self) -> None:
        """Finish the last file, and wait for those that are being finished."""
        if self._finisher is not None:
            try:
                self._finisher.close()
            except TimeoutError as error:
                self._fail(self._path, error)
        part, self._part = self._part, None
        if part is not None:
            self._finish((part, None))


def _wall_clock(frame: Frame) -> datetime:
    """When the frame arrived, in UTC."""
    age_s = time.monotonic() - frame.arrived_s if frame.arrived_s is not None else 0.0
    return datetime.now(UTC) - timedelta(seconds=age_s)
