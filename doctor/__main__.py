"""The report without stream.py: `python -m doctor`, for when stream.py does not start."""

import argparse
import contextlib
import sys
from collections.abc import Sequence

from doctor import main_report
from errors import SourceError
from version import VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code, 0 or 2."""
    return main_report(parse(arguments))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of stream.py with its defaults, and `json`; fewer where packages are missing."""
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--src", action="append", help="as for stream.py (default: webcam 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    given = parser.parse_args(arguments)
    try:
        from program.cameras import USUAL_SOURCE, SourceOptions, find_cameras
        from program.endpoints import OutputOptions
        from program.options import USUAL_TRACKING, MemoryOptions, ModelOptions, add_flags
    except ImportError:
        return argparse.Namespace(src=given.src, json=given.json, detector="mtcnn", remember=None)
    flags = argparse.ArgumentParser()
    for kind in (SourceOptions, ModelOptions, MemoryOptions, OutputOptions):
        add_flags(flags, kind)
    options = flags.parse_args([])
    options.src, options.json = given.src or ["0"], given.json
    for i, source in enumerate(options.src):
        with contextlib.suppress(SourceError):  # tried as it is, so that the report names it
            asked = [(source, USUAL_SOURCE, USUAL_TRACKING)]
            options.src[i] = find_cameras(asked)[0].address
    return options


if __name__ == "__main__":
    sys.exit(main())
