"""Make the environments of the alternatives, below `~/.cache/faces-benchmarks`.

    python -m benchmarks.alternatives.setup [NAME ...]

One environment for each file of `requirements/`; one that is there already and matches
its file is left as it is. Together they take about 8 GB, mostly TensorFlow and PyTorch.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cache import cache_dir
from errors import StreamError

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
NAMES = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))
COMMAND = "python -m benchmarks.alternatives.setup"


class AlternativeError(StreamError):
    """An environment is missing or cannot be made."""


def requirements(name: str) -> Path:
    """The file that says what is in an environment."""
    return REQUIREMENTS / f"{name}.txt"


def interpreter(name: str) -> Path:
    """The Python of a ready environment.

    Raises:
        AlternativeError: it has not been made, or not from the requirements of today.
    """
    folder = cache_dir("environments") / name
    if not _is_ready(name, folder):
        raise AlternativeError(
            f"the environment of {name} is not made; run: {COMMAND} {name} (or leave it out)"
        )
    return folder / "bin" / "python"


def make(name: str) -> None:
    """Make an environment anew unless it is ready.

    Raises:
        AlternativeError: pip could not install what it takes.
    """
    folder = cache_dir("environments") / name
    if _is_ready(name, folder):
        print(f"{name}: is ready")
        return
    print(f"{name}: installing ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "-r", str(requirements(name))],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.strip()]
            why = reasons[-1].strip() if reasons else f"exit code {done.returncode}"
            raise AlternativeError(f"{name} cannot be installed ({why}); check the network")
    _marker(folder).write_bytes(requirements(name).read_bytes())


def _marker(folder: Path) -> Path:
    return folder / "requirements.txt"


def _is_ready(name: str, folder: Path) -> bool:
    marker = _marker(folder)
    return marker.is_file() and marker.read_bytes() == requirements(name).read_bytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"out of {', '.join(NAMES)}")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(NAMES)):
        print(f"setup: unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    try:
        for name in options.names or NAMES:
            make(name)
    except StreamError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
