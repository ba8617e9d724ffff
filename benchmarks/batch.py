"""How much of an archive is annotated a second, against the number of cores.

    python -m benchmarks.batch CLIP... [--copies N] [--workers 1 2] [--repeat N]

Each clip is given `--copies` times, as files of their own, to `batch.py`, with its recording
and tables, once with every number of workers, in turns; it may use as many cores as it has
workers where the system lets that be said (Linux). Start-up counts: it is part of the work.
Efficiency is the gain over one worker divided by the number of workers. Writes OUT/batch.png
and prints a table.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import ROOT, BenchmarkError
from errors import StreamError
from program.options import number

SAMPLE = ROOT / "samples" / "sample.mp4"
_FRAMES = re.compile(r"(\d+) frames,")


def frames_per_second(films: Path, out: Path, workers: int, flags: Sequence[str]) -> float:
    """Annotate a folder of films; returns frames a second over the whole command.

    Raises:
        BenchmarkError: a film failed.
    """
    command = [sys.executable, "batch.py", str(films), "--out", str(out)]
    began_s = time.perf_counter()
    done = subprocess.run(
        [*_on_cores(workers), *command, "--workers", str(workers), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began_s
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
        raise BenchmarkError(f"batch.py failed: {said[-1]}; run it by hand to see more")
    return sum(map(int, _FRAMES.findall(done.stdout))) / seconds


def _on_cores(count: int) -> list[str]:
    """What to put before a command so that it runs on `count` of the cores."""
    if not (taskset := shutil.which("taskset")):
        return []
    cores = sorted(os.sched_getaffinity(0))[:count]
    return [taskset, "--cpu-list", ",".join(map(str, cores))]


def table(rates: dict[int, list[float]]) -> str:
    """Workers, frames a second and efficiency, in Markdown; the first row is the measure."""
    workers, alone = next(iter((n, statistics.median(each)) for n, each in rates.items()))
    lines = ["| workers, a core each | frames/s (least-most) | efficiency |", "|---|---|---|"]
    for n, each in rates.items():
        rate = statistics.median(each)
        gain = 100 * rate * workers / (alone * n)
        lines.append(f"| {n} | {rate:.0f} ({min(each):.0f}-{max(each):.0f}) | {gain:.0f} % |")
    return "\n".join(lines)


def plot(rates: dict[int, list[float]], path: Path) -> None:
    """Draw frames a second against workers, and what perfect sharing would give."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    workers = list(rates)
    medians = [statistics.median(each) for each in rates.values()]
    figure, axis = pyplot.subplots(figsize=(5, 3.2))
    ideal = [medians[0] * n / workers[0] for n in workers]
    axis.plot(workers, ideal, "--", color="#adb5bd", label="perfect sharing")
    axis.plot(workers, medians, "o-", color="#0b7285", label="measured")
    axis.set(
        xlabel="workers, a core each", ylabel="frames per second", ylim=(0, None), xticks=workers
    )
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def measure(options: argparse.Namespace, flags: Sequence[str]) -> dict[int, list[float]]:
    """Workers -> frames a second, one for each round."""
    rates: dict[int, list[float]] = {n: [] for n in options.workers}
    with tempfile.TemporaryDirectory() as scratch:
        films = Path(scratch) / "films"
        films.mkdir()
        for clip in options.clips:
            for copy in range(options.copies):
                shutil.copy(clip, films / f"{clip.stem}-{copy}{clip.suffix}")
        for turn in range(options.repeat):
            for workers in options.workers:
                out = Path(scratch) / f"out-{turn}-{workers}"
                rates[workers].append(frames_per_second(films, out, workers, flags))
                shutil.rmtree(out)
    return rates


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    every = range(1, (os.cpu_count() or 1) + 1)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("clips", nargs="*", type=Path, default=[SAMPLE])
    parser.add_argument("--copies", type=number(int, 1), default=4)
    parser.add_argument("--workers", nargs="+", type=number(int, 1), default=list(every))
    parser.add_argument("--repeat", type=number(int, 1), default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "benchmarks", metavar="DIR")
    options, flags = parser.parse_known_args(arguments)
    try:
        if missing := [str(clip) for clip in options.clips if not clip.is_file()]:
            raise BenchmarkError(f"{missing[0]}: no such clip; check the path")
        rates = measure(options, flags)
    except StreamError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    plot(rates, options.out / "batch.png")
    print(table(rates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
