"""Tools for weights files, and how their commands end."""

import sys
from collections.abc import Callable

from errors import StreamError


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
