"""The sink that keeps what the networks said of a film, so that it can be looked at again."""

import gzip
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path

from errors import SinkError
from files import Outage, begins_with, check_writable, sink_error
from people.records import to_json
from sources.raw_values import Record, as_record
from structures import FrameResult, Image

_FLUSH_EVERY = 25  # frames: a killed run loses no more of them


def is_full_events(path: Path) -> bool:
    """Whether a file is one of ours."""
    if not begins_with(path, b"\x1f\x8b"):
        return begins_with(path, rb'\{"type":"film","schema":\d+,')
    try:
        with gzip.open(path) as file:
            return file.read(15) == b'{"type":"film",'
    except (OSError, EOFError):
        return False


class FullEventsWriter:
    """A sink that writes a line for every frame, and one before and after them; see `outputs.Sink`.

    The file is made with the first frame. Where a disk is full, it ends there with a warning, and
    can be replayed up to there.

    Args:
        path: of the file; compressed by gzip where it ends in .gz.
        film: the first record, see `program.replay.film_record`.

    Raises:
        SinkError: the file cannot be made there.
    """

    wants_picture = False

    def __init__(self, path: str | Path, film: Record) -> None:
        self._path = check_writable(path, (".jsonl", ".gz"), whole=True)
        self._film, self._frames = film, 0
        self._file: BufferedIOBase | None = None
        self._outage = Outage("what follows is left out, everything else continues")
        self._closed = False

    @property
    def failed(self) -> SinkError | None:
        """Why the file is not whole; None = it is."""
        return self._outage.failed

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Write what was found in a frame; no image is used. See `outputs.Sink.write`."""
        if self._closed:
            raise ValueError("write() after close(), got a frame")
        if result.raw is not None:
            record = as_record(result.frame, result.raw, self._film["run"])
            self._add(record)
            self._frames += 1

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Write the last record and close the file; may be called again."""
        if not self._closed and self._file is not None:
            self._add({"type": "end", "run": self._film["run"], "frames": self._frames})
            self._trying(self._file.close)
        self._closed = True

    def _add(self, record: Record) -> None:
        if not self.failed:
            self._trying(lambda: self._write(record))

    def _write(self, record: Record) -> None:
        if self._file is None:
            self._file = self._open()
            self._write(self._film)
        self._file.write(f"{to_json(record)}\n".encode())
        if self._frames % _FLUSH_EVERY == 0:
            self._file.flush()

    def _open(self) -> BufferedIOBase:
        packed = self._path.suffix.lower() == ".gz"
        return gzip.open(self._path, "wb", 6) if packed else self._path.open("wb")

    def _trying(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self._outage.note(sink_error(self._path, error))
