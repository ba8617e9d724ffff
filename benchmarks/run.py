"""This program and its alternatives, on the same clips and machine.

    python -m benchmarks.alternatives.setup                 once: makes the environments
    python -m benchmarks.run [CLIP...] [--detect-every auto 1] [--repeat 3]

Every system plays every clip once per round, in turns (A B C A B C), each in its own process,
timed from outside (`measure`); figures are medians of the rounds. Frames per second and CPU time
count from the first frame on; start-up is reported separately. No system draws or shows frames
unless its title says so. The alternatives play `--alternative-frames` frames, since the slowest
take two seconds for one; faces found are compared on those frames. `reference` decides which
faces exist; this program shows a face from its third frame on, which counts against it.

Writes OUT/table.md and OUT/plot.png, and adds a line to OUT/history.jsonl with all rounds, the
commit, the versions and the processor. `--again` redraws table and plot from the last line of
that file without measuring.
"""

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import common, comparison
from benchmarks.agreed_faces import RULES, Reference, judge, read
from benchmarks.common import cache_dir, flag, python
from benchmarks.comparison import ClipResult, Row
from benchmarks.measure import Run
from benchmarks.systems import ALTERNATIVES, SMALLEST, System, alternatives, made_once, ours
from program.options import number

_say = partial(common.say, "benchmarks.run")


def reference_of(clip: Path, frames: int) -> Reference:
    """Return the reference of a clip, made once."""
    path = cache_dir("references") / f"{clip.stem}-{common.key_of(clip, frames, RULES)}.json"
    if not path.exists():
        _say(f"{clip.stem}: agreeing on its faces, once; takes a minute or two")
    made_once(path, python("benchmarks.reference", clip, "--frames", frames))
    return read(path)


def compare(
    clips: Sequence[Path], systems: Sequence[System], repeat: int
) -> dict[Path, dict[str, list[Run]]]:
    """Return clip -> system -> its runs, gathered round by round."""
    runs: dict[Path, dict[str, list[Run]]] = {
        clip: {system.name: [] for system in systems} for clip in clips
    }
    for turn in range(repeat):
        for clip in clips:
            for system in systems:
                run = system.run(clip)
                runs[clip][system.name].append(run)
                _say(
                    f"round {turn + 1}/{repeat}, {clip.stem}, {system.name}: "
                    f"{comparison.figures(run.fps)} frames/s"
                )
    return runs


def summarize(
    clip: Path, systems: Sequence[System], runs: dict[str, list[Run]], reference: Reference
) -> ClipResult:
    """Return the rows of one clip; boxes are compared on the first round, which all repeat."""
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


def measure_all(options: argparse.Namespace) -> list[ClipResult]:
    """Run everything that was requested."""
    clips = common.existing(options.clips)
    systems = ours(options.detect_every, options.frames)
    frames = min(options.alternative_frames, options.frames)
    systems += alternatives(options.alternatives, frames)
    references = {clip: reference_of(clip, options.frames) for clip in clips}
    runs = compare(clips, systems, options.repeat)
    results = [summarize(clip, systems, runs[clip], references[clip]) for clip in clips]
    if not options.no_stages:
        _say("stages")
        flags = "--json", "--frames", options.frames, "--repeat", options.repeat
        spent_ms = json.loads(common.output_of(python("benchmarks.stages", *clips, *flags)))
        for clip, result in zip(clips, results, strict=True):
            result.stages_ms = spent_ms[str(clip)]
    return results


def last_results(history: Path) -> list[ClipResult]:
    """Return the results of a history's last line; BenchmarkError if there is none."""
    if not history.is_file():
        raise common.BenchmarkError(f"{history}: nothing was measured yet; run without --again")
    return comparison.from_record(json.loads(history.read_text().splitlines()[-1]))


NAMES = [name for name, *_ in ALTERNATIVES]


@common.command(
    "run",
    __doc__,
    flag("clips", nargs="*", type=Path, default=[common.SAMPLE], metavar="CLIP"),
    common.REPEAT,
    flag("--frames", type=number(int, 2), default=600, help="of a clip at most"),
    flag("--alternative-frames", type=number(int, 2), default=30, metavar="N"),
    flag("--detect-every", nargs="+", default=["auto", "1"], metavar="N|auto"),
    flag(
        "--alternatives",
        nargs="*",
        choices=NAMES,
        default=NAMES,
        metavar="NAME",
        help=f"some of {', '.join(NAMES)} (default: all; no NAME: none)",
    ),
    flag("--no-stages", action="store_true", help="leave the stages out"),
    common.OUT,
    flag("--again", action="store_true", help="only redraw the last results"),
)
def main(options: argparse.Namespace) -> None:
    """Measure, then write and print the results."""
    history = options.out / "history.jsonl"
    load_before = os.getloadavg()
    results = last_results(history) if options.again else measure_all(options)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.again:
        comparison.append(history, comparison.record(results, vars(options), load_before))
    table = comparison.markdown(results)
    (options.out / "table.md").write_text(table, encoding="utf-8")
    plotted = [f"ours_{value}" for value in options.detect_every]
    plotted += [f"{plotted[-1]}_{SMALLEST}px", *options.alternatives]
    comparison.plot(results, options.out / "plot.png", plotted)
    print(table)
    _say(f"written: {options.out}/table.md, plot.png, history.jsonl")


if __name__ == "__main__":
    raise SystemExit(main())
