"""Result files, written whole or not at all, and the versions they were made with."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engines.tensorflow_engine import start_tensorflow
from errors import SinkError
from files import replacing

_ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it replaces `path` at the end.

    Raises:
        SinkError: it cannot be written, as on a full disk; an existing file stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            yield beside
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise SinkError(
            f"cannot write {path}: {reason}; free space or choose another --out"
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file; see `writing`."""
    with writing(path) as beside:
        beside.write_bytes(data)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON; see `writing`."""
    write_bytes(path, (json.dumps(record, indent=1) + "\n").encode())


def write_tfrecord(path: Path, records: Iterable[bytes]) -> None:
    """Write serialized messages as a TFRecord file; see `writing`. Needs TensorFlow."""
    tf = start_tensorflow()
    with writing(path) as beside:
        try:
            with tf.io.TFRecordWriter(str(beside)) as file:
                for record in records:
                    file.write(record)
        except tf.errors.OpError as error:
            raise OSError(error.message) from error


def packages(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the installed ones among these packages, by name."""
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of `packages`."""
    return {"python": platform.python_version()} | packages(names)


def git(*arguments: str) -> str:
    """Return git's output for this program's working copy; "" without one or without git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def commit() -> dict[str, str]:
    """Return this program's git commit, with "-dirty" if files differ; empty if unknown."""
    found = git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    return {"commit": found} if found else {}
