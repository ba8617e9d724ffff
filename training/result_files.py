"""Files of results: written whole or not at all, and the versions they were made with."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
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


_ROOT = Path(__file__).resolve().parent.parent


def packages(names: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed, by name."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git(*arguments: str) -> str:
    """What git says of this program's working copy; "" where it is none, or git is missing."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
