"""The report without stream.py: `python -m doctor`, for when not even that starts."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from doctor import main_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code, 0 or 2."""
    return main_report(parse(arguments))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of stream.py with its defaults, and `json`; less where packages are missing."""
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--src", action="append", help="as for stream.py (default: webcam 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    try:
        from program.endpoints import OutputOptions, from_environment
        from program.options import ModelOptions
    except ImportError:
        return argparse.Namespace(src=given.src, json=given.json, detector="mtcnn")
    defaults = asdict(ModelOptions()) | asdict(OutputOptions())
    options = argparse.Namespace(**defaults | {"json": given.json})
    for i, source in enumerate(given.src or ()):
        try:
            given.src[i] = from_environment(source)
        except KeyError:  # tried as it is, so that the report names it
            continue
    options.src = given.src or ["0"]
    return options


if __name__ == "__main__":
    sys.exit(main())
