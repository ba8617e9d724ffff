import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from archive.seams import Replay, join_slices, match_tracks
from structures import Estimates, Frame, FrameResult, Track, TrackEstimates, TrackState
from tracking.smoothing import TrackSmoother


def track(track_id: int, x: float, y: float = 0.0, side: float = 40.0) -> Track:
    box = np.array([x, y, x + side, y + side], np.float32)
    return Track(track_id, box, TrackState.CONFIRMED, 0, 0, 9)


def estimates(*ids: int, age: float = 30.0) -> TrackEstimates:
    rows = np.ones(len(ids), np.float32)
    return TrackEstimates(ids, Estimates(rows * age, rows * 5, rows * 0.9), rows)


def seen(
    index: int, *tracks: Track, epoch: int = 0, made: TrackEstimates | None = None
) -> FrameResult:
    frame = Frame(np.zeros((1, 1, 3), np.uint8), index, index / 25, epoch)
    return FrameResult(frame, tracks, estimates=made)


def joined(*slices: list[FrameResult]) -> list[FrameResult]:
    """The whole film; every frame must be there once."""
    frames = [each for part in join_slices(slices) for each in part]
    assert [each.frame.index for each in frames] == list(
        range(frames[0].frame.index, frames[-1].frame.index + 1)
    )
    return frames


def ids_by_frame(frames: list[FrameResult]) -> dict[int, list[int]]:
    return {each.frame.index: [t.track_id for t in each.tracks] for each in frames}


def test_one_person_keeps_one_id_through_seam_after_seam() -> None:
    def part(first: int, stop: int, own_id: int) -> list[FrameResult]:
        return [seen(i, track(own_id, 3.0 * i)) for i in range(first, stop)]

    frames = joined(part(0, 30, 5), part(20, 60, 1), part(50, 90, 2))
    assert {i for ids in ids_by_frame(frames).values() for i in ids} == {5}


def test_up_to_the_end_of_the_overlap_the_earlier_slice_counts() -> None:
    early = [seen(i, track(1, 100)) for i in range(30)]
    late = [seen(i, track(1, 104)) for i in range(20, 50)]
    frames = joined(early, late)
    assert [each.tracks[0].box[0] for each in frames] == [100] * 30 + [104] * 20


def test_who_appears_in_the_overlap_has_one_id_and_who_comes_later_a_new_one() -> None:
    early = [seen(i, track(1, 0), *([track(2, 200)] if i >= 25 else [])) for i in range(30)]
    late = [
        seen(
            i,
            track(1, 0),
            *([track(4, 200)] if i >= 26 else []),
            *([track(2, 400)] if i >= 40 else []),
        )
        for i in range(20, 50)
    ]
    ids = ids_by_frame(joined(early, late))
    assert ids[29] == ids[30] == ids[39] == [1, 2]
    assert ids[40] == ids[49] == [1, 2, 3]


def test_an_id_of_the_first_slice_is_never_given_to_somebody_else() -> None:
    early = [seen(i, *([track(7, 0)] if i < 10 else [])) for i in range(30)]
    late = [seen(i, *([track(1, 300)] if i > 35 else [])) for i in range(20, 50)]
    ids = ids_by_frame(joined(early, late))
    assert ids[0] == [7]
    assert ids[49] == [8]


@pytest.mark.parametrize("meet", [22, 25, 28, 32])
def test_two_people_who_cross_near_the_seam_are_not_exchanged(meet: int) -> None:
    def place(person: int, index: int) -> float:
        return 300 + (9 if person == 1 else -9) * (index - meet)

    def part(first: int, stop: int, ids: dict[int, int]) -> list[FrameResult]:
        return [
            seen(i, *sorted((track(ids[p], place(p, i)) for p in (1, 2)), key=lambda t: t.track_id))
            for i in range(first, stop)
        ]

    frames = joined(part(0, 30, {1: 1, 2: 2}), part(20, 60, {1: 6, 2: 3}))
    for each in frames:
        where = {t.track_id: float(t.box[0]) for t in each.tracks}
        assert where == {1: place(1, each.frame.index), 2: place(2, each.frame.index)}


def test_a_track_that_ended_early_gives_way_to_its_successor() -> None:
    early = [seen(i, track(1 if i < 25 else 2, 50)) for i in range(30)]
    late = [seen(i, track(1, 50)) for i in range(20, 50)]
    assert match_tracks(early[20:], late[:10]) == {1: 2}
    assert ids_by_frame(joined(early, late))[49] == [2]


def test_who_is_remembered_across_a_seam_keeps_the_id_and_what_is_known() -> None:
    def part(first: int, stop: int, own_id: int) -> list[FrameResult]:
        here = [seen(i, track(own_id, 0), made=estimates(own_id)) for i in range(first, stop)]
        return [
            replace(each, tracks=(), estimates=None, remembered=frozenset({own_id}))
            if 27 <= each.frame.index < 45
            else each
            for each in here
        ]

    replay = Replay()
    frames = [replay.smooth(each) for each in joined(part(0, 30, 4), part(20, 60, 1))]
    assert {i for each in frames for i in each.living} == {4}
    assert frames[-1].people[4].samples == 42


def test_tracks_that_barely_overlap_are_two_people() -> None:
    early = [seen(i, track(1, 0)) for i in range(10)]
    late = [seen(i, track(1, 25)) for i in range(10)]
    assert match_tracks(early, late) == {}
    assert match_tracks([seen(0)], [seen(0)]) == {}


def test_matching_equals_brute_force_over_all_pairings() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        places = random.uniform(0, 60, (3, 2))
        wobble = random.normal(0, 3, (10, 2, 3, 2))
        frames = [
            [
                seen(i, *(track(n + 1, *(places[n] + wobble[i, side, n])) for n in range(3)))
                for i in range(10)
            ]
            for side in (0, 1)
        ]
        found = match_tracks(*frames)
        assert total(found, *frames) >= max(total(p, *frames) for p in pairings()) - 1e-6


def pairings() -> list[dict[int, int]]:
    return [dict(zip((1, 2, 3), p, strict=True)) for p in itertools.permutations((1, 2, 3))]


def total(pairs: dict[int, int], early: list[FrameResult], late: list[FrameResult]) -> float:
    """Sum of overlaps of at least a half, weighted by the frame's number, in plain arithmetic."""
    score = 0.0
    for number, (one, other) in enumerate(zip(early, late, strict=True), start=1):
        boxes = {t.track_id: t.box for t in one.tracks}
        for t in other.tracks:
            if t.track_id in pairs:
                a, b = boxes[pairs[t.track_id]], t.box
                w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
                h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
                iou = w * h / (2 * 1600 - w * h)
                score += number * iou * (iou >= 0.5)
    return score


def test_the_estimate_of_a_person_continues_across_a_seam_as_if_there_were_none() -> None:
    ages = np.random.default_rng(1).normal(40, 4, 60)

    def part(first: int, stop: int, own_id: int) -> list[FrameResult]:
        return [
            seen(i, track(own_id, 0), made=estimates(own_id, age=float(ages[i])))
            for i in range(first, stop)
        ]

    replay, smoother = Replay(), TrackSmoother()
    for each in joined(part(0, 30, 4), part(20, 60, 1)):
        index = each.frame.index
        made = estimates(4, age=float(ages[index]))
        smoother.update((4,), made.estimates, made.weights, each.frame.time_s)
        got, want = replay.smooth(each).people[4], smoother.current(4)
        assert want is not None
        assert math.isclose(got.age_years, want.age_years, abs_tol=1e-4)
        assert got.samples == want.samples == index + 1


def test_a_change_of_size_before_the_seam_stays_a_change() -> None:
    early = [seen(i, epoch=int(i >= 10)) for i in range(30)]
    late = [seen(i, epoch=int(i >= 40)) for i in range(20, 50)]
    epochs = [each.frame.epoch for each in joined(early, late)]
    assert epochs == [0] * 10 + [1] * 30 + [2] * 10


def test_slices_without_anybody_and_a_single_slice_are_joined_as_well() -> None:
    assert ids_by_frame(joined([seen(i) for i in range(5)], [seen(i) for i in range(3, 9)])) == {
        i: [] for i in range(9)
    }
    assert ids_by_frame(joined([seen(0, track(3, 0))])) == {0: [3]}
