"""An archive of chips that grows, and survives being broken off at any moment.

While it grows there are in the folder

    NAME.tar.part          the chips so far
    NAME.progress.jsonl    a first line on what they are made from; then for each picture a
                           line with its chip's name, where it ends in the archive, and why
                           there is none

A chip is written before its line. What the archive holds beyond the last whole line is cut
off when the work goes on, so that in the end it is the same, byte by byte, as if nothing had
happened. `finish` gives it its name; the progress stays, and tells later runs what is there.
"""

import contextlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from errors import DatasetError

_END = bytes(2 * tarfile.BLOCKSIZE)  # of a tar


class Entry(NamedTuple):
    """What came of one picture.

    Attributes:
        file: name of the chip.
        end: bytes of the archive up to this chip's end.
        why: there is no chip; "" = there is one.
    """

    file: str
    end: int
    why: str


class GrowingArchive:
    """The chips of a set; one program at a time. `close` it, or use it in a `with` statement.

    Attributes:
        path: of the archive when it is finished.
        entries: what came of the pictures so far, in their order.
        finished: the archive has its name.

    Args:
        folder: where it lies; is made.
        name: of the set.
        made_from: what the chips depend on, ready for JSON.
        replace: begin anew where what is there was made from something else.

    Raises:
        DatasetError: it cannot be written, another run is writing it, or what is there was
            made from something else.
    """

    def __init__(self, folder: Path, name: str, made_from: dict[str, Any], replace: bool) -> None:
        self.path = folder / f"{name}.tar"
        self.entries: list[Entry] = []
        self.finished = False
        self._part = folder / f"{name}.tar.part"
        self._archive: IO[bytes] | None = None
        with self._telling():
            folder.mkdir(parents=True, exist_ok=True)
            self._log = (folder / f"{name}.progress.jsonl").open("a+b")
        try:
            with self._telling():
                self._open(made_from, replace)
        except BaseException:
            self.close()
            raise

    def _open(self, made_from: dict[str, Any], replace: bool) -> None:
        _lock(self._log, self.path)
        self._log.seek(0)
        first, *lines = self._log.read().split(b"\n")
        theirs = _parsed(first)
        ours = theirs == made_from
        if not (ours or replace) and (theirs is not None or self.path.exists()):
            how = _difference(theirs, made_from) if theirs else "it was not made by this program"
            if not first:
                Path(self._log.name).unlink()  # made a moment ago
            raise DatasetError(
                f"{self.path} is there already, but {how}; choose another --out, or --replace it"
            )
        entries = [Entry(*values) for line in lines if (values := _parsed(line))]
        if ours and self._part.exists():
            self._resume(len(first), lines, entries)
        elif ours and self._has(self.path, entries[-1].end + len(_END) if entries else 0):
            self.entries, self.finished = entries, True
        else:
            # In this order: where the first line fits and there is no part, all is done.
            self._archive = self._part.open("wb")
            self._log.truncate(0)
            self._write_line(made_from)

    def _resume(self, first: int, lines: list[bytes], entries: list[Entry]) -> None:
        """Take over the entries whose chips are there; cut off what is beyond them."""
        there = self._part.stat().st_size
        self.entries = [entry for entry in entries if entry.end <= there]
        kept = [first, *map(len, lines[: len(self.entries)])]
        self._log.truncate(sum(kept) + len(kept))
        self._archive = self._part.open("r+b")
        self._archive.truncate(self._size)
        self._archive.seek(self._size)

    @staticmethod
    def _has(path: Path, size: int) -> bool:
        return path.exists() and path.stat().st_size == size

    @property
    def _size(self) -> int:
        return self.entries[-1].end if self.entries else 0

    def add(self, file: str, outcome: bytes | str) -> None:
        """Append a chip, or note why there is none.

        Args:
            file: the chip's name in the archive.
            outcome: the chip's file, or the reason.

        Raises:
            DatasetError: it cannot be written.
        """
        end = self._size
        with self._telling():
            if isinstance(outcome, bytes) and self._archive is not None:
                member = _member(file, outcome)
                self._archive.write(member)
                self._archive.flush()
                end += len(member)
            entry = Entry(file, end, outcome if isinstance(outcome, str) else "")
            self._write_line(entry)
        self.entries.append(entry)

    def finish(self, outdated: Path) -> None:
        """Give the archive its end and its name.

        Args:
            outdated: a table that fits what had the name before; it is removed first, so that
                archive and table never contradict each other.

        Raises:
            DatasetError: it cannot be written.
        """
        if self._archive is None:
            return
        with self._telling():
            outdated.unlink(missing_ok=True)
            self._archive.write(_END)
            self._archive.flush()
            os.fsync(self._archive.fileno())
            self._archive.close()
            self._part.replace(self.path)
        self._archive, self.finished = None, True

    def close(self) -> None:
        """Let go of the files; what was added stays."""
        for file in (self._archive, self._log):
            with contextlib.suppress(OSError):  # what a full disk refused is told already
                if file is not None:
                    file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_line(self, values: Any) -> None:
        self._log.write(json.dumps(values).encode() + b"\n")
        self._log.flush()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in one line what the disk refuses."""
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"{self.path} cannot be written: {error.strerror}; mend that and give the same "
                "command again to go on"
            ) from error


def _member(name: str, data: bytes) -> bytes:
    """One file of a tar, without the time and owner that would differ from run to run."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    head = info.tobuf(tarfile.GNU_FORMAT)
    return head + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _parsed(line: bytes) -> Any:
    """What a line says; None where it is not whole."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """In words, the first of the settings that differ."""
    key = next(key for key in ours if theirs.get(key) != ours[key])
    if key == "pictures":
        return "from other pictures or labels"
    return f"with {key} {theirs.get(key)}, not {ours[key]}"


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep a second run out, where the system has locks on files.

    Raises:
        DatasetError: another run is writing.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatasetError(f"another run is making {path}; wait for its end") from None
    except (ImportError, OSError):
        pass  # a system or a share without such locks
