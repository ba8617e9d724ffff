"""Frames of an archive annotated per second, against the number of cores.

    python -m benchmarks.batch CLIP... [--copies N] [--workers 1 2] [--repeat N]

`batch.py` gets `--copies` copies of each clip, and writes its recording and tables, once with
every number of workers, in turns. On Linux it may use as many cores as workers. Start-up counts:
it is part of the work. Efficiency is the gain over one worker divided by the number of workers.
Writes OUT/batch.png and prints a table. Other flags are passed on to `batch.py`.
"""

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common
from benchmarks.common import flag
from program.options import number

_FRAMES = re.compile(r"(\d+) frames,")


def frames_per_second(films: Path, out: Path, workers: int, flags: Sequence[str]) -> float:
    """Annotate a folder of films; return frames per second over the whole command."""
    command = [sys.executable, "batch.py", str(films), "--out", str(out)]
    began_s = time.perf_counter()
    printed = common.output_of([*_on_cores(workers), *command, "--workers", str(workers), *flags])
    return sum(map(int, _FRAMES.findall(printed))) / (time.perf_counter() - began_s)


def _on_cores(count: int) -> list[str]:
    """Return the prefix of a command that limits it to `count` cores."""
    if not (taskset := shutil.which("taskset")):
        return []
    cores = sorted(os.sched_getaffinity(0))[:count]
    return [taskset, "--cpu-list", ",".join(map(str, cores))]


def scaling_table(rates: dict[int, list[float]]) -> str:
    """Return workers, frames per second and efficiency relative to the first row, as Markdown."""
    workers, alone = next((n, statistics.median(each)) for n, each in rates.items())
    rows = []
    for n, each in rates.items():
        rate = statistics.median(each)
        gain = 100 * rate * workers / (alone * n)
        rows.append((n, f"{rate:.0f} ({min(each):.0f}-{max(each):.0f})", f"{gain:.0f} %"))
    return common.table(["workers, one core each", "frames/s (min-max)", "efficiency"], rows)


def plot(rates: dict[int, list[float]], path: Path) -> None:
    """Draw frames per second against workers, next to perfect scaling."""
    workers = list(rates)
    medians = [statistics.median(each) for each in rates.values()]
    ideal = [medians[0] * n / workers[0] for n in workers]
    with common.chart(path, 1, (5, 3.2)) as (figure, (axis,)):
        axis.plot(workers, ideal, "--", color=common.OTHERS, label="perfect scaling")
        axis.plot(workers, medians, "o-", color=common.OURS, label="measured")
        axis.set(xlabel="workers, one core each", ylabel="frames per second")
        axis.set(ylim=(0, None), xticks=workers)
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()


def measure(options: argparse.Namespace) -> dict[int, list[float]]:
    """Return workers -> frames per second, one for each round."""
    rates: dict[int, list[float]] = {n: [] for n in options.workers}
    with tempfile.TemporaryDirectory() as scratch:
        films = Path(scratch) / "films"
        films.mkdir()
        for clip in common.existing(options.clips):
            for copy in range(options.copies):
                shutil.copy(clip, films / f"{clip.stem}-{copy}{clip.suffix}")
        for turn in range(options.repeat):
            for workers in options.workers:
                out = Path(scratch) / f"out-{turn}-{workers}"
                rates[workers].append(frames_per_second(films, out, workers, options.flags))
                shutil.rmtree(out)
    return rates


@common.command(
    "batch",
    __doc__,
    flag("clips", nargs="*", type=Path, default=[common.SAMPLE]),
    flag("--copies", type=number(int, 1), default=4),
    flag(
        "--workers",
        nargs="+",
        type=number(int, 1),
        default=list(range(1, (os.cpu_count() or 1) + 1)),
    ),
    common.REPEAT,
    common.OUT,
    passes_on=True,
)
def main(options: argparse.Namespace) -> None:
    """Measure, draw and print."""
    rates = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    plot(rates, options.out / "batch.png")
    print(scaling_table(rates))


if __name__ == "__main__":
    raise SystemExit(main())
