"""Tracking quality and speed on pedestrian ground truth in MOT layout.

    python -m benchmarks.tracking --data DIR [--max-age 1 10] [--every 1 2 3 5]

`TUD-Campus` has real detections. The MOT17 sequences have only truth: their detections are
simulated from it with a fixed seed (`simulate`), so their figures compare settings and say nothing
about a detector. Pedestrians are not faces, but free ground truth exists for them.

References: Bernardin, Stiefelhagen, "Evaluating Multiple Object Tracking Performance:
The CLEAR MOT Metrics", 2008 (MOTA, switches); Ristani, Solera, Zou, Cucchiara, Tomasi,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016 (IDF1).
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks import common
from benchmarks.common import flag
from structures import Detections, Float32, TrackState
from tracking.boxes import iou_matrix
from tracking.sort import SortTracker, assign

SIMULATED = ("MOT17-02-FRCNN", "MOT17-09-FRCNN", "MOT17-11-FRCNN")
REAL = "TUD-Campus"
SEED = 16020763
CENTRE_JITTER, SIZE_JITTER = 0.03, 0.05  # standard deviations, of each side
MISSED, FALSE_PER_FRAME = 0.08, 0.3
HIDDEN_BELOW = 0.3  # visible fraction below which the simulated detector misses
SAME = 0.5  # overlap from which a shown box counts as the person


class Labelled(NamedTuple):
    """Boxes with identities: (N,) int ids and (N, 4) float32 xyxy boxes."""

    ids: NDArray[np.int64]
    boxes: Float32


class Clip(NamedTuple):
    """Truth and detections, frame by frame."""

    truth: list[Labelled]
    detections: list[Detections]


@dataclass(slots=True)
class Scores:
    """Counts over any number of clips, and the usual figures from them.

    Attributes:
        truth: boxes that should be shown.
        shown: boxes that were shown.
        matched: of these, how many lie on a person.
        switches: how often a person's id changed.
        identity_matched: matches under the best one-to-one naming of whole tracks.
        ghosts: boxes shown on nobody without a detection in their frame.
        seconds: time spent in the tracker.
        frames: frames processed.
    """

    truth: int = 0
    shown: int = 0
    matched: int = 0
    switches: int = 0
    identity_matched: int = 0
    ghosts: int = 0
    seconds: float = 0.0
    frames: int = 0

    @property
    def mota(self) -> float:
        """1 - (misses + false boxes + switches) / truth."""
        wrong = self.truth + self.shown - 2 * self.matched + self.switches
        return 1 - wrong / self.truth

    @property
    def idf1(self) -> float:
        """F1 score of identity-correct boxes."""
        return 2 * self.identity_matched / (self.truth + self.shown)


@dataclass(slots=True)
class Judge:
    """Compares shown boxes with the truth, frame by frame."""

    scores: Scores
    last: dict[int, int] = field(default_factory=dict)
    together: Counter[tuple[int, int]] = field(default_factory=Counter)

    def frame(self, truth: Labelled, shown: Labelled, coasting: NDArray[np.bool_]) -> None:
        """Score one frame; `coasting` (N,) marks shown boxes without a detection."""
        overlap = iou_matrix(truth.boxes, shown.boxes)
        pairs = self._match(truth, shown, overlap)
        for row, column in pairs.items():
            person, track = int(truth.ids[row]), int(shown.ids[column])
            self.scores.switches += self.last.get(person, track) != track
            self.last[person] = track
        for row, column in np.argwhere(overlap >= SAME):
            self.together[int(truth.ids[row]), int(shown.ids[column])] += 1
        alone = set(range(len(shown.ids))) - set(pairs.values())
        self.scores.truth += len(truth.ids)
        self.scores.shown += len(shown.ids)
        self.scores.matched += len(pairs)
        self.scores.ghosts += sum(bool(coasting[column]) for column in alone)

    def finish(self) -> None:
        """Match whole tracks to people so that most boxes are correct."""
        people = sorted({person for person, _ in self.together})
        tracks = sorted({track for _, track in self.together})
        table = np.array([[self.together[p, t] for t in tracks] for p in people])
        if table.size:
            rows, columns = linear_sum_assignment(table, maximize=True)
            self.scores.identity_matched += int(table[rows, columns].sum())

    def _match(
        self, truth: Labelled, shown: Labelled, overlap: NDArray[np.float64]
    ) -> dict[int, int]:
        """Keep last frame's pairs where they still match, then add as many as possible."""
        column_of = {int(track): column for column, track in enumerate(shown.ids)}
        kept: dict[int, int] = {}
        for row, person in enumerate(truth.ids.tolist()):
            column = column_of.get(self.last.get(person, -1))
            if column is None or column in kept.values():
                continue
            if overlap[row, column] >= SAME:
                kept[row] = column
        rest = np.where(overlap >= SAME, overlap + 10, 0)  # one more pair beats any overlap
        rest[list(kept)] = 0
        rest[:, list(kept.values())] = 0
        return kept | assign(rest, SAME)


def run(clip: Clip, tracker: SortTracker, every: int, scores: Scores) -> None:
    """Track `clip` with detection on every `every`th frame and add to `scores`."""
    judge = Judge(scores)
    for index, (truth, detections) in enumerate(zip(*clip, strict=True)):
        start = time.perf_counter()
        tracks = tracker.predict() if index % every else tracker.update(detections)
        scores.seconds += time.perf_counter() - start
        shown = [track for track in tracks if track.state is TrackState.CONFIRMED]
        boxes = np.array([track.box for track in shown], np.float32).reshape(-1, 4)
        coasting = np.array([track.detection_index is None for track in shown], bool)
        judge.frame(truth, Labelled(np.array([t.track_id for t in shown]), boxes), coasting)
    judge.finish()
    scores.frames += len(clip.truth)


def read_rows(path: Path) -> NDArray[np.float64]:
    """Read a MOT file into (N, columns) rows, columns 2..5 converted from tlwh to xyxy."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    rows[:, 4:6] += rows[:, 2:4]
    return rows


def read_truth(folder: Path) -> tuple[list[Labelled], list[NDArray[np.float64]]]:
    """Read the people of a sequence, and their visible fractions, frame by frame."""
    rows = read_rows(folder / "gt" / "gt.txt")
    if folder.name != REAL:
        rows = rows[(rows[:, 6] == 1) & (rows[:, 7] == 1)]  # counted, and a pedestrian
    by_frame = [rows[rows[:, 0] == number] for number in range(1, int(rows[:, 0].max()) + 1)]
    truth = [Labelled(r[:, 1].astype(np.int64), r[:, 2:6].astype(np.float32)) for r in by_frame]
    return truth, [r[:, 8] for r in by_frame]


def simulate(
    truth: list[Labelled], visible: list[NDArray[np.float64]], rng: np.random.Generator
) -> list[Detections]:
    """Simulate detections: jitter, random misses, misses of hidden people, false boxes.

    False boxes have the size of a person of the clip and lie anywhere in 1920 x 1080.
    """
    everyone = np.concatenate([frame.boxes for frame in truth])
    made = []
    for (_, boxes), seen in zip(truth, visible, strict=True):
        found = boxes[(seen >= HIDDEN_BELOW) & (rng.random(len(boxes)) >= MISSED)]
        sizes = found[:, 2:] - found[:, :2]
        centres = found[:, :2] + sizes * (0.5 + rng.normal(0, CENTRE_JITTER, sizes.shape))
        sizes = sizes * np.exp(rng.normal(0, SIZE_JITTER, sizes.shape))
        false = rng.choice(everyone, rng.poisson(FALSE_PER_FRAME))
        false_sizes = false[:, 2:] - false[:, :2]
        centres = np.concatenate([centres, rng.uniform((0, 0), (1920, 1080), false_sizes.shape)])
        sizes = np.concatenate([sizes, false_sizes])
        found = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1).astype(np.float32)
        made.append(Detections.of_boxes(found, np.ones(len(found), np.float32)))
    return made


def read_detections(folder: Path, frames: int) -> list[Detections]:
    """Read the detections that come with a sequence."""
    rows = read_rows(folder / "det" / "det.txt").astype(np.float32)
    by_frame = [rows[rows[:, 0] == number] for number in range(1, frames + 1)]
    return [Detections.of_boxes(r[:, 2:6], r[:, 6]) for r in by_frame]


def load(folder: Path) -> Clip:
    """Read one sequence, with its own detections or simulated ones."""
    truth, visible = read_truth(folder)
    if folder.name == REAL:
        return Clip(truth, read_detections(folder, len(truth)))
    return Clip(truth, simulate(truth, visible, np.random.default_rng(SEED)))


@common.command(
    "tracking",
    __doc__,
    flag("--data", type=Path, required=True, help="holds mot/"),
    flag("--max-age", type=int, nargs="+", default=[1, 10]),
    flag("--every", type=int, nargs="+", default=[1, 2, 3, 5]),
)
def main(options: argparse.Namespace) -> None:
    """Print one table for the real and one for the simulated detections."""
    folder = options.data / "mot"
    if not folder.is_dir():
        raise common.BenchmarkError(f"no such folder: {folder}; check --data")
    groups = {
        f"{REAL}: its real detections": [load(folder / REAL)],
        f"{', '.join(SIMULATED)}: detections SIMULATED from the truth, seed {SEED}": [
            load(folder / name) for name in SIMULATED
        ],
    }
    for title, clips in groups.items():
        print(f"\n{title}\nmax_age  every   MOTA   IDF1  switches  ghosts  ms/frame")
        for max_age, every in product(options.max_age, options.every):
            scores = Scores()
            for clip in clips:
                run(clip, SortTracker(max_age=max_age), every, scores)
            print(
                f"{max_age:7d} {every:6d} {scores.mota:6.1%} {scores.idf1:6.1%} "
                f"{scores.switches:9d} {scores.ghosts / scores.truth:7.1%} "
                f"{1000 * scores.seconds / scores.frames:9.2f}"
            )


if __name__ == "__main__":
    raise SystemExit(main())
