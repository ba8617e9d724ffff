"""How well and how fast faces and people are followed, beside other trackers.

    python -m benchmarks.tracking [--only PART...] [--others NAME...] [--json FILE] [FLAG...]

Plays, with the program's own loop and the flags of stream.py:

- `scenes`: scripted scenes of faces with known people (`--scenes`), from pictures to labels;
- `clip`: a real film whose cuts are known (`--clip`, `--cuts`), but not its people;
- `pedestrians`: TUD-Campus with its real detections, and three sequences of MOT17 whose
  detections are SIMULATED from their truth (`--data`, see `tracking_clips`).

"as shown" is what a viewer sees, "matched only" leaves out boxes without a detection in their
frame. The others are of the package `trackers`, in an environment of their own (`python -m
benchmarks.alternatives.setup trackers`); they get this program's detections of every frame, all
of the whole image, and show only boxes found in the frame. `speed` measures updates a second of
processor time, which other programs hardly disturb, on the same boxes and in turns.

Columns: HOTA, MOTA, IDF1 (see `tracking_scores`) in per cent; switches of a person's id; ids shown,
of how many people; of the boxes shown, those that overlap everybody by less than 0.3 ("on nobody")
and those without a detection in their frame ("coasting"); coasting boxes on no person of their own,
per 100 boxes of the truth ("ghosts"); labels of the wrong gender, of those told on a person, and of
those told in the two seconds after a hard cut; ids that go on over a cut.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common
from benchmarks.common import BenchmarkError, flag, table
from benchmarks.comparison import cpu_name
from benchmarks.detectors import DATA
from benchmarks.tracking_clips import (
    REAL,
    SIMULATED,
    Clip,
    read_pedestrians,
    read_scenes,
    search_film,
    walkers,
)
from benchmarks.tracking_plays import FORGETFUL, OTHERS, play, play_others, seconds_of
from benchmarks.tracking_scores import Scores, Shown, count_crossing, judge, total
from program.assemble import Assembly
from program.options import MemoryOptions, ModelOptions, TrackingOptions, collect, number
from stream import parse_arguments
from structures import Detections
from training.result_files import git, write_json

PARTS = ("scenes", "clip", "pedestrians", "speed")
SHOWN, MATCHED = "as shown", "matched only"
BOXES, SPEED_FRAMES = (10, 50, 200), 100
_IDENTITY = DATA.parent / "cases" / "identity"
_CUTS = (20, 82, 211)  # of the default clip, found by eye
_say = partial(common.say, "benchmarks.tracking")


class Row(NamedTuple):
    """What one tracker made of one set of clips."""

    clips: str
    tracker: str
    scores: Scores


def measure(
    clips: Sequence[Clip],
    assembly: Assembly,
    others: Sequence[str],
    memory: MemoryOptions = FORGETFUL,
) -> list[Row]:
    """Play clips with this program and with the others; return their rows clip by clip."""
    estimator = assembly.estimator()
    plays: dict[str, list[list[Shown]]] = {SHOWN: []}
    for clip in clips:
        _say(clip.name)
        plays[SHOWN].append(play(clip, assembly, estimator, memory))
    plays[MATCHED] = [[frame.matched for frame in frames] for frames in plays[SHOWN]]
    if others:
        detector = assembly.detector(threads=0)
        found = [
            (clip.fps, search_film(clip.film, detector) if clip.film else clip.detections)
            for clip in clips
        ]
    for name in others:
        plays[name] = [shown for shown, _ in play_others(name, found)]
    return [
        Row(clip.name, name, scored(clip, each))
        for name, frames in plays.items()
        for clip, each in zip(clips, frames, strict=True)
    ]


def scored(clip: Clip, shown: Sequence[Shown]) -> Scores:
    """Compare with the truth; without one count only boxes and the ids that cross cuts."""
    if clip.people:
        return judge(clip.people, shown, clip.fps, clip.cuts)
    scores = Scores(
        shown=sum(len(frame.ids) for frame in shown),
        ids=len({int(each) for frame in shown for each in frame.ids}),
        coasting=sum(int(frame.coasting.sum()) for frame in shown),
    )
    count_crossing(scores, shown, clip.cuts)
    return scores


def added(name: str, rows: Iterable[Row]) -> list[Row]:
    """Add up the rows of each tracker."""
    by_tracker: dict[str, list[Scores]] = {}
    for row in rows:
        by_tracker.setdefault(row.tracker, []).append(row.scores)
    return [Row(name, tracker, total(scores)) for tracker, scores in by_tracker.items()]


def parts(options: argparse.Namespace) -> Iterator[tuple[str, list[Clip]]]:
    """Yield the parts asked for and their clips; BenchmarkError if a folder is missing."""
    if "scenes" in options.only:
        yield "scenes", read_scenes(options.scenes)
    if "clip" in options.only:
        (film,) = common.existing([options.clip])
        yield "clip", [Clip(film.stem, 25.0, cuts=options.cuts, film=film)]
    if "pedestrians" in options.only:
        folder = options.data / "mot"
        if not folder.is_dir():
            raise BenchmarkError(f"no such folder: {folder}; check --data")
        for names in ((REAL,), SIMULATED):
            yield names[0], [read_pedestrians(folder / name) for name in names]


def shown_rows(part: str, rows: Sequence[Row]) -> list[Row]:
    """Choose what the table shows of a part: of each scene only what a viewer sees."""
    if part == "scenes":
        return [row for row in rows if row.tracker == SHOWN] + added("all scenes", rows)
    return added("MOT17, simulated", rows) if part in SIMULATED else list(rows)


def speeds(others: Sequence[str], repeat: int) -> dict[str, list[float]]:
    """Return tracker -> median updates a second for each count of `BOXES`, all in turns."""
    clips = [walkers(count, SPEED_FRAMES) for count in BOXES]
    calls: dict[str, Callable[[], list[float]]] = {
        "this program": lambda: [seconds_of(clip) for clip in clips]
    }
    for name in others:
        calls[name] = partial(_seconds_of_other, name, clips)
    rounds: dict[str, list[list[float]]] = {name: [] for name in calls}
    for turn in range(repeat):
        _say(f"speed, round {turn + 1} of {repeat}")
        for name, call in calls.items():
            rounds[name].append(call())
    return {
        name: [SPEED_FRAMES / statistics.median(times) for times in zip(*each, strict=True)]
        for name, each in rounds.items()
    }


def _seconds_of_other(name: str, clips: Sequence[Sequence[Detections]]) -> list[float]:
    return [seconds for _, seconds in play_others(name, [(30.0, clip) for clip in clips])]


HEADER = (
    "clips", "tracker", "HOTA", "MOTA", "IDF1", "switches", "ids / people", "on nobody",
    "coasting", "ghosts", "wrong labels", "after a cut", "over a cut",
)  # fmt: skip


def cells(row: Row) -> tuple[object, ...]:
    """Return the cells of a row; a dash where there is nothing to compare with."""
    name, tracker, scores = row
    known = scores.truth > 0
    figures = (scores.hota, scores.mota, scores.idf1) if known else ()
    return (
        name,
        tracker,
        *([f"{100 * value:.1f}" for value in figures] or "---"),
        scores.switches if known else "-",
        f"{scores.ids} / {scores.people}" if known else scores.ids,
        share(scores.nobody, scores.shown if known else 0),
        share(scores.coasting, scores.shown),
        share(scores.ghosts, scores.truth),
        share(scores.wrong, scores.told),
        share(scores.wrong_after_cut, scores.told_after_cut),
        scores.crossing,
    )


def share(part: int, whole: int) -> str:
    """Return a share in per cent; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def record(rows: Sequence[Row], speed: dict[str, list[float]], flags: list[str]) -> dict[str, Any]:
    """Return everything measured and how, ready for JSON."""
    return {
        "commit": git("rev-parse", "--short", "HEAD") or None,
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "cpu": cpu_name(),
        "load": os.getloadavg(),
        "flags": flags,
        "rows": [_as_json(row) for row in rows],
        "updates_per_s": {"boxes": BOXES, **speed},
    }


def _as_json(row: Row) -> dict[str, Any]:
    counts = asdict(row.scores)
    counts = {name: value for name, value in counts.items() if isinstance(value, int)}
    known = row.scores.truth > 0
    figures = {name: getattr(row.scores, name) for name in ("hota", "mota", "idf1") if known}
    return {"clips": row.clips, "tracker": row.tracker, **figures, **counts}


@common.command(
    "tracking",
    __doc__,
    flag("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS)),
    flag("--scenes", type=Path, default=_IDENTITY / "scenes", metavar="DIR"),
    flag("--clip", type=Path, default=_IDENTITY / "short_hamilton_clip.mp4", metavar="FILE"),
    flag("--cuts", type=number(int, 1), nargs="*", default=_CUTS, metavar="FRAME"),
    flag("--data", type=Path, default=DATA, metavar="DIR", help="holds mot/"),
    flag(
        "--others",
        nargs="*",
        choices=OTHERS,
        default=OTHERS,
        metavar="NAME",
        help=f"some of {', '.join(OTHERS)} (default: all; no NAME: none)",
    ),
    common.REPEAT,
    flag("--json", type=Path, metavar="FILE", help="write every figure there, too"),
    passes_on=True,
)
def main(options: argparse.Namespace) -> None:
    """Print one table of how well, and one of how fast."""
    asked = parse_arguments(["--src", "0", "--no-window", *options.flags])
    assembly = Assembly(collect(ModelOptions, asked), collect(TrackingOptions, asked))
    rows: list[Row] = []
    shown: list[Row] = []
    for part, clips in parts(options):
        found = measure(clips, assembly, options.others, collect(MemoryOptions, asked))
        rows += found
        shown += shown_rows(part, found)
    speed = speeds(options.others, options.repeat) if "speed" in options.only else {}
    if shown:
        print(table(HEADER, map(cells, shown)))
    if speed:
        header = ("updates a second", *(f"{count} boxes" for count in BOXES))
        lines = [(name, *(f"{value:.0f}" for value in each)) for name, each in speed.items()]
        print("\n" + table(header, lines))
    if options.json is not None:
        write_json(options.json, json.loads(json.dumps(record(rows, speed, options.flags))))


if __name__ == "__main__":
    raise SystemExit(main())
