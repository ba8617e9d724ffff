"""Files that appear when they are complete, and one line where the disk is full."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from errors import SinkError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` at the end.

    Raises:
        SinkError: it cannot be written, as on a full disk; what was there before stays.
    """
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise SinkError(f"cannot write {path}: {reason}; free space or choose another --out") from (
            error
        )
    finally:
        with contextlib.suppress(OSError):  # there may not even be a folder
            part.unlink()
