"""The files of this program beside a run's outputs: how large they are, and deleting old ones."""

import contextlib
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from files import locked
from outputs import Sink, failure_of
from structures import FrameResult, Image
from threads import WriterThread

_HOUR_S = 3600.0
_FRESH_S = 10.0  # a file that was written to so lately may just have been begun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """How old files may become and how large all of them together; what exceeds it goes."""

    seconds: float = math.inf
    bytes: float = math.inf


@dataclass(frozen=True, slots=True)
class Output:
    """One file output of a run.

    Attributes:
        kind: "recording", "events", "people" or "hours".
        path: what the user named.
        is_ours: whether a file was made by this program.
        sink: that writes it; its `writing` is the file that is open.
        beside: finds the small file of ours that goes with one of these, if there is one.
    """

    kind: str
    path: Path
    is_ours: Callable[[Path], bool]
    sink: Sink
    beside: Callable[[Path], Path | None] = lambda _: None

    @property
    def writing(self) -> Path | None:
        """The file that is open, named as in `files`."""
        path: Path | None = getattr(self.sink, "writing", None)
        return None if path is None else self.path.with_name(path.name)

    def files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the ordinary files that have the name of this output, or it with a time."""
        stem, suffix = re.escape(self.path.stem), re.escape(self.path.suffix)
        # no plain numbers: cam-2.mp4 may be that of another camera
        name = re.compile(rf"{stem}(-\d{{8}}(-\d{{6}})?(-\d+)?)?{suffix}")
        with contextlib.suppress(OSError), os.scandir(self.path.parent) as entries:
            for entry in entries:
                if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    yield self.path.with_name(entry.name), entry.stat(follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Storage:
    """What the outputs take of their disks; by the kind of output.

    Attributes:
        bytes: of the own files, those of earlier runs too.
        free: bytes that are left on the disk.
        left_out: records that were left out because a file could not be written.
        failed: whether a file could not be written.
    """

    bytes: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, bool] = field(default_factory=dict)


class Keeper:
    """A sink that watches the files of the others, and deletes old ones if there is a limit.

    It looks at them when a new file was begun and once an hour, in a thread of its own. Only
    finished files of the outputs are deleted, the oldest first: known by their name and by
    what is in them, not being written, by this run or another.

    Args:
        outputs: those of the run.
        limit: None = nothing is deleted.
        fresh_s: a file that was changed within so many seconds is not deleted.
    """

    wants_picture = False

    def __init__(
        self, outputs: Sequence[Output], limit: Limit | None = None, fresh_s: float = _FRESH_S
    ) -> None:
        self._outputs, self._limit, self._fresh_s = outputs, limit, fresh_s
        self._sizes: dict[Path, dict[Path, int]] = {}  # of the own files, by output
        self._known: dict[tuple[Path, int, int], bool] = {}  # by path, inode and size
        self._looked_s = -math.inf
        self._seen: list[Path | None] = []
        self._closed = False
        self._looker: WriterThread[None] = WriterThread(lambda _: self.look(), 1, name="keeping")

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Look at the files if it is time; no image is used. See `outputs.Sink.write`."""
        now_s, writing = time.monotonic(), [each.writing for each in self._outputs]
        due = writing != self._seen or now_s - self._looked_s > _HOUR_S
        if due and not self._closed and self._looker.offer(None):
            self._looked_s, self._seen = now_s, writing

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Look at the files if it is time. See `outputs.Sink.refresh`."""
        self.write(picture, result)

    def close(self) -> None:
        """Stop looking; may be called again."""
        self._closed = True
        with contextlib.suppress(TimeoutError):  # a disk that hangs
            self._looker.close()

    def storage(self) -> Storage:
        """What the files take now; quick, and for any thread."""
        sizes: dict[str, int] = {}
        free: dict[str, int] = {}
        for each in self._outputs:
            known = dict(self._sizes.get(each.path, {}))
            with contextlib.suppress(OSError):
                if each.writing is not None:
                    known[each.writing] = each.writing.stat().st_size
            sizes[each.kind] = sizes.get(each.kind, 0) + sum(known.values())
            with contextlib.suppress(OSError):
                free[each.kind] = shutil.disk_usage(each.path.parent).free
        failed: dict[str, bool] = {}
        for each in self._outputs:
            failed[each.kind] = failed.get(each.kind, False) or failure_of(each.sink) is not None
        lost = {each.kind: getattr(each.sink, "left_out", None) for each in self._outputs}
        return Storage(
            sizes,
            free,
            {kind: count for kind, count in lost.items() if count is not None},
            failed,
        )

    def look(self) -> None:
        """Find the own files, and delete those that exceed the limit; raises nothing."""
        try:
            own = self._own_files()
            gone = self._delete(own) if self._limit else set()
        except OSError as error:
            log.warning("--keep: %s", error)
            return
        self._sizes = {
            each.path: {path: stat.st_size for path, stat in files if path not in gone}
            for each, files in own
        }

    def _own_files(self) -> list[tuple[Output, list[tuple[Path, os.stat_result]]]]:
        """Each output's files that this program made, whether finished or not."""
        own, known = [], {}
        for each in self._outputs:
            files = []
            for path, stat in each.files():
                key = path, stat.st_ino, stat.st_size
                is_ours = path == each.writing or self._known.get(key) or each.is_ours(path)
                if path != each.writing:
                    known[key] = is_ours
                if is_ours:
                    files.append((path, stat))
            own.append((each, files))
        self._known = known
        return own

    def _delete(
        self, own: Sequence[tuple[Output, Sequence[tuple[Path, os.stat_result]]]]
    ) -> set[Path]:
        """Delete what exceeds the limit; returns what was deleted."""
        limit, now_s = self._limit or Limit(), time.time()
        files = {path: (each, stat) for each, found in own for path, stat in found}
        total = sum(stat.st_size for _, stat in files.values())
        gone: set[Path] = set()
        freed = 0
        for path, (each, stat) in sorted(files.items(), key=lambda item: item[1][1].st_mtime):
            age_s = now_s - stat.st_mtime
            if age_s <= limit.seconds and total - freed <= limit.bytes:
                break
            if age_s > self._fresh_s and self._removed(path, each, stat):
                gone.add(path)
                freed += stat.st_size
        if gone:
            log.warning("--keep: deleted %d old files, %.1f MB", len(gone), freed / 1e6)
        return gone

    def _removed(self, path: Path, output: Output, before: os.stat_result) -> bool:
        """Delete a file unless somebody writes it; returns whether it is gone."""
        with contextlib.ExitStack() as stack:
            if path != output.path:  # else this run holds the lock
                try:
                    stack.enter_context(locked(path.with_name(f".{path.name[:200]}.lock")))
                except BlockingIOError:
                    return False
            try:
                now = path.lstat()
                if path == output.writing or (now.st_ino, now.st_mtime_ns) != (
                    before.st_ino,
                    before.st_mtime_ns,
                ):
                    return False
                path.unlink()
                if (beside := output.beside(path)) is not None:
                    beside.unlink()
            except OSError as error:
                log.warning("--keep: %s cannot be deleted: %s", path, error.strerror)
                return False
        return True
