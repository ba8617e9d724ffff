"""Tools for weights files, and how their commands end."""

import sys
from collections.abc import Callable
from pathlib import Path

from errors import StreamError, WeightsError
from estimators.weights import file_sha256


def check_sha256(path: Path, sha256: str, otherwise: str) -> None:
    """Raise `WeightsError`, `PATH is not` and `otherwise`, unless the file has the hash."""
    try:
        same = file_sha256(path) == sha256
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not same:
        raise WeightsError(f"{path} is not {otherwise}")


def run_tool(name: str, work: Callable[[], object]) -> int:
    """Do a tool's work, report an error in one line on stderr; return the exit code."""
    try:
        work()
    except StreamError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0
