"""The sink that writes records down: JSON lines, one object a line (docs/events.md)."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from errors import SinkError
from files import check_writable, let_go_of_stdout, sink_error
from outputs.delivery import RecordSink
from people.records import Record, Recorder, to_json


class EventsWriter(RecordSink):
    """A sink that appends every record as a line, each written out at once.

    A killed process loses nothing. The file is made, and one that exists replaced, with
    the first frame.

    Args:
        path: of the file; "-" is standard output.
        recorder: makes the records.

    Raises:
        SinkError: the file cannot be made there, or standard output is closed.
    """

    takes_frames = True

    def __init__(self, path: str | Path, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._to_stdout = str(path) == "-"
        if self._to_stdout and sys.stdout is None:
            raise SinkError("standard output is closed; open it or name a file")
        self._path = Path(path) if self._to_stdout else check_writable(path)
        self._file: TextIO | None = None

    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        try:
            for record in records:
                if self._file is None:
                    self._file = self._open()
                self._file.write(to_json(record) + "\n")
                self._file.flush()
        except OSError as error:
            self._abandon()
            name = "standard output" if self._to_stdout else self._path
            raise sink_error(name, error) from error

    def _open(self) -> TextIO:
        if self._to_stdout:
            return sys.stdout
        return self._path.open("w", encoding="utf-8", newline="\n")

    def _finish(self) -> None:
        if self._file is not None and not self._to_stdout:
            self._file.close()
        self._file = None

    def _abandon(self) -> None:
        """Let go of what could not be written, which would fail again when the program ends."""
        if self._to_stdout:
            let_go_of_stdout()
        elif self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None
        self._closed = True
