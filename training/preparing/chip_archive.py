"""An archive of chips that grows, and can be interrupted at any moment.

While it grows the folder holds

    NAME.tar.part          the chips so far
    NAME.progress.jsonl    a first line on what they are made from; then a line per image with
                           its chip's name, where it ends in the archive, and the reason if
                           there is none

A chip is written before its line. On resuming, the archive is truncated to the last whole line,
so the result is the same, byte by byte, as without an interruption. `finish` renames the archive;
the progress file stays for later runs.
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


class ChipEntry(NamedTuple):
    """The outcome of one image.

    Attributes:
        file: name of the chip.
        end: bytes of the archive up to this chip's end.
        why: the reason if there is no chip, else "".
    """

    file: str
    end: int
    why: str


class ChipArchive:
    """The chips of a set; one program at a time. `close` it, or use it in a `with` statement.

    Attributes:
        path: of the archive when it is finished.
        entries: outcomes of the images so far, in their order.
        finished: whether the archive is complete.

    Args:
        folder: that holds it; created if necessary.
        name: of the set.
        made_from: what the chips depend on, ready for JSON.
        replace: start over if the existing one was made from something else.

    Raises:
        DatasetError: it cannot be written, another run is writing it, or the existing one
            was made from something else.
    """

    def __init__(self, folder: Path, name: str, made_from: dict[str, Any], replace: bool) -> None:
        self.path = folder / f"{name}.tar"
        self.entries: list[ChipEntry] = []
        self.finished = False
        self._part = folder / f"{name}.tar.part"
        self._archive: IO[bytes] | None = None
        with self._one_line_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._log = (folder / f"{name}.progress.jsonl").open("a+b")
        try:
            with self._one_line_errors():
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
                f"{self.path} exists already, but {how}; choose another --out, or --replace it"
            )
        entries = [ChipEntry(*values) for line in lines if (values := _parsed(line))]
        if ours and self._part.exists():
            self._resume(len(first), lines, entries)
        elif ours and self._has(self.path, entries[-1].end + len(_END) if entries else 0):
            self.entries, self.finished = entries, True
        else:
            # In this order: a matching first line without a part means that all is done.
            self._archive = self._part.open("wb")
            self._log.truncate(0)
            self._write_line(made_from)

    def _resume(self, first: int, lines: list[bytes], entries: list[ChipEntry]) -> None:
        """Keep the entries whose chips are whole, and truncate the files after them."""
        written = self._part.stat().st_size
        self.entries = [entry for entry in entries if entry.end <= written]
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
        """Append a chip's file under the name `file`, or the reason why there is none.

        DatasetError if it cannot be written.
        """
        end = self._size
        with self._one_line_errors():
            if isinstance(outcome, bytes) and self._archive is not None:
                member = _member(file, outcome)
                self._archive.write(member)
                self._archive.flush()
                end += len(member)
            entry = ChipEntry(file, end, outcome if isinstance(outcome, str) else "")
            self._write_line(entry)
        self.entries.append(entry)

    def finish(self, outdated: Path) -> None:
        """Complete the archive and rename it; DatasetError if it cannot be written.

        The table `outdated` of an earlier archive is removed first, so that archive and table
        never contradict each other.
        """
        if self._archive is None:
            return
        with self._one_line_errors():
            outdated.unlink(missing_ok=True)
            self._archive.write(_END)
            self._archive.flush()
            os.fsync(self._archive.fileno())
            self._archive.close()
            self._part.replace(self.path)
        self._archive, self.finished = None, True

    def close(self) -> None:
        """Close the files; what was added stays."""
        for file in (self._archive, self._log):
            with contextlib.suppress(OSError):  # a full disk was reported already
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
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"{self.path} cannot be written: {error.strerror}; fix this, then rerun the "
                "command to resume"
            ) from error


def _member(name: str, data: bytes) -> bytes:
    """Return one file of a tar, without time and owner, which would differ between runs."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    head = info.tobuf(tarfile.GNU_FORMAT)
    return head + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _parsed(line: bytes) -> Any:
    """Return the value of a line; None if it is incomplete."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return the first of the settings that differ, in words."""
    key = next(key for key in ours if theirs.get(key) != ours[key])
    if key == "pictures":
        return "from other images or labels"
    return f"with {key} {theirs.get(key)}, not {ours[key]}"


def _lock(file: IO[bytes], path: Path) -> None:
    """Exclude a second run, where the system can lock files; DatasetError if there is one."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatasetError(f"another run is making {path}; wait until it ends") from None
    except (ImportError, OSError):
        pass  # a system or a share without such locks
