import gzip
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tracking import Row, cells, main, measure, scored
from benchmarks.tracking_clips import (
    Clip,
    NoEstimates,
    detected,
    read_pedestrians,
    read_scene,
    walkers,
)
from benchmarks.tracking_plays import play
from benchmarks.tracking_scores import People, Scores, Shown, judge, total
from program.assemble import Assembly
from structures import NOWHERE

LEFT, RIGHT, AWAY = (70, 70, 130, 130), (270, 70, 330, 130), (470, 270, 530, 330)
TWO = People(np.array([7, 8]), np.array([LEFT, RIGHT], np.float32), ("female", "male"))


def shown(
    ids: Sequence[int], boxes: Sequence[Sequence[float]], labels: Sequence[str] = ()
) -> Shown:
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Shown(np.array(ids, np.int64), found, np.zeros(len(ids), bool), tuple(labels))


def judged(ids_per_frame: Sequence[tuple[int, int]], cuts: Sequence[int] = ()) -> Scores:
    """Scores of a tracker that shows two people exactly, under the given ids."""
    frames = [shown(ids, (LEFT, RIGHT)) for ids in ids_per_frame]
    return judge([TWO] * len(frames), frames, 25.0, cuts)


def walking(count: int = 4, frames: int = 30) -> Clip:
    """People in a row who walk to the right without touching; every box is found."""
    clip = []
    for index in range(frames):
        left = np.arange(count, dtype=np.float32) * 100 + 2 * index
        clip.append(np.stack([left, left * 0 + 50, left + 40, left * 0 + 100], 1))
    people = [People(np.arange(count), boxes) for boxes in clip]
    found = [detected(boxes, np.ones(count)) for boxes in clip]
    return Clip("walking", 25.0, people, detections=found, size_wh=(640, 360))


def test_the_scores_give_full_marks_to_a_perfect_tracker_and_count_a_swap() -> None:
    perfect = judged([(1, 2)] * 4)
    assert (perfect.mota, perfect.idf1, perfect.hota, perfect.switches) == (1, 1, 1, 0)
    swapped = judged([(1, 2)] * 3 + [(2, 1)])
    assert swapped.switches == 2
    assert swapped.mota == 1 - 2 / 8
    assert swapped.idf1 == 6 / 8


def test_hota_of_a_swap_is_what_its_equations_give() -> None:
    # Each person has 3 pairs with one id and 1 with the other: of the 3, A = 3 / (4 + 4 - 3),
    # of the 1, A = 1 / (4 + 4 - 1). All 8 pairs are true, at every alpha.
    association = 2 * (3 * 3 / 5 + 1 * 1 / 7)
    assert judged([(1, 2)] * 3 + [(2, 1)]).hota == pytest.approx(math.sqrt(association / 8))


def test_hota_counts_a_loose_box_only_up_to_its_overlap() -> None:
    half = [shown([1, 2], [(70, 70, 130, 100), RIGHT])] * 2  # overlaps by exactly 0.5
    scores = judge([TWO] * 2, half, 25.0)
    # To alpha 0.5 all is true: 10 of the 19. Above it one of the two people is missed and one
    # box false: 2 true pairs of association 1 among 2 + 2 + 2.
    assert scores.hota == pytest.approx((10 + 9 * math.sqrt(2 / 6)) / 19)


def test_boxes_on_nobody_are_counted_and_those_on_hidden_people_are_not() -> None:
    hidden = replace(TWO, ignored=np.array([AWAY], np.float32))
    frame = shown([1, 2, 3], [LEFT, RIGHT, AWAY])
    with_truth, without = judge([hidden], [frame], 25.0), judge([TWO], [frame], 25.0)
    assert (with_truth.nobody, with_truth.shown, with_truth.ids) == (0, 2, 2)
    assert (without.nobody, without.shown, without.ids) == (1, 3, 3)


def test_a_box_is_a_ghost_if_it_coasts_on_no_person_of_its_own() -> None:
    frame = replace(shown([1, 2, 3], [LEFT, RIGHT, AWAY]), coasting=np.array([True, False, True]))
    scores = judge([TWO], [frame], 25.0)
    assert (scores.coasting, scores.ghosts) == (2, 1)
    assert judge([TWO], [frame.matched], 25.0).shown == 1


def test_wrong_labels_are_counted_apart_for_two_seconds_after_a_cut() -> None:
    right, wrong, untold = ("female", "male"), ("male", "male"), ("", "male")
    frames = [shown([1, 2], (LEFT, RIGHT), each) for each in (wrong, right, wrong, untold, wrong)]
    scores = judge([TWO] * 5, frames, fps=1.0, cuts=[2])
    assert (scores.told, scores.wrong) == (9, 3)
    assert (scores.told_after_cut, scores.wrong_after_cut) == (3, 1)  # of frames 2 and 3


def test_ids_that_go_on_over_a_cut_are_counted() -> None:
    assert judged([(1, 2), (1, 3), (4, 5)], cuts=[1]).crossing == 1
    assert judged([(1, 2), (1, 3), (4, 5)], cuts=[2]).crossing == 0


def test_counts_of_clips_add_up() -> None:
    one, other = judged([(1, 2)] * 3 + [(2, 1)]), judged([(1, 2)] * 4)
    both = total([one, other])
    assert (both.truth, both.switches, both.idf1) == (16, 2, 14 / 16)
    assert both.pairs.tolist() == [16] * 19


def test_a_truth_without_people_is_refused() -> None:
    nobody = People(np.zeros(0, np.int64), NOWHERE)
    with pytest.raises(ValueError, match="at least one person"):
        judge([nobody], [shown([], [])], 25.0)


def test_this_program_follows_people_who_never_meet_without_a_fault() -> None:
    clip = walking()
    rows = measure([clip], Assembly(make_estimator=lambda *_, **__: NoEstimates()), ())
    assert [row.tracker for row in rows] == ["as shown", "matched only"]
    for row in rows:
        assert (row.scores.mota, row.scores.idf1, row.scores.ids) == (1, 1, 4)
        assert row.scores.hota > 0.9


def test_each_frame_of_a_clip_without_a_film_has_its_own_detections() -> None:
    clip = walking(count=1, frames=300)  # more frames than a byte counts
    frames = play(clip, Assembly(), NoEstimates())
    expected = [people.boxes[0, 0] for people in clip.people]
    assert [frame.boxes[0, 0] for frame in frames] == pytest.approx(expected, abs=3)


def test_a_scene_is_read_with_its_hidden_people_and_cuts(tmp_path: Path) -> None:
    def face(person: int, visible: float) -> dict[str, object]:
        return {"id": person, "box": LEFT, "visible": visible, "gender": "male", "age": 30}

    frames = [[face(1, 1.0), face(2, 0.3)], [face(1, 1.0)], [face(3, 1.0)], [], [face(1, 1.0)]]
    film = tmp_path / "scene.mp4"
    stored = json.dumps({"fps": 25, "size": [640, 360], "frames": frames})
    film.with_suffix(".json.gz").write_bytes(gzip.compress(stored.encode()))
    clip = read_scene(film)
    assert [people.ids.tolist() for people in clip.people] == [[1], [1], [3], [], [1]]
    assert [len(people.ignored) for people in clip.people] == [1, 0, 0, 0, 0]
    assert clip.cuts == [2, 4]  # over an empty frame, too


def test_a_clip_without_truth_has_dashes_and_its_crossing_ids() -> None:
    frames = [shown([1], [LEFT]), shown([1], [LEFT]), shown([2], [LEFT])]
    scores = scored(Clip("real", 25.0, cuts=(1, 2)), frames)
    assert (scores.crossing, scores.ids, scores.shown) == (1, 2, 3)
    assert set(cells(Row("real", "as shown", scores))[2:6]) == {"-"}


def test_walkers_are_the_same_every_time_and_some_are_missed() -> None:
    first, again = walkers(50, 20), walkers(50, 20)
    assert all(np.array_equal(a.boxes, b.boxes) for a, b in zip(first, again, strict=True))
    assert 0 < sum(50 - len(found) for found in first) < 200


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--only", "scenes", "--scenes", "nowhere"], "check --scenes"),
        (["--only", "clip", "--clip", "nowhere.mp4"], "no such clip"),
        (["--only", "pedestrians", "--data", "nowhere"], "check --data"),
    ],
)
def test_what_is_missing_is_said_in_one_line(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    assert said in capsys.readouterr().err


@pytest.mark.data
def test_on_real_detections_our_patience_keeps_identities_better_than_ending_at_once(
    data_dir: Path,
) -> None:
    clip = read_pedestrians(data_dir / "mot" / "TUD-Campus")
    usual = Assembly()
    at_once = replace(usual, tracking=replace(usual.tracking, max_age=0))
    patient, paper = (scored(clip, play(clip, each, NoEstimates())) for each in (usual, at_once))
    assert patient.switches < paper.switches
    assert patient.idf1 > max(paper.idf1, 0.6)
