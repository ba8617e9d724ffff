"""Who somebody is, on scripted faces: a chip says whose face it shows."""

import itertools
import tracemalloc
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from structures import Float32, Image, Track, TrackState
from tracking.memory import MOST_PEOPLE, PeopleMemory
from tracking.recall import Recall

FPS = 25.0
LEFT, MIDDLE, RIGHT = 0.0, 200.0, 400.0


def vector_of(person: int) -> Float32:
    """A unit vector; those of two people have a cosine of about 0.8, as dlib's have."""
    own = np.random.default_rng(person).normal(size=128)
    total = np.full(128, 2.0) + own
    return (total / np.linalg.norm(total)).astype(np.float32)


def described(chips: Image) -> "Future[Float32]":
    future: Future[Float32] = Future()
    future.set_result(np.stack([vector_of(int(chip[0, 0, 0])) for chip in chips]))
    return future


def track(track_id: int, x: float, row: int | None) -> Track:
    box = np.array([x, 0, x + 100, 100], np.float32)
    return Track(track_id, box, TrackState.CONFIRMED, 0 if row is not None else 5, row, 9)


class Scene:
    """A recall with its memory; each frame is a list of (track, place, whose face it is).

    A face of 0 is not found.
    """

    def __init__(self, keep_s: float = 60.0, live: bool = False) -> None:
        self.memory = PeopleMemory(keep_s)
        self.pending: list[tuple[Image, Future[Float32]]] = []
        describe = self._later if live else described
        self.recall = Recall(self.memory, itertools.count(1000), describe, 4, live)
        self.looks = 0
        self.last: list[Track] = []
        self.time_s = 0.0
        self.weight = 1.0

    def _later(self, chips: Image) -> "Future[Float32]":
        self.pending.append((chips, Future()))
        return self.pending[-1][1]

    def show(
        self, faces: Iterable[tuple[int, float, int]], seconds: float = 1 / FPS
    ) -> dict[float, int]:
        """Show faces for a while; returns the ids shown in the last frame, by place."""
        faces = list(faces)
        for _ in range(max(round(seconds * FPS), 1)):
            self.time_s += 1 / FPS
            whose = [person for _, _, person in faces]

            def cut(rows: Sequence[int | None], whose: list[int] = whose) -> tuple[Image, Float32]:
                self.looks += len(rows)
                people = [whose[row] for row in rows if row is not None]
                chips = np.array(people, np.uint8)[:, None, None, None] * np.ones((4, 4, 3), "u1")
                return chips, np.full(len(people), self.weight, np.float32)

            tracks = [track(i, x, row if face else None) for row, (i, x, face) in enumerate(faces)]
            shown = self.last = self.recall.update(tracks, self.time_s, cut)
        confirmed = [each for each in shown if each.state is TrackState.CONFIRMED]
        return {float(each.box[0]): each.track_id for each in confirmed}

    def leave(self, seconds: float = 1.0) -> None:
        self.show([], seconds)


def test_somebody_who_comes_back_has_the_id_of_then() -> None:
    scene = Scene()
    assert scene.show([(1, LEFT, 7), (2, RIGHT, 8)], 2) == {LEFT: 1, RIGHT: 2}
    scene.leave()
    assert scene.show([(3, LEFT, 8), (4, RIGHT, 7)]) == {LEFT: 2, RIGHT: 1}
    scene.recall.begin_epoch()  # a cut
    assert scene.show([(5, LEFT, 7)]) == {LEFT: 1}


def test_where_nobody_is_remembered_a_face_is_shown_at_once() -> None:
    scene = Scene()
    scene.weight = 0.0
    assert scene.show([(1, LEFT, 7)]) == {LEFT: 1}


def test_a_stranger_gets_an_id_of_his_own() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7)], 2)
    scene.leave()
    assert scene.show([(2, LEFT, 8)]) == {LEFT: 2}
    assert scene.show([(2, LEFT, 8), (3, RIGHT, 7)]) == {LEFT: 2, RIGHT: 1}


def test_a_face_is_not_shown_before_it_is_decided_and_never_renamed() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7)], 2)
    scene.leave()
    scene.weight = 0.1  # too poor to compare
    assert scene.show([(2, LEFT, 7)], 0.4) == {}
    assert scene.show([(2, LEFT, 7)], 0.4) == {LEFT: 2}
    scene.weight = 1.0
    assert scene.show([(2, LEFT, 7)], 5) == {LEFT: 2}


def test_two_faces_at_the_same_time_are_never_one_person() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7)], 2)
    assert scene.show([(1, LEFT, 7), (2, RIGHT, 7)], 2) == {LEFT: 1, RIGHT: 2}
    scene.leave()
    shown = scene.show([(3, LEFT, 7), (4, RIGHT, 7)], 2)
    assert sorted(shown.values()) == [1, 2]


def test_ids_that_changed_over_as_two_people_crossed_are_put_right() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7), (2, RIGHT, 8)], 2)
    scene.show([(1, MIDDLE, 7), (2, MIDDLE + 50, 8)], 0.2)
    shown = scene.show([(1, LEFT, 8), (2, RIGHT, 7)], 0.5)
    assert shown == {LEFT: 2, RIGHT: 1}


def test_ids_of_one_frame_differ_while_somebody_is_undecided() -> None:
    scene = Scene()
    scene.show([(1, 0, 10), (2, 300, 20)], 2)
    scene.show([(1, 0, 0), (2, 300, 0)], 0.36)
    ids = []
    for _ in range(40):  # track 1 went on with the person of track 2, and gets her id
        scene.show([(1, 0, 20), (2, 300, 0)])
        ids.append({each.track_id for each in scene.last})
    assert all(len(each) == 2 for each in ids)
    assert ids[-1] == {-2, 2}


def test_a_track_that_went_on_with_a_stranger_gets_a_new_id_before_it_is_shown() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7)], 2)
    scene.time_s += 0.8  # behind something
    assert scene.show([(1, LEFT, 7)]) == {LEFT: 1}
    scene.time_s += 0.8
    assert scene.show([(1, LEFT, 8)], 0.16) == {}
    assert scene.show([(1, LEFT, 8)], 0.2) == {LEFT: 1000}
    assert scene.show([(1, LEFT, 8), (2, RIGHT, 7)]) == {LEFT: 1000, RIGHT: 1}


def test_an_id_without_looks_does_not_go_over_to_somebody_who_is_known() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7)], 2)
    scene.leave()
    scene.weight = 0.1
    assert scene.show([(2, LEFT, 8)], 0.8) == {LEFT: 2}
    scene.time_s += 0.8
    scene.weight = 1.0
    assert scene.show([(2, LEFT, 7)]) == {LEFT: 1}


def test_a_face_behind_another_is_not_compared() -> None:
    scene = Scene()
    scene.show([(1, LEFT, 7), (2, RIGHT, 8)], 2)
    before = scene.looks
    shown = scene.show([(1, MIDDLE, 9), (2, MIDDLE + 50, 9)], 1)
    assert (scene.looks, shown) == (before, {MIDDLE: 1, MIDDLE + 50: 2})


def test_people_are_forgotten_when_their_time_is_over_but_not_while_in_view() -> None:
    scene = Scene(keep_s=5)
    scene.show([(1, LEFT, 7), (2, RIGHT, 8)], 1)
    scene.show([(2, RIGHT, 8)], 4)
    assert len(scene.memory) == 2
    scene.show([(2, RIGHT, 8)], 2)
    assert len(scene.memory) == 1
    assert scene.show([(2, RIGHT, 8), (3, LEFT, 7)]) == {RIGHT: 2, LEFT: 3}
    scene.memory.clear()
    assert len(scene.memory) == 0
    assert scene.show([(2, RIGHT, 8), (3, LEFT, 7)], 3) == {RIGHT: 2, LEFT: 3}


def test_by_the_clock_people_are_forgotten_while_no_frame_comes() -> None:
    now_s = [0.0]
    memory = PeopleMemory(10, clock=lambda: now_s[0])
    memory.note()
    memory.learn(1, vector_of(7))
    now_s[0] = 9.0
    memory.note()
    assert len(memory) == 1
    now_s[0] = 10.0
    memory.note()
    assert len(memory) == 0


def test_of_two_cameras_one_knows_who_was_seen_by_the_other() -> None:
    scene, other = Scene(), Scene()
    other.recall = Recall(scene.memory, itertools.count(2000), described, 4)
    scene.show([(1, LEFT, 7)], 1)
    assert other.show([(2, LEFT, 7), (3, RIGHT, 8)]) == {LEFT: 1, RIGHT: 3}


def test_live_frames_do_not_wait_for_a_look() -> None:
    scene = Scene(live=True)
    scene.show([(1, LEFT, 7)], 0.2)
    answer(scene)
    scene.show([(1, LEFT, 7)])
    scene.leave()
    assert scene.show([(2, LEFT, 7)], 0.3) == {}
    answer(scene)
    assert scene.show([(2, LEFT, 7)]) == {LEFT: 1}


def answer(scene: Scene) -> None:
    """Give the look that was asked for; there is never more than one."""
    ((chips, future),) = scene.pending
    future.set_result(described(chips).result())
    scene.pending.clear()


def test_live_a_few_looks_a_second_are_taken_and_a_face_is_shown_when_none_comes() -> None:
    scene = Scene(live=True)
    scene.show([(1, LEFT, 7)], 0.2)
    answer(scene)
    scene.leave()
    faces = [(i, 200.0 * i, i) for i in range(2, 12)]
    shown: dict[float, int] = {}
    asked = 0
    for _ in range(50):
        shown = scene.show(faces)
        asked += sum(len(chips) for chips, _ in scene.pending)
        if scene.pending:
            answer(scene)
    assert asked <= 2 * 8
    assert list(shown.values()) == list(range(2, 12))


def test_photographs_are_decided_at_once() -> None:
    scene = Scene()
    for number, person in enumerate((7, 8, 7), 1):
        scene.weight = 1.0 if number == 1 else 0.1
        scene.recall.begin_epoch()
        scene.time_s += 2.0
        assert scene.show([(number, LEFT, person)]) == {LEFT: number}


@pytest.mark.slow
def test_memory_stays_flat_over_thousands_of_passers_by() -> None:
    scene = Scene(keep_s=24 * 3600)
    tracemalloc.start()
    try:
        for number in range(5000):
            look = np.random.default_rng(number).normal(size=128).astype(np.float32)
            scene.memory.learn(number, look / np.linalg.norm(look))
            scene.memory.store(number, bytes(10_000))
            scene.memory.note(float(number))
            if number == 500:
                start, _ = tracemalloc.get_traced_memory()
        end, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(scene.memory) == MOST_PEOPLE
    assert end - start < 20e6
