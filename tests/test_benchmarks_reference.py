"""Which faces a program found, and how detectors agree on which there are."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreed_faces import SAME_FACE, Reference, count_pairs, judge, read, write
from benchmarks.reference import Candidate, History, look, merge, sheet
from structures import Float32
from tests.fakes import grey
from tracking.boxes import iou_matrix


def boxes(*rows: Sequence[float]) -> Float32:
    return np.array(rows, np.float32).reshape(-1, 4)


def most_pairs_by_trying_all(faces: Sequence[Float32], shown: Float32) -> int:
    """The oracle: every way to give faces boxes of their own."""
    matches = [[bool((iou_matrix(f, shown)[:, j] >= SAME_FACE).any()) for j in range(len(shown))]
               for f in faces]  # fmt: skip
    places: list[int | None] = [*range(len(shown)), *([None] * len(faces))]
    ways = set(itertools.permutations(places, len(faces)))
    return max(sum(j is not None and matches[i][j] for i, j in enumerate(way)) for way in ways)


@pytest.mark.parametrize("seed", range(30))
def test_as_many_faces_are_counted_as_the_best_of_all_pairings_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def crowd(count: int) -> Float32:
        corners = rng.uniform(0, 40, (count, 2))
        corners = np.hstack([corners, corners + rng.uniform(15, 40, (count, 2))])
        return np.asarray(corners, np.float32)

    faces = [crowd(int(rng.integers(1, 3))) for _ in range(rng.integers(1, 4))]
    shown = crowd(int(rng.integers(1, 4)))
    assert count_pairs(faces, shown) == most_pairs_by_trying_all(faces, shown)


def test_a_second_box_on_a_face_and_a_box_on_nothing_are_extra() -> None:
    reference = Reference((640, 360), [[boxes((0, 0, 10, 10))], [boxes((0, 0, 10, 10))], []])
    shown = [boxes((0, 0, 10, 10), (0, 0, 9, 10), (50, 50, 60, 60)), boxes(), boxes((1, 1, 5, 5))]
    assert judge(reference, shown) == (1, 2, 3, 3)
    assert judge(reference, shown[:1]) == (1, 1, 2, 1)


def test_a_face_is_found_by_a_box_that_fits_any_detectors_drawing_of_it() -> None:
    tall, square = (0, 0, 10, 30), (0, 18, 10, 30)
    assert count_pairs([boxes(tall)], boxes((0, 20, 10, 30))) == 0
    assert count_pairs([boxes(tall, square)], boxes((0, 20, 10, 30))) == 1


def test_overlapping_boxes_of_two_families_are_one_candidate() -> None:
    candidates = merge({"a": boxes((0, 0, 10, 10), (40, 0, 50, 10)), "b": boxes((41, 0, 51, 10))})
    assert [sorted(candidate.boxes) for candidate in candidates] == [["a"], ["a", "b"]]
    assert merge({"a": boxes(), "b": boxes((1, 2, 3, 4))})[0].box.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("looks", "confirmed", "is_face"),
    [(1, 1, False), (2, 2, True), (3, 1, False), (8, 2, True), (9, 2, False), (0, 0, False)],
)
def test_a_track_is_a_face_when_two_looks_and_a_quarter_of_them_confirm(
    looks: int, confirmed: int, is_face: bool
) -> None:
    assert History(looks=looks, confirmed=confirmed).is_face is is_face


def test_a_look_returns_the_detectors_box_in_pixels_of_the_whole_image() -> None:
    at = boxes((300, 100, 320, 120))[0]
    # where a face of a look lies
    box = look(grey(9, (640, 360)), at, lambda view: boxes((75, 75, 175, 175)))
    assert box == pytest.approx([300, 100, 320, 120], abs=0.01)
    assert look(grey(9, (640, 360)), at, lambda view: boxes((0, 0, 40, 40))) is None
    assert look(grey(9), boxes((0, 0, 20, 20))[0], lambda view: boxes()) is None


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    frames = [[boxes((0, 1, 2, 3), (0.5, 1, 2, 3))], [], [boxes((4, 5, 6, 7))]]
    write(Reference((64, 48), frames), path)
    again = read(path)
    assert again.size_wh == (64, 48)
    assert [[f.tolist() for f in frame] for frame in again.frames] == [
        [f.tolist() for f in frame] for frame in frames
    ]
    assert json.loads(path.read_text())["frames"][1] == []


def test_a_sheet_shows_every_track_once_and_whether_it_passed() -> None:
    def seen(shade: int, **looks: int) -> History:
        return History([grey(shade, (250, 250))], {0: Candidate({})}, **looks)

    faces = [seen(90, looks=4, confirmed=3)] * 7
    drawn = sheet([seen(40, looks=4), *faces, *[seen(40, looks=4)] * 5])
    views = drawn.reshape(2, 125, 12, 125, 3).swapaxes(1, 2).reshape(24, 125, 125, 3)
    assert views[:, 60, 60, 0].tolist() == [90] * 7 + [40] * 6 + [255] * 11
    assert (views[:7, 0, 0] == (0, 160, 0)).all()
    assert (views[7:13, 0, 0] == (0, 0, 220)).all()
    assert (sheet([]) == 255).all()
