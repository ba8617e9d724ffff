"""The files of one recording, one after another, and what they are called."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from errors import SinkError
from files import Outage, check_apart, check_ours, check_writable, is_taken, named_after, sink_error
from outputs.recording.encoder import Encoding
from outputs.recording.h264 import H264File, is_recording
from outputs.recording.sound import ERRORS, has_sound
from structures import Frame, Image

P = TypeVar("P", bound="Part")
CONSEQUENCE = "the recording stops there, everything else continues"


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


def claim(path: Path, inputs: Sequence[Path], is_ours: Callable[[Path], bool]) -> None:
    """Make sure that `path` can be written and loses nothing of others.

    Raises:
        SinkError: it cannot, or would replace one of `inputs` or what this program did not make.
    """
    check_apart([path], inputs)
    check_ours(path, is_ours)
    check_writable(path, whole=True)


def remove_empty(path: Path) -> None:
    """Remove a file that there was no room to begin; one that holds anything stays."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def wall_clock(frame: Frame) -> datetime:
    """When the frame arrived, in UTC."""
    age_s = time.monotonic() - frame.arrived_s if frame.arrived_s is not None else 0.0
    return datetime.now(UTC) - timedelta(seconds=age_s)


class Part(Protocol):
    """One file of several."""

    path: Path

    def abandon(self) -> None:
        """Close it after an error: it stays as it is, and can be played."""
        ...


class PartFiles(Generic[P]):
    """Files that are written one after another; for one thread at a time.

    An error of a file is logged once a day and kept in `failed`; nothing more is written until the
    next one is due.

    Args:
        path: what they are named after.
        consequence: of an error, for its warning.
    """

    def __init__(self, path: Path, consequence: str) -> None:
        self._path, self._outage = path, Outage(consequence)
        self._number = 0  # of files so far
        self._part: P | None = None

    @property
    def failed(self) -> SinkError | None:
        """Why a file could not be written, the last one that could not; None = all could."""
        return self._outage.failed

    @property
    def writing(self) -> Path | None:
        """The file that is open; None = none is."""
        part = self._part
        return part.path if part else None

    def _abandon(self, error: Exception) -> None:
        """Leave the open file, if there is one, as it is after an error."""
        part, self._part = self._part, None
        if part is not None:
            part.abandon()
        self._fail(part.path if part else self._path, error)

    def _fail(self, path: Path, error: Exception) -> None:
        self._outage.note(error if isinstance(error, SinkError) else sink_error(path, error))


class RecordingFiles(PartFiles[H264File]):
    """The files of one recording, one after another; see `PartFiles`.

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
        super().__init__(path, CONSEQUENCE)
        self._encoding, self._live = encoding, live
        self._segment_s, self._film = segment_s, film
        self._inputs = [*inputs, *([film] if film else [])]
        self._has_sound = film is not None and has_sound(film, path.suffix.lower())
        self._due: tuple[tuple[int, int], int] | None = None  # size, segment
        self._recorded_s = 0.0
        self._last_s: float | None = None

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
            self._abandon(error)

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
        began = wall_clock(frame) if self._live else None
        segments = self._segment_s is not None
        path = part_path(self._path, self._number, segments=segments, began=began)
        claim(path, self._inputs, is_recording)
        start_s = 0.0 if self._number == 1 and not self._live else frame.time_s
        encoding = replace(self._encoding, preset=preset)
        film = self._film if self._has_sound else None
        try:
            self._part = H264File(path, size_wh, encoding, start_s, film)
        except ERRORS:
            remove_empty(path)
            raise

    def _finish(self, part: H264File, next_s: float | None = None) -> None:
        try:
            part.finish(next_s)
        except ERRORS as error:
            self._fail(part.path, error)

    def close(self) -> None:
        """Finish the last file; may be called again."""
        part, self._part = self._part, None
        if part is not None:
            self._finish(part)
