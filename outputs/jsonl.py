"""The sink that writes records down: JSON lines, one object a line (docs/events.md)."""

import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from errors import SinkError
from files import (
    begins_with,
    check_writable,
    ends_with_line,
    is_taken,
    let_go_of_stdout,
    named_after,
    sink_error,
)
from outputs.delivery import RecordSink
from people.records import Record, Recorder, to_json


def is_events(path: Path) -> bool:
    """Whether a file begins with a record of ours."""
    return begins_with(path, rb'\{"schema":\d+,')


class EventsWriter(RecordSink):
    """A sink that appends every record as a line, each written out at once.

    A killed process loses nothing. The file is made with the first frame.

    Args:
        path: of the file; "-" is standard output.
        recorder: makes the records.
        live: append to a file of an earlier run, with a record that this one is online; what
            this program did not make is kept, and the file named after the time. Else one
            that exists is replaced.

    Raises:
        SinkError: the file cannot be made there, or standard output is closed.
    """

    takes_frames = True

    def __init__(self, path: str | Path, recorder: Recorder, live: bool = False) -> None:
        super().__init__(recorder)
        self._live = live
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
        if not self._live or not is_taken(self._path):
            return self._path.open("w", encoding="utf-8", newline="\n")
        if not is_events(self._path):
            self._path = named_after(self._path, datetime.now(UTC))
        end = "" if ends_with_line(self._path) else "\n"  # of a record that was cut short
        file = self._path.open("a", encoding="utf-8", newline="\n")
        file.write(end + to_json(self._recorder.program("online")) + "\n")
        return file

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
