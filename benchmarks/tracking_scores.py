"""How well what a tracker shows agrees with the truth.

References: Bernardin, Stiefelhagen, "Evaluating Multiple Object Tracking Performance:
The CLEAR MOT Metrics", 2008 (MOTA, switches); Ristani, Solera, Zou, Cucchiara, Tomasi,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016 (IDF1);
Luiten, Osep, Dendorfer, Torr, Geiger, Leal-Taixe, Leibe, "HOTA: A Higher Order Metric for
Evaluating Multi-Object Tracking", 2021 (HOTA).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from structures import NOWHERE, Float32
from tracking.association import assign
from tracking.boxes import Float64, iou_matrix

SAME = 0.5  # overlap from which a shown box counts as the person
NEAR = 0.3  # a box that overlaps everybody by less is on nobody
AFTER_CUT_S = 2.0
ALPHAS = np.arange(1, 20) / 20  # overlaps over which HOTA is averaged
_EPSILON = 1e-9  # of overlaps

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Who is in a frame.

    Attributes:
        ids: (N,) int64.
        boxes: (N, 4) float32 xyxy pixels.
        genders: N of "female" or "male"; empty where not known.
        ignored: (M, 4) float32 xyxy, people too hidden to count: a box on them is neither
            right nor wrong.
    """

    ids: Ids
    boxes: Float32
    genders: tuple[str, ...] = ()
    ignored: Float32 = field(default_factory=lambda: NOWHERE)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What a viewer sees in a frame.

    Attributes:
        ids: (N,) int64.
        boxes: (N, 4) float32 xyxy pixels.
        coasting: (N,) bool, no detection of this frame belongs to the box.
        labels: N of "female", "male" or "" (none told); empty where nothing labels.
    """

    ids: Ids
    boxes: Float32
    coasting: NDArray[np.bool_]
    labels: tuple[str, ...] = ()

    def only(self, keep: NDArray[np.bool_]) -> "Shown":
        """Return the boxes that `keep`, (N,), marks."""
        labels = tuple(np.array(self.labels, object)[keep]) if self.labels else ()
        return Shown(self.ids[keep], self.boxes[keep], self.coasting[keep], labels)

    @property
    def matched(self) -> "Shown":
        """Only the boxes with a detection in this frame."""
        return self.only(~self.coasting)


@dataclass(slots=True)
class Scores:
    """Counts of one clip, or of several added up by `total`.

    Attributes:
        people: in the truth.
        truth: boxes that should be shown.
        shown: boxes that were shown.
        matched: of these, how many lie on a person of their own.
        switches: how often a person's id changed.
        identity_matched: matches under the best one-to-one naming of whole tracks.
        ids: shown.
        nobody: boxes shown that overlap everybody by less than `NEAR`.
        coasting: boxes shown without a detection in their frame.
        ghosts: of these, how many lie on no person of their own.
        told, wrong: labels told on a person, and those of the other gender.
        told_after_cut, wrong_after_cut: the same in the `AFTER_CUT_S` after a cut.
        crossing: ids shown both in the shot before a cut and in the one after it.
        pairs: of HOTA, by alpha: true, missed and false pairs.
        association: of HOTA, by alpha: the sum over true pairs of their association.
    """

    people: int = 0
    truth: int = 0
    shown: int = 0
    matched: int = 0
    switches: int = 0
    identity_matched: int = 0
    ids: int = 0
    nobody: int = 0
    coasting: int = 0
    ghosts: int = 0
    told: int = 0
    wrong: int = 0
    told_after_cut: int = 0
    wrong_after_cut: int = 0
    crossing: int = 0
    pairs: Float64 = field(default_factory=lambda: np.zeros(len(ALPHAS)))
    association: Float64 = field(default_factory=lambda: np.zeros(len(ALPHAS)))

    @property
    def mota(self) -> float:
        """1 - (misses + false boxes + switches) / truth."""
        wrong = self.truth + self.shown - 2 * self.matched + self.switches
        return 1 - wrong / self.truth

    @property
    def idf1(self) -> float:
        """F1 score of identity-correct boxes."""
        return 2 * self.identity_matched / (self.truth + self.shown)

    @property
    def hota(self) -> float:
        """Geometric mean of detection and association, averaged over `ALPHAS`."""
        return float(np.sqrt(self.association / np.maximum(self.pairs, 1)).mean())


def total(scores: Iterable[Scores]) -> Scores:
    """Add up the counts of several clips."""
    every = list(scores)
    names = [each.name for each in fields(Scores)]
    return Scores(**{name: sum(getattr(each, name) for each in every) for name in names})


def judge(
    people: Sequence[People], shown: Sequence[Shown], fps: float, cuts: Sequence[int] = ()
) -> Scores:
    """Compare what was shown with the truth, frame by frame.

    `cuts` are the first frames of new shots.
    """
    scores = Scores(people=len({int(each) for frame in people for each in frame.ids}))
    if not any(len(frame.ids) for frame in people):
        raise ValueError("want at least one person in the truth, got none")
    shown = [_counted(*frame) for frame in zip(people, shown, strict=True)]
    overlaps = [iou_matrix(a.boxes, b.boxes) for a, b in zip(people, shown, strict=True)]
    _count_boxes(scores, people, shown, overlaps)
    _count_identities(scores, people, shown, overlaps)
    _count_labels(scores, people, shown, overlaps, fps, cuts)
    count_crossing(scores, shown, cuts)
    _count_hota(scores, [a.ids for a in people], [b.ids for b in shown], overlaps)
    return scores


def _counted(people: People, shown: Shown) -> Shown:
    """Leave out the boxes on people who are too hidden to count."""
    on_ignored = iou_matrix(people.ignored, shown.boxes).max(axis=0, initial=0.0) > NEAR
    on_person = iou_matrix(people.boxes, shown.boxes).max(axis=0, initial=0.0) >= SAME
    return shown.only(on_person | ~on_ignored)


def _count_boxes(
    scores: Scores, people: Sequence[People], shown: Sequence[Shown], overlaps: Sequence[Float64]
) -> None:
    """Count CLEAR's matches and switches, and boxes on nobody."""
    last: dict[int, int] = {}
    for there, seen, overlap in zip(people, shown, overlaps, strict=True):
        pairs = _clear_pairs(there.ids, seen.ids, overlap, last)
        for row, column in pairs.items():
            person, track = int(there.ids[row]), int(seen.ids[column])
            scores.switches += last.get(person, track) != track
            last[person] = track
        alone = np.ones(len(seen.ids), bool)
        alone[list(pairs.values())] = False
        scores.truth += len(there.ids)
        scores.shown += len(seen.ids)
        scores.matched += len(pairs)
        scores.nobody += int((overlap.max(axis=0, initial=0.0) < NEAR).sum())
        scores.coasting += int(seen.coasting.sum())
        scores.ghosts += int((seen.coasting & alone).sum())
    scores.ids = len({int(each) for frame in shown for each in frame.ids})


def _clear_pairs(there: Ids, seen: Ids, overlap: Float64, last: dict[int, int]) -> dict[int, int]:
    """Keep the latest pairs where they still match, then add as many as possible."""
    column_of = {int(track): column for column, track in enumerate(seen)}
    kept: dict[int, int] = {}
    for row, person in enumerate(there.tolist()):
        column = column_of.get(last.get(person, -1))
        if column is None or column in kept.values():
            continue
        if overlap[row, column] >= SAME:
            kept[row] = column
    rest = np.where(overlap >= SAME, overlap + 10, 0)  # one more pair beats any overlap
    rest[list(kept)] = 0
    rest[:, list(kept.values())] = 0
    return kept | assign(rest, SAME)


def _count_identities(
    scores: Scores, people: Sequence[People], shown: Sequence[Shown], overlaps: Sequence[Float64]
) -> None:
    """Match whole tracks to people so that most boxes are correct."""
    together: Counter[tuple[int, int]] = Counter()
    for there, seen, overlap in zip(people, shown, overlaps, strict=True):
        for row, column in np.argwhere(overlap >= SAME):
            together[int(there.ids[row]), int(seen.ids[column])] += 1
    persons = sorted({person for person, _ in together})
    tracks = sorted({track for _, track in together})
    table = np.array([[together[p, t] for t in tracks] for p in persons])
    if table.size:
        rows, columns = linear_sum_assignment(table, maximize=True)
        scores.identity_matched = int(table[rows, columns].sum())


def _count_labels(
    scores: Scores,
    people: Sequence[People],
    shown: Sequence[Shown],
    overlaps: Sequence[Float64],
    fps: float,
    cuts: Sequence[int],
) -> None:
    """Count the labels told on people, and the wrong ones."""
    for index, (there, seen, overlap) in enumerate(zip(people, shown, overlaps, strict=True)):
        if not there.genders or not seen.labels:
            continue
        after_cut = any(0 <= index - cut < AFTER_CUT_S * fps for cut in cuts)
        for row, column in np.argwhere(overlap >= SAME):
            if label := seen.labels[column]:
                wrong = label != there.genders[row]
                scores.told += 1
                scores.wrong += wrong
                scores.told_after_cut += after_cut
                scores.wrong_after_cut += wrong and after_cut


def count_crossing(scores: Scores, shown: Sequence[Shown], cuts: Sequence[int]) -> None:
    """Count the ids that are shown on both sides of a cut; needs no truth."""
    borders = [0, *cuts, len(shown)]
    shots = [
        {int(each) for frame in shown[start:stop] for each in frame.ids}
        for start, stop in pairwise(borders)
    ]
    scores.crossing = sum(len(a & b) for a, b in pairwise(shots))


def _count_hota(
    scores: Scores, people: Sequence[Ids], shown: Sequence[Ids], overlaps: Sequence[Float64]
) -> None:
    """Count the pairs and their association for each alpha.

    Differs: the pairs of all alphas are of one assignment, by overlap times the likeness of the
    whole tracks, as in TrackEval, the authors' program, whose figures others publish.
    """
    persons, rows = _numbered(people)
    tracks, columns = _numbered(shown)
    whole = persons[:, None] + tracks[None]  # frames of a person plus frames of a track
    frames = list(zip(rows, columns, overlaps, strict=True))
    possible = np.zeros(whole.shape)
    for row, column, overlap in frames:
        either = overlap.sum(0, keepdims=True) + overlap.sum(1, keepdims=True) - overlap
        possible[np.ix_(row, column)] += overlap / np.maximum(either, _EPSILON)
    affinity = possible / (whole - possible)
    true = np.zeros((len(ALPHAS), *whole.shape))
    for row, column, overlap in frames:
        value = affinity[np.ix_(row, column)] * overlap
        pairs = linear_sum_assignment(value, maximize=True)
        true[:, row[pairs[0]], column[pairs[1]]] += overlap[pairs] >= ALPHAS[:, None] - _EPSILON
    scores.pairs = persons.sum() + tracks.sum() - true.sum((1, 2))
    scores.association = (true * true / (whole - true)).sum((1, 2))


def _numbered(frames: Sequence[Ids]) -> tuple[Float64, list[Ids]]:
    """Return how many frames each id has, and the ids of each frame as rows of that."""
    if not frames:
        return np.zeros(0), []
    names, places = np.unique(np.concatenate(frames), return_inverse=True)
    ends = np.cumsum([len(frame) for frame in frames])[:-1]
    counts = np.bincount(places, minlength=len(names)).astype(np.float64)
    return counts, list(np.split(places, ends))
