"""This program and what a user might take instead, on the same clips and machine.

    python -m benchmarks.alternatives.setup                 once: makes the environments
    python -m benchmarks.run [CLIP...] [--detect-every auto 1] [--repeat 3]

Every system plays every clip once a round, in turns (A B C A B C), each in a process of its
own that is clocked from outside (`measure`); figures are medians of the rounds. Frames per
second and CPU time are counted from the first frame on, start-up is told apart. Nobody draws
or shows a picture unless it says so. The alternatives play `--alternative-frames` frames,
since the slowest take two seconds for one; faces found are compared on those frames. Which
faces there are is told by `reference`; this program shows a face from its third frame on,
which counts against it.

Writes OUT/table.md and OUT/plot.png, and adds a line to OUT/history.jsonl with all rounds,
the commit, the versions and the processor. `--again` makes table and plot of the last line
of that file without measuring anything.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.cache import cache_dir, key_of
from benchmarks.faces import RULES, Reference, judge, read
from benchmarks.measure import ROOT, BenchmarkError, Run
from benchmarks.report import ClipResult, Row
from benchmarks.systems import ALTERNATIVES, SMALLEST, System, alternatives, once, ours
from errors import StreamError
from program.options import OneLineParser, number

SAMPLE = ROOT / "samples" / "sample.mp4"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = OneLineParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clips", nargs="*", type=Path, default=[SAMPLE], metavar="CLIP")
    parser.add_argument("--repeat", type=number(int, 1), default=3, help="rounds (default: 3)")
    parser.add_argument("--frames", type=number(int, 2), default=600, help="of a clip at most")
    parser.add_argument("--alternative-frames", type=number(int, 2), default=30, metavar="N")
    parser.add_argument("--detect-every", nargs="+", default=["auto", "1"], metavar="N|auto")
    names = [name for name, *_ in ALTERNATIVES]
    parser.add_argument(
        "--alternatives",
        nargs="*",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"out of {', '.join(names)} (default: all; no NAME: none)",
    )
    parser.add_argument("--no-stages", action="store_true", help="leave the stages out")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "benchmarks", metavar="DIR")
    parser.add_argument("--again", action="store_true", help="only draw the last results anew")
    return parser.parse_args(arguments)


def reference_of(clip: Path, frames: int) -> Reference:
    """The reference of a clip, made once."""
    path = cache_dir("references") / f"{clip.stem}-{key_of(clip, frames, RULES)}.json"
    if not path.exists():
        _tell(f"{clip.stem}: agreeing on its faces, once; takes a minute or two")
    once("benchmarks.reference", [str(clip)], frames, path)
    return read(path)


def compare(
    clips: Sequence[Path], systems: Sequence[System], repeat: int
) -> dict[Path, dict[str, list[Run]]]:
    """Clip -> system -> its runs, gathered round by round."""
    runs: dict[Path, dict[str, list[Run]]] = {
        clip: {system.name: [] for system in systems} for clip in clips
    }
    for turn in range(repeat):
        for clip in clips:
            for system in systems:
                run = system.run(clip)
                runs[clip][system.name].append(run)
                _tell(
                    f"round {turn + 1}/{repeat}, {clip.stem}, {system.name}: "
                    f"{report.figures(run.fps)} frames/s"
                )
    return runs


def summarize(
    clip: Path, systems: Sequence[System], runs: dict[str, list[Run]], reference: Reference
) -> ClipResult:
    """The rows of one clip; boxes are judged on the first round, which all rounds repeat."""
    common = min(len(each[0].boxes) for each in runs.values())
    rows = []
    for system in systems:
        mine = runs[system.name]
        scale = reference.size_wh[1] / system.lines if system.lines else 1.0
        boxes = [scale * frame for frame in mine[0].boxes]
        rows.append(
            Row(
                system.name,
                system.title,
                system.ours,
                len(boxes),
                [run.fps for run in mine],
                [run.cpu_ms for run in mine],
                [run.start_s for run in mine],
                [run.peak_mb for run in mine],
                judge(reference, boxes[:common]),
                judge(reference, boxes),
            )
        )
    return ClipResult(clip.stem, reference.size_wh, rows)


def stages(clips: Sequence[Path], frames: int, repeat: int) -> dict[str, dict[str, float]]:
    """Clip -> stage -> milliseconds, measured by `stages` in a process of its own."""
    _tell("stages")
    command = [sys.executable, "-m", "benchmarks.stages", *map(str, clips), "--json"]
    command += ["--frames", str(frames), "--repeat", str(repeat)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def measure_all(options: argparse.Namespace) -> list[ClipResult]:
    """Run everything that was asked for.

    Raises:
        StreamError: a clip or an environment is missing, or a run failed.
    """
    clips = [clip.resolve() for clip in options.clips]
    for clip in clips:
        if not clip.is_file():
            raise BenchmarkError(f"{clip}: no such clip; check the path")
    systems = ours(options.detect_every, options.frames)
    frames = min(options.alternative_frames, options.frames)
    systems += alternatives(options.alternatives, frames)
    references = {clip: reference_of(clip, options.frames) for clip in clips}
    runs = compare(clips, systems, options.repeat)
    results = [summarize(clip, systems, runs[clip], references[clip]) for clip in clips]
    if not options.no_stages:
        spent_ms = stages(clips, options.frames, options.repeat)
        for clip, result in zip(clips, results, strict=True):
            result.stages_ms = spent_ms[str(clip)]
    return results


def last_results(history: Path) -> list[ClipResult]:
    """The results of the last line of a history.

    Raises:
        BenchmarkError: there is none.
    """
    if not history.is_file():
        raise BenchmarkError(f"{history}: nothing was measured yet; run without --again")
    return report.from_record(json.loads(history.read_text().splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parse_arguments(arguments)
    history = options.out / "history.jsonl"
    asked: dict[str, Any] = {"load": os.getloadavg()} | vars(options)
    try:
        results = last_results(history) if options.again else measure_all(options)
    except StreamError as error:
        _tell(str(error))
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.again:
        report.append(history, report.record(results, asked))
    table = report.markdown(results)
    (options.out / "table.md").write_text(table, encoding="utf-8")
    plotted = [f"ours_{value}" for value in options.detect_every]
    plotted += [f"{plotted[-1]}_{SMALLEST}px", *options.alternatives]
    report.plot(results, options.out / "plot.png", plotted)
    print(table)
    _tell(f"written: {options.out}/table.md, plot.png, history.jsonl")
    return 0


def _tell(text: str) -> None:
    print(f"benchmarks.run: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
