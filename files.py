"""Files to be written: checked before the first frame, replaced whole or not at all."""

import contextlib
import errno
import itertools
import logging
import math
import os
import re
import select
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from errors import SinkError, redact

_QUIET_S = 24 * 3600.0
stderr_is_apart = threading.Event()  # set by `ensure_stderr`

log = logging.getLogger(__name__)


def check_writable(path: str | Path, suffixes: Sequence[str] = (), whole: bool = False) -> Path:
    """Make sure that a file can be made at `path`, without making or changing it.

    Args:
        path: where the file will be; one that exists will be replaced, later.
        suffixes: the endings allowed, such as ".mp4"; none = any.
        whole: whether it must be an ordinary file, not a pipe or a device.

    Returns:
        The path.

    Raises:
        SinkError: wrong ending, no such folder, something else in its place, or no permission.
    """
    if "://" in str(path):
        raise SinkError(f"{redact(path)}: an output is a file; addresses cannot be written to")
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise SinkError(f"{path}: the name must end in {', '.join(suffixes)}")
    try:
        if path.is_dir():
            raise SinkError(f"{path}: is a folder; name a file in it")
        if whole and is_special(path):
            raise SinkError(f"{path}: is a pipe or a device; name an ordinary file")
        real = Path(os.path.realpath(path))  # through links, which may lead nowhere
        if not real.parent.is_dir():
            raise SinkError(f"{path}: there is no folder {real.parent}; make it first")
        _try(real)
    except OSError as error:
        raise sink_error(path, error) from error
    return path


def _try(path: Path) -> None:
    """Raise OSError unless `path` can be written or made; leaves all as it was."""
    if path.is_file():
        with path.open("r+b"):
            pass
    elif path.exists():  # a pipe's reader would take opening and closing it for its end
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable")
    else:  # asking for permissions is not enough: the disk may be read-only
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # a link to itself
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def check_apart(outputs: Iterable[str | Path], inputs: Iterable[Path] = ()) -> None:
    """Make sure that no output is a file that is read, or another output, under any name.

    Raises:
        SinkError: one is; nothing was changed.
    """
    read, written = {_identity(each) for each in inputs}, set()
    for output in map(Path, outputs):
        identity = _identity(output)
        if identity in read:
            raise SinkError(
                f"{output}: is the source itself, or another file that is read; "
                "choose another name for the output"
            )
        if identity in written:
            raise SinkError(f"{output}: two outputs name the same file; give each its own")
        written.add(identity)


def _identity(path: Path) -> object:
    """The same for every name of a file, links too, and before it exists."""
    try:
        stat = path.stat()
    except OSError:
        return os.path.realpath(path)
    return stat.st_dev, stat.st_ino


def check_ours(path: Path, is_ours: Callable[[Path], bool]) -> bool:
    """Make sure that replacing `path` loses nothing that this program did not make.

    Args:
        path: of an output.
        is_ours: whether a file that is not empty was made by this program.

    Returns:
        Whether there is something to replace.

    Raises:
        SinkError: there is a file of somebody else.
    """
    if not is_taken(path):
        return False
    if not is_ours(path):
        raise SinkError(
            f"{path}: is there already, and this program did not make it; "
            "move it away or choose another name"
        )
    return True


def is_taken(path: Path) -> bool:
    """Whether there is a file with something in it; pipes and devices are none."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def named_after(path: Path, began: datetime) -> Path:
    """`path` with a time behind its name, and a number where that is taken."""
    stem = f"{path.stem}-{began:%Y%m%d-%H%M%S}"
    stems = itertools.chain([stem], (f"{stem}-{again}" for again in itertools.count(2)))
    return next(each for each in map(path.with_stem, stems) if not each.exists())


def begins_with(path: Path, pattern: bytes) -> bool:
    """Whether a file begins with what the regular expression matches."""
    try:
        with path.open("rb") as file:
            return re.match(pattern, file.read(1000)) is not None
    except OSError:
        return False


def ends_with_line(path: Path) -> bool:
    """Whether a text file ends with a whole line, or is empty or missing."""
    if not is_taken(path):
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, for which the file `path` is made and removed.

    The system releases it when the process dies. Nothing is held where the system or the
    share has no such locks, or the file cannot be made.

    Raises:
        BlockingIOError: another process, or another part of this one, holds it.
    """
    try:
        file = _lock(path)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        yield
        return
    try:
        yield
    finally:
        with file, contextlib.suppress(OSError):
            path.unlink()


def _lock(path: Path) -> BinaryIO:
    import fcntl

    while True:
        with contextlib.ExitStack() as stack:
            # Without waiting for a reader, should somebody have put a pipe there.
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
            file = stack.enter_context(os.fdopen(number, "ab"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.pop_all()
                    return file
            # the one who held it has just removed it: take a new one


def _lock_for(stack: contextlib.ExitStack, path: Path) -> None:
    """Lock a file itself, as long as `stack` lives; nothing where that is impossible."""
    try:
        import fcntl

        file = stack.enter_context(path.open("rb"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        pass


@contextlib.contextmanager
def sole_writer(paths: Iterable[Path]) -> Iterator[None]:
    """Keep a second run from writing the same files.

    Raises:
        SinkError: another run writes one of them.
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            if is_special(path):
                continue  # it may have several writers
            real = Path(os.path.realpath(path))
            try:
                stack.enter_context(locked(real.with_name(f".{real.name[:200]}.lock")))
                _lock_for(stack, real)  # it may have other names
            except BlockingIOError:
                raise SinkError(
                    f"{path}: another run writes it; wait for its end or choose another name"
                ) from None
        yield


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all; one that exists is replaced at the end.

    Links stay, and what they lead to is replaced; who may read a file does not change.

    Yields:
        Where to write it: beside the file, with the same suffix. It takes the place of the file
        when the block ends; if the block raises, it is removed and the file stays as it was.

    Raises:
        OSError: it cannot be replaced.
    """
    real = Path(os.path.realpath(path))
    beside = real.with_name(f".{real.stem[:200]}.{os.getpid()}{real.suffix}")
    try:
        yield beside
        with contextlib.suppress(FileNotFoundError):
            beside.chmod(stat.S_IMODE(real.stat().st_mode))
        beside.replace(real)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all; one that exists is replaced.

    Raises:
        OSError: it cannot be written; what there was before is still there.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextlib.contextmanager
def created_with(mode: int) -> Iterator[None]:
    """Have every file that this process and its children make be of `mode`, such as 0o640.

    Folders can be entered by those who may read. Files that exist and are written again keep
    what they have.
    """
    before = os.umask(0o777 & ~(mode | (mode & 0o444) >> 2))
    try:
        yield
    finally:
        os.umask(before)


def write_lines(file: FileIO, lines: bytes) -> None:
    """Write whole lines at the file's place, unbuffered.

    Raises:
        OSError: there is no room for all; those that fit were written, none of them in part.
    """
    done, start = 0, file.tell() if file.seekable() else 0
    try:
        while done < len(lines):
            written = file.write(lines[done:])
            if written is None:  # a full pipe that does not wait by itself
                select.select([], [file], [])
            done += written or 0
    except OSError:
        with contextlib.suppress(OSError):
            end = start + lines.rfind(b"\n", 0, done) + 1
            file.truncate(end)
            file.seek(end)
        raise


class Outage:
    """Logs that a file cannot be written: at most once a day.

    Args:
        consequence: what follows, for the message.
        clock: gives seconds.

    Attributes:
        failed: why it could not be written the last time; None = it always could.
    """

    def __init__(self, consequence: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.failed: SinkError | None = None
        self._consequence, self._clock = consequence, clock
        self._warned_s = -math.inf

    def note(self, error: SinkError) -> None:
        """Take note of a failure."""
        now_s, self.failed = self._clock(), error
        if now_s - self._warned_s >= _QUIET_S:
            self._warned_s = now_s
            log.warning("%s; %s", error, self._consequence)


def is_special(path: Path) -> bool:
    """Whether it is there and no ordinary file: a pipe or a device."""
    with contextlib.suppress(OSError):  # the name is too long, for one
        return path.exists() and not path.is_file()
    return False


def cause_of(error: Exception) -> str:
    """Return in a few words why something could not be written, without secrets."""
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number)
    # FFmpeg has numbers of its own
    return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def sink_error(path: str | Path, error: Exception) -> SinkError:
    """Return the SinkError that says in one line why `path` cannot be written."""
    return SinkError(f"{path}: cannot be written: {cause_of(error)}")


def let_go_of_stdout() -> None:
    """Discard what is left for standard output, after it could not be written.

    It would fail again when the program ends; Python's documentation of SIGPIPE says so.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_stderr() -> None:
    """Give Python a standard error of its own, beside descriptor 2, to which C libraries write.

    So these can be silenced without losing a line of ours: only programs do so, since descriptor 2
    belongs to whoever uses this as a library. A process that was started without
    (`2>&-`) gets one that goes nowhere: else the next file that is opened takes its number, and
    is written to by mistake.
    """
    given = sys.stderr
    if given is sys.__stderr__ and given is not None and given.fileno() == 2:
        own = os.dup(2)
        sys.stderr = open(own, "w", 1, given.encoding, "backslashreplace")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  for as long as the process
    stderr_is_apart.set()
