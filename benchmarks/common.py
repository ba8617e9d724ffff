"""Shared by the benchmarks: command lines, child processes, timing, tables, charts, a cache."""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from errors import StreamError
from program.options import OneLineParser, number
from sources.open import open_source
from structures import Frame

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "sample.mp4"
Key = TypeVar("Key")
OURS, OTHERS = "#0b7285", "#adb5bd"  # chart colours of this program and of all others


class BenchmarkError(StreamError):
    """Something to measure is missing or failed."""


Flag = Callable[[argparse.ArgumentParser], object]


def flag(*names: str, **settings: Any) -> Flag:
    """Return an argument for `command`; see `ArgumentParser.add_argument`."""
    return lambda parser: parser.add_argument(*names, **settings)


OUT = flag("--out", type=Path, default=ROOT / "out" / "benchmarks", metavar="DIR")
REPEAT = flag("--repeat", type=number(int, 1), default=3, metavar="N", help="rounds (default: 3)")


def command(
    name: str, doc: str | None, *flags: Flag, passes_on: bool = False
) -> Callable[[Callable[[argparse.Namespace], None]], Callable[..., int]]:
    """Turn a function of the options into the `main` of `python -m benchmarks.NAME`.

    `main` takes a list of arguments, by default the process', and returns the exit code. A
    `StreamError` becomes one line on standard error and exit code 2.

    Args:
        name: of the module in benchmarks/.
        doc: the module's docstring; its help.
        flags: its arguments.
        passes_on: whether unknown flags are for another program, as `options.flags`.
    """
    parser = OneLineParser(
        prog=f"python -m benchmarks.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for each in flags:
        each(parser)

    def wrap(work: Callable[[argparse.Namespace], None]) -> Callable[..., int]:
        def main(arguments: Sequence[str] | None = None) -> int:
            options, unknown = parser.parse_known_args(arguments)
            if passes_on:
                options.flags = unknown
            elif unknown:
                parser.error(f"unrecognized arguments: {' '.join(unknown)}")
            try:
                work(options)
            except StreamError as error:
                say(name, str(error))
                return 2
            except ModuleNotFoundError as error:
                say(name, f"{error}; run `pip install -r requirements-dev.txt`")
                return 2
            return 0

        return main

    return wrap


def say(who: str, text: str) -> None:
    """Write a line to standard error."""
    print(f"{who}: {text}", file=sys.stderr)


def existing(clips: Iterable[Path]) -> list[Path]:
    """Return the absolute paths of clips; BenchmarkError if one does not exist."""
    found = [clip.resolve() for clip in clips]
    for clip in found:
        if not clip.is_file():
            raise BenchmarkError(f"{clip}: no such clip; check the path")
    return found


def frames_of(clip: str | Path, limit: int | None = None) -> Iterator[Frame]:
    """Yield the first `limit` frames of a clip; None = all."""
    with closing(open_source(str(clip))) as source:
        yield from islice(source, limit)


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this project."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def stream_command(src: object, *flags: object) -> list[str]:
    """Return the command that runs this program without a window."""
    return [sys.executable, "stream.py", "--src", str(src), "--no-window", *map(str, flags)]


def output_of(command: Sequence[str], **environment: str) -> str:
    """Run a command in the project's folder; return its standard output.

    Raises:
        BenchmarkError: it failed; the message has its last line.
    """
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = last_line(done.stdout + done.stderr)
        raise BenchmarkError(f"{last} (from {' '.join(command)}); run it by hand to see more")
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def medians_ms(
    calls: Mapping[Key, Callable[[], object]], repeat: int, warm: int
) -> dict[Key, float]:
    """Return the median time of each call in milliseconds.

    The calls take turns, so that a machine that slows down slows all of them. The first
    `warm` of `repeat + warm` rounds are not counted.
    """
    times: dict[Key, list[float]] = {name: [] for name in calls}
    for turn in range(repeat + warm):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= warm:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def row(*cells: object) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def table(header: Sequence[object], rows: Iterable[Sequence[object]] = ()) -> str:
    """Return a Markdown table."""
    return "\n".join([row(*header), "|---" * len(header) + "|", *(row(*cells) for cells in rows)])


def stage_table(stages_ms: Mapping[str, Mapping[str, float]]) -> str:
    """Return each stage's ms per frame, by clip, as Markdown."""
    names = list(next(iter(stages_ms.values())))
    rows = [[clip, *(f"{ms[name]:.1f}" for name in names)] for clip, ms in stages_ms.items()]
    return table(["stage, ms per frame", *names], rows)


@contextmanager
def chart(path: Path, columns: int, size_inches: tuple[float, float]) -> Iterator[tuple[Any, Any]]:
    """Yield a figure with `columns` panels, written to `path` (.png or .svg) at the end."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    settings = {"font.family": "DejaVu Sans", "font.size": 10, "svg.hashsalt": "faces"}
    with mpl.rc_context(settings):
        figure, axes = pyplot.subplots(
            1, columns, figsize=size_inches, sharey=True, squeeze=False, facecolor="white"
        )
        yield figure, axes[0]
        figure.savefig(path, dpi=160, metadata=None)
        pyplot.close(figure)


def cache_dir(part: str) -> Path:
    """Return a cache folder, made if missing, in `$XDG_CACHE_HOME` or `~/.cache`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "faces-benchmarks" / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key_of(*parts: Path | str | int) -> str:
    """Return a short name that changes with the bytes of any file or any other part."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else str(part).encode())
    return digest.hexdigest()[:16]
