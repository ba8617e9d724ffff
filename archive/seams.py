"""Slices of a film become one again: one person keeps one id and one running answer.

Two slices that follow one another share some frames. Up to the end of those the earlier
slice counts; the tracks of the later one take the ids of those they lie on. What is
smoothed is not joined but made anew, from all estimates of the joined tracks in order,
so that an answer does not begin again at a seam.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from structures import Estimates, Float32, Smoothed, Track
from tracking.boxes import iou_matrix
from tracking.smoothing import TrackSmoother
from tracking.sort import assign

LEAST_OVERLAP = 0.5  # of two tracks' boxes, so that both can be of one face


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The estimates made in one frame; row i belongs to `track_ids[i]`.

    Attributes:
        track_ids: B ids.
        estimates: of B chips.
        weights: (B,) float32 in 0..1, as `tracking.Smoother.update` takes them.
    """

    track_ids: tuple[int, ...]
    estimates: Estimates
    weights: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was found in one frame, without its picture.

    Attributes:
        index: the frame's place in the film.
        time_s: its media time, seconds.
        epoch: as in `structures.Frame`.
        tracks: the confirmed ones, by id.
        looks: the estimates made, None where there were none.
    """

    index: int
    time_s: float
    epoch: int
    tracks: tuple[Track, ...]
    looks: Looks | None = None


def join_slices(slices: Iterable[Sequence[Seen]]) -> Iterator[list[Seen]]:
    """Give the slices of a film common ids and cut what two of them share off the later one.

    Ids of the first slice stay as they are; people who are new in a later one get numbers
    that were not used before.

    Args:
        slices: in order; each begins within the one before.

    Yields:
        The frames of each slice behind those of the one before, with the film's ids.
    """
    before: list[Seen] = []
    next_id = 1
    for seen in slices:
        shared = {each.index for each in seen} & {each.index for each in before}
        if shared:
            earlier = [each for each in before if each.index in shared]
            later = [each for each in seen if each.index in shared]
            ids = match_tracks(earlier, later)
            epochs = earlier[-1].epoch - later[-1].epoch
        else:
            ids = {}
            epochs = before[-1].epoch + 1 if before else 0
        last = before[-1].index if before else -1
        own = [each for each in seen if each.index > last]
        for track_id in sorted({track.track_id for each in own for track in each.tracks}):
            if track_id not in ids:
                ids[track_id] = next_id if before else track_id
                next_id = max(next_id, ids[track_id]) + 1
        before = [_renamed(each, ids, epochs) for each in own]
        yield before


def match_tracks(earlier: Sequence[Seen], later: Sequence[Seen]) -> dict[int, int]:
    """Pair the tracks of two slices in the frames that they share.

    Later frames count more, in proportion to their number: what follows the seam goes on
    with what stood at its end, also where a track broke off and another took its place.

    Args:
        earlier: the shared frames as the earlier slice saw them, in order.
        later: the same frames as the later slice saw them.

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


def _renamed(seen: Seen, ids: dict[int, int], epochs: int) -> Seen:
    """The same frame with other ids; `epochs` is added to its epoch."""
    tracks = [replace(track, track_id=ids[track.track_id]) for track in seen.tracks]
    looks = seen.looks
    if looks is not None:
        looks = replace(looks, track_ids=tuple(ids[i] for i in looks.track_ids))
    tracks.sort(key=lambda track: track.track_id)
    return replace(seen, tracks=tuple(tracks), looks=looks, epoch=seen.epoch + epochs)


class Replay:
    """Smooths the estimates of a joined film as its pipeline would have done.

    A class because it is called slice by slice; the state is the smoother's.
    """

    def __init__(self) -> None:
        self._smoother = TrackSmoother()

    def people(self, seen: Seen) -> dict[int, Smoothed]:
        """Take the next frame; returns what is then known of its tracks."""
        looks = seen.looks
        if looks is not None:
            self._smoother.update(looks.track_ids, looks.estimates, looks.weights, seen.index)
        here = [track.track_id for track in seen.tracks]
        self._smoother.forget_except(here)
        known = {track_id: self._smoother.current(track_id) for track_id in here}
        return {track_id: value for track_id, value in known.items() if value is not None}
