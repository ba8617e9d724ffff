"""The report without stream.py: `python -m doctor`, for when not even that starts."""

import argparse
import sys

from doctor import main_report


def main() -> int:
    """Command line; returns the exit code, 0 or 2."""
    parser = argparse.ArgumentParser(prog="python -m doctor", description=__doc__)
    parser.add_argument("--src", action="append", help="as for stream.py (default: webcam 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(
        output=None, events=None, people=None, stills=".", no_window=False, threads=0,
        detector="mtcnn",
        estimator="mobilenetv2", weights=None, engine="auto", device="auto",
    )  # fmt: skip
    options = parser.parse_args()
    options.src = [_address(text) for text in options.src or ["0"]]
    return main_report(options)


def _address(source: str) -> str:
    """What env:NAME stands for; as it is where stream.py, which knows, cannot be imported."""
    try:
        from program.endpoints import from_environment

        return from_environment(source)
    except (ImportError, KeyError):
        return source


if __name__ == "__main__":
    sys.exit(main())
