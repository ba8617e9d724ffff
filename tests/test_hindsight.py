import numpy as np
import pytest

from structures import Detections, Float32, Frame, Image
from tests.fakes import grey
from tracking.hindsight import FEW, SPAN_S, WEAK_S, Hindsight

FPS = 25
SIZE = (320, 180)
SHARP = np.random.default_rng(3).integers(60, 200, (180, 320, 3)).astype(np.uint8)
WHOLE = [0.0, 0.0, 320.0, 180.0]
Faces = dict[int, list[tuple[float, float]]]  # frame -> left and top of each face


def face(x: float, y: float, side: float = 30) -> list[float]:
    return [x, y, x + side, y + side]


def hidden(
    faces: Faces,
    count: int = 100,
    scores: float = 0.99,
    epochs: dict[int, int] | None = None,
    images: dict[int, Image] | None = None,
    fps: int = FPS,
) -> list[Float32]:
    """What is hidden in each of `count` frames; `epochs` begin at their frames."""
    hindsight, places = Hindsight(sure=0.9), []
    for index in range(count):
        epoch = max((e for first, e in (epochs or {}).items() if first <= index), default=0)
        image = (images or {}).get(index, SHARP)
        found = np.array([face(*each) for each in faces.get(index, [])], np.float32).reshape(-1, 4)
        rows = np.full(len(found), scores, np.float32)
        hindsight.add(Frame(image, index, index / fps, epoch), Detections.of_boxes(found, rows))
        if index >= fps * SPAN_S:
            places.append(hindsight.pop())
    return places + [hindsight.pop() for _ in range(count - len(places))]


def covers(places: Float32, x: float, y: float) -> bool:
    """Whether one place alone covers a face there, but for a pixel on each side."""
    box = np.array(face(x, y))
    inside = (places[:, :2] <= box[:2] + 1) & (places[:, 2:] >= box[2:] - 1)
    return bool(inside.all(axis=1).any())


def is_whole(places: Float32) -> bool:
    return len(places) > 0 and places[-1].tolist() == WHOLE


def test_a_face_is_hidden_from_a_second_before_it_is_found_to_a_second_after() -> None:
    places = hidden({i: [(50, 50)] for i in range(40, 60)})
    assert [i for i, each in enumerate(places) if len(each)] == list(range(40 - FPS, 60 + FPS))
    assert all(covers(each, 50, 50) for each in places[40 - FPS : 60 + FPS])


def test_a_face_that_is_lost_for_some_frames_is_hidden_on_its_way() -> None:
    def x(index: int) -> float:
        return 20 + 1.5 * index

    places = hidden({i: [(x(i), 50)] for i in range(100) if not 40 <= i < 60})
    assert all(covers(each, x(i), 50) for i, each in enumerate(places))


def test_where_a_box_jumps_the_face_is_hidden_by_those_next_to_it_too() -> None:
    places = hidden({i: [(50 + 9 * (i == 50), 50)] for i in range(40, 60)})
    assert covers(places[50], 59, 50) and covers(places[50], 50, 50)
    assert [len(each) for each in places[42:46]] == [1] * 4


def test_a_moving_face_is_hidden_where_it_came_from_and_where_it_went() -> None:
    places = hidden({i: [(3.0 * i, 50)] for i in range(40, 60)})
    # Of the first fifth of a second before it is found the speed is not known yet.
    assert all(covers(places[i], 3.0 * i, 50) for i in range(40 - FPS + 5, 60 + FPS))


def test_nothing_is_carried_over_a_cut_in_either_direction() -> None:
    faces: Faces = {i: [(50, 50)] for i in range(50)}
    faces |= {i: [(200, 90)] for i in range(60, 100)}
    places = hidden(faces, epochs={0: 0, 50: 1})
    assert all(covers(each, 50, 50) and len(each) == 1 for each in places[:50])
    # The face of the new scene was found late; it is hidden from the cut on.
    assert all(covers(each, 200, 90) and not covers(each, 50, 50) for each in places[50:])


def test_a_single_weak_detection_is_hidden_for_a_moment_and_many_like_a_face() -> None:
    once = hidden({50: [(50, 50)]}, scores=0.6)
    near = round(WEAK_S * FPS)
    assert [i for i, each in enumerate(once) if len(each)] == list(range(50 - near, 51 + near))
    often = hidden({i: [(50, 50)] for i in range(50, 50 + FEW)}, scores=0.6)
    assert covers(often[49 - 10], 50, 50) and covers(often[50 + FEW + 10], 50, 50)


def test_where_few_frames_come_a_weak_face_need_not_be_found_as_often() -> None:
    places = hidden({i: [(50, 50)] for i in (20, 21, 22)}, count=40, scores=0.6, fps=4)
    assert covers(places[19], 50, 50) and covers(places[24], 50, 50)


def dim(image: Image) -> Image:
    return (image // 5).astype(np.uint8)


@pytest.mark.parametrize("shown", [grey(90, SIZE), dim(SHARP)], ids=["blank", "dark"])
def test_a_frame_too_dark_or_blurred_to_find_a_face_is_hidden_as_a_whole(shown: Image) -> None:
    unclear = dict.fromkeys(range(50, 60), shown)
    faces: Faces = {i: [(50, 50)] for i in range(100) if i not in unclear}
    places = hidden(faces, images=unclear)
    assert [i for i, each in enumerate(places) if is_whole(each)] == list(unclear)
    # Where nobody is known to be, or everybody is found, nothing is in doubt.
    assert not any(map(is_whole, hidden({}, images=unclear)))
    faces = {i: [(50, 50)] for i in range(100)}
    assert not any(map(is_whole, hidden(faces, images=unclear)))


def test_where_all_of_several_faces_are_lost_at_once_the_whole_frame_is_hidden() -> None:
    two: Faces = {i: [(50, 50), (200, 90)] for i in range(100) if not 50 <= i < 55}
    places = hidden(two)
    assert [i for i, each in enumerate(places) if is_whole(each)] == list(range(50, 55))
    one_by_one: Faces = {i: [(50, 50), (200, 90)] for i in range(40)}
    one_by_one |= {i: [(50, 50)] for i in range(40, 50)}
    assert not any(map(is_whole, hidden(one_by_one)))


def test_at_the_beginning_and_the_end_every_frame_has_what_can_be_known() -> None:
    places = hidden({10: [(50, 50)]}, count=12)
    assert len(places) == 12 and all(covers(each, 50, 50) for each in places)
    assert [each.shape for each in hidden({}, count=3)] == [(0, 4)] * 3


def test_after_clear_nothing_is_known() -> None:
    hindsight = Hindsight(sure=0.9)
    box = np.array([face(50, 50)], np.float32)
    frame = Frame(SHARP, 0, 0.0)
    hindsight.add(frame, Detections.of_boxes(box, np.ones(1, np.float32)))
    hindsight.clear()
    hindsight.add(frame, Detections.empty())
    assert len(hindsight.pop()) == 0


def test_frames_of_the_same_time_are_hidden_like_their_neighbours() -> None:
    for faces in ({0: [(50, 50)], 2: [(60, 50)]}, {1: [(50, 50)], 2: [(52, 50)]}):
        hindsight = Hindsight(sure=0.9)
        for index in range(4):
            boxes = [face(*each) for each in faces.get(index, [])]
            found = np.array(boxes, np.float32).reshape(-1, 4)
            scores = np.ones(len(found), np.float32)
            hindsight.add(Frame(SHARP, index, 1.0), Detections.of_boxes(found, scores))
        for places in [hindsight.pop() for _ in range(4)]:
            assert any(covers(places, x, 50) for x in (50, 52, 60))
