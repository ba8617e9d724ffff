"""Make the environments of the alternatives, below `~/.cache/faces-benchmarks`.

    python -m benchmarks.alternatives.setup [NAME ...]

One environment per file of `requirements/`; one that exists and matches its file is kept.
Together they take about 8 GB, mostly TensorFlow and PyTorch.
"""

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.common import BenchmarkError, cache_dir, command, flag, output_of

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
NAMES = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))
COMMAND = "python -m benchmarks.alternatives.setup"


def requirements(name: str) -> Path:
    """Return the requirements file of an environment."""
    return REQUIREMENTS / f"{name}.txt"


def interpreter(name: str) -> Path:
    """Return the Python of an environment; BenchmarkError if it is missing or outdated."""
    folder = cache_dir("environments") / name
    if not _is_ready(name, folder):
        raise BenchmarkError(
            f"the environment of {name} is not made; run: {COMMAND} {name} (or leave it out)"
        )
    return folder / "bin" / "python"


def make(name: str) -> None:
    """Make an environment, replacing one that is not ready; BenchmarkError if pip fails."""
    folder = cache_dir("environments") / name
    if _is_ready(name, folder):
        print(f"{name}: is ready")
        return
    print(f"{name}: installing ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    try:
        output_of([sys.executable, "-m", "venv", str(folder)])
        output_of([*pip, "--disable-pip-version-check", "-r", str(requirements(name))])
    except BenchmarkError as error:
        raise BenchmarkError(f"{name} cannot be installed: {error}; check the network") from error
    _marker(folder).write_bytes(requirements(name).read_bytes())


def _marker(folder: Path) -> Path:
    return folder / "requirements.txt"


def _is_ready(name: str, folder: Path) -> bool:
    marker = _marker(folder)
    return marker.is_file() and marker.read_bytes() == requirements(name).read_bytes()


@command(
    "alternatives.setup",
    __doc__,
    flag("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}"),
)
def main(options: argparse.Namespace) -> None:
    """Make the environments of these names, or all."""
    if unknown := sorted(set(options.names) - set(NAMES)):
        raise BenchmarkError(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    for name in options.names or NAMES:
        make(name)


if __name__ == "__main__":
    raise SystemExit(main())
