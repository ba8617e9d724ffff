"""Joins the slices of a film: one person keeps one id and one running estimate.

Neighbouring slices share some frames. There the earlier slice counts, and the tracks of the
later one take the ids of those they overlap. Smoothed values are computed again from all
estimates of the joined tracks, so that they do not restart at a seam.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from structures import FrameResult
from tracking.association import assign
from tracking.boxes import iou_matrix
from tracking.smoothing import TrackSmoother

LEAST_OVERLAP = 0.5  # IoU from which two tracks' boxes may be of one face


def join_slices(slices: Iterable[Sequence[FrameResult]]) -> Iterator[list[FrameResult]]:
    """Give the slices of a film common ids and drop shared frames from the later one.

    Ids of the first slice stay; people new in a later one get unused numbers.

    Args:
        slices: the results of each, in order; each begins within the one before.

    Yields:
        The results of each slice after the end of the one before, with the film's ids
        and without people; see `Replay`.
    """
    before: list[FrameResult] = []
    next_id = 1
    for seen in slices:
        shared = {each.frame.index for each in seen} & {each.frame.index for each in before}
        if shared:
            earlier = [each for each in before if each.frame.index in shared]
            later = [each for each in seen if each.frame.index in shared]
            ids = match_tracks(earlier, later)
            epochs = earlier[-1].frame.epoch - later[-1].frame.epoch
        else:
            ids = {}
            epochs = before[-1].frame.epoch + 1 if before else 0
        last = before[-1].frame.index if before else -1
        own = [each for each in seen if each.frame.index > last]
        for track_id in sorted({track_id for each in own for track_id in each.living}):
            if track_id not in ids:
                ids[track_id] = next_id if before else track_id
                next_id = max(next_id, ids[track_id]) + 1
        before = [_renamed(each, ids, epochs) for each in own]
        yield before


def match_tracks(earlier: Sequence[FrameResult], later: Sequence[FrameResult]) -> dict[int, int]:
    """Pair the tracks of two slices in the frames that they share.

    Later frames count more, in proportion to their number: what matters is the state at the
    end of the shared frames, also where a track was lost and another took its place.

    Args:
        earlier: results of the shared frames in the earlier slice, in order.
        later: of the same frames in the later slice.

    Returns:
        Id in the later slice -> id in the earlier one, each used once.
    """
    together: dict[tuple[int, int], float] = defaultdict(float)
    present: tuple[dict[int, float], ...] = (defaultdict(float), defaultdict(float))
    for number, (one, other) in enumerate(zip(earlier, later, strict=True), start=1):
        for side, seen in zip(present, (one, other), strict=True):
            for track in seen.tracks:
                side[track.track_id] += number
        overlap = iou_matrix([t.box for t in one.tracks], [t.box for t in other.tracks])
        for row, column in zip(*np.nonzero(overlap >= LEAST_OVERLAP), strict=True):
            pair = one.tracks[row].track_id, other.tracks[column].track_id
            together[pair] += number * overlap[row, column]
    rows, columns = sorted(present[0]), sorted(present[1])
    if not rows or not columns:
        return {}
    score = np.array([[together.get((row, column), 0.0) for column in columns] for row in rows])
    pairs = assign(score, threshold=1e-9)
    return {columns[column]: rows[row] for row, column in pairs.items()}


def _renamed(result: FrameResult, ids: dict[int, int], epochs: int) -> FrameResult:
    """The same frame with other ids; `epochs` is added to its epoch."""
    tracks = [replace(track, track_id=ids[track.track_id]) for track in result.tracks]
    tracks.sort(key=lambda track: track.track_id)
    made = result.estimates
    if made is not None:
        made = replace(made, track_ids=tuple(ids[i] for i in made.track_ids))
    frame = replace(result.frame, epoch=result.frame.epoch + epochs)
    lost = frozenset(ids[track_id] for track_id in result.remembered)
    return replace(
        result, frame=frame, tracks=tuple(tracks), people={}, estimates=made, remembered=lost
    )


class Replay:
    """Smooths the estimates of a joined film, slice by slice, as a pipeline would have done."""

    def __init__(self) -> None:
        self._smoother = TrackSmoother()

    def smooth(self, result: FrameResult) -> FrameResult:
        """Return the next frame's result with its people filled in."""
        made = result.estimates
        if made is not None:
            time_s = result.frame.time_s
            self._smoother.update(made.track_ids, made.estimates, made.weights, time_s)
        self._smoother.forget_except(result.living)
        known = {t.track_id: self._smoother.current(t.track_id) for t in result.tracks}
        return replace(result, people={i: each for i, each in known.items() if each is not None})
