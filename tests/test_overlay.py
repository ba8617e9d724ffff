from collections.abc import Sequence
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

from drawing.overlay import Overlay, draw_labels, headline, status_parts, track_colour
from drawing.text import luminance, place_labels, plate, plate_size_wh, text_size, wrap
from structures import (
    Frame,
    FrameResult,
    Gender,
    Image,
    Smoothed,
    SourceState,
    SourceStatus,
    Track,
    TrackState,
)

SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)
FEMALE = Smoothed(34.4, 4.2, 0.9, Gender.FEMALE, 9, True)


def track(
    track_id: int,
    box: Sequence[float],
    unseen_s: float = 0,
    state: TrackState = TrackState.CONFIRMED,
) -> Track:
    row = None if unseen_s else 0
    return Track(track_id, np.array(box, np.float32), state, unseen_s, row, 9)


def result(
    tracks: Sequence[Track] = (),
    people: dict[int, Smoothed] | None = None,
    size_wh: tuple[int, int] = (640, 360),
    grey: int = 128,
    **fields: Any,
) -> FrameResult:
    image = np.full((size_wh[1], size_wh[0], 3), grey, np.uint8)
    frame = Frame(image, 0, fields.pop("time_s", 0.0))
    return FrameResult(frame, tuple(tracks), people or {}, **fields)


def overlap(a: Sequence[float], b: Sequence[float]) -> int:
    """Shared area of two xyxy rectangles, counted in pixels."""
    pixels = [
        {(x, y) for x in range(int(r[0]), int(r[2])) for y in range(int(r[1]), int(r[3]))}
        for r in (a, b)
    ]
    return len(pixels[0] & pixels[1])


def placed(
    boxes: ArrayLike,
    sizes: Sequence[tuple[int, int]],
    image_wh: tuple[int, int],
    **options: Any,
) -> list[tuple[int, int, int, int]]:
    corners = place_labels(np.array(boxes, np.float32).reshape(-1, 4), sizes, image_wh, **options)
    return [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]


# what the labels say


@pytest.mark.parametrize(
    ("fields", "latency_ms", "text"),
    [
        ({"time_s": 12.9}, None, "2 faces | 0:12"),
        ({"time_s": 3725.0, "fps": 24.96}, None, "25.0 fps | 2 faces | 1:02:05"),
        ({"time_s": 60.0, "dropped": 7}, None, "2 faces | 1:00 | 7 dropped"),
        ({"camera": "garden", "fps": 9.0}, 84.4, "garden | 9.0 fps | 2 faces | 0:00 | 84 ms"),
        (
            {"load": "estimating less often"},
            1260.0,
            "2 faces | 0:00 | 1.3 s | estimating less often",
        ),
    ],
)
def test_the_status_line_leaves_out_what_is_unknown_or_zero(
    fields: dict[str, Any], latency_ms: float | None, text: str
) -> None:
    assert " | ".join(status_parts(result(**fields), 2, latency_ms)) == text


def test_one_face_is_singular() -> None:
    assert status_parts(result(), 1) == ["1 face", "0:00"]


def test_of_a_source_without_pictures_only_what_is_still_true_is_told() -> None:
    lost = result(time_s=9, fps=25.0, camera="door", status=SourceStatus(SourceState.STALLED))
    assert status_parts(lost, 2, 9999.0) == ["door", "0:09"]


@pytest.mark.parametrize(
    ("state", "age_s", "text"),
    [
        (SourceState.CONNECTING, None, "connecting to door ..."),
        (SourceState.STALLED, 1.6, "no picture for 2 s"),
        (SourceState.STALLED, None, "no picture"),
        (SourceState.RECONNECTING, 12.3, "no picture for 12 s: reconnecting"),
        (SourceState.RECONNECTING, 600.0, "no picture for 10 min: reconnecting"),
        (SourceState.FAILED, 7300.0, "no picture for 2 h: cannot connect"),
        (SourceState.FAILED, None, "cannot connect to door"),
    ],
)
def test_a_notice_says_what_is_the_matter_and_for_how_long(
    state: SourceState, age_s: float | None, text: str
) -> None:
    assert headline(SourceStatus(state), age_s, "door") == text


def test_lines_are_filled_as_far_as_they_fit_and_nothing_gets_lost() -> None:
    parts = ["24.9 fps", "x" * 60, "2 faces", "0:12"]
    lines = wrap(parts, 12, 150, "  ")
    assert all(plate_size_wh([line], 12)[0] <= 150 for line in lines)
    assert "".join("".join(lines).split()) == "".join("".join(parts).split())
    width, _ = plate_size_wh(["2 faces  0:12"], 12)
    assert wrap(parts[2:], 12, width, "  ") == ["2 faces  0:12"]
    assert wrap(parts[2:], 12, width - 1, "  ") == ["2 faces", "0:12"]
    assert wrap([], 12, 150) == []


# plates


def test_the_plus_minus_sign_is_drawn_and_not_replaced() -> None:
    drawn = {sign: plate((sign,), 40, (255, 255, 255)) for sign in "±+?"}
    assert not np.array_equal(drawn["±"], drawn["?"])
    ink_rows = np.flatnonzero((drawn["±"] < 128).any(axis=(1, 2)))
    gaps = np.flatnonzero(np.diff(ink_rows) > 1)
    assert len(gaps) == 1  # a cross, and a bar below it


@pytest.mark.parametrize("size", [12, 13, 25, 49])
def test_a_plate_has_the_size_foretold_and_keeps_its_rim_clear(size: int) -> None:
    lines = ("#123 female 34 ±4", "Asian gjpqy 71 %")
    picture = plate(lines, size, (0, 0, 255))
    assert picture.shape[1::-1] == plate_size_wh(lines, size)
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (rim == (0, 0, 255)).all()


def test_text_contrasts_with_its_plate_whatever_the_track() -> None:
    for track_id in range(1, 100):
        pixels = plate(("M",), 60, track_colour(track_id)).reshape(-1, 3)
        ends = pixels[[pixels.sum(axis=1).argmin(), pixels.sum(axis=1).argmax()]]
        light = [luminance((int(pixel[0]), int(pixel[1]), int(pixel[2]))) for pixel in ends]
        assert (max(light) + 0.05) / (min(light) + 0.05) > 4.5  # WCAG 2, level AA


def test_colours_are_stable_and_those_of_near_ids_differ() -> None:
    colours = np.array([track_colour(i) for i in range(1, 200)], np.float32)
    assert track_colour(7) == track_colour(7)
    lab = cv2.cvtColor(colours[None] / 255, cv2.COLOR_BGR2Lab)[0]
    for step in range(1, 12):
        assert np.linalg.norm(lab[step:] - lab[:-step], axis=1).min() > 40  # 2 is noticeable


# where labels go


def test_labels_stay_inside_for_boxes_anywhere() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        width, height = rng.integers(60, 400, 2)
        corner = rng.uniform(-300, 600, (6, 2))
        boxes = np.hstack([corner, corner + rng.uniform(1, 200, (6, 2))])
        sizes = [(int(w), int(h)) for w, h in rng.integers(5, 60, (6, 2))]
        for x1, y1, x2, y2 in placed(boxes, sizes, (width, height)):
            assert x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height


def test_a_label_larger_than_the_picture_starts_at_its_corner() -> None:
    assert placed([(10, 10, 20, 20)], [(500, 50)], (100, 40)) == [(0, 0, 500, 50)]


def test_a_lone_label_goes_above_and_below_where_there_is_no_room_above() -> None:
    assert placed([(100, 100, 150, 160)], [(80, 12)], (640, 360)) == [(100, 87, 180, 99)]
    assert placed([(100, 5, 150, 60)], [(80, 12)], (640, 360)) == [(100, 61, 180, 73)]


@pytest.mark.parametrize("spacing", [40, 50, 70])
def test_labels_of_faces_side_by_side_do_not_cover_each_other(spacing: int) -> None:
    boxes = [(20 + i * spacing, 150, 55 + i * spacing, 200) for i in range(7)]
    labels = placed(boxes, [(95, 16)] * 7, (640, 360))
    assert all(overlap(a, b) == 0 for a, b in combinations(labels, 2))


def test_labels_hide_no_face_where_there_is_room() -> None:
    boxes = [(50, 100, 100, 160), (60, 180, 110, 240), (300, 100, 360, 170), (366, 105, 420, 170)]
    labels = placed(boxes, [(90, 16)] * 4, (640, 360))
    assert all(overlap(label, box) == 0 for label in labels for box in boxes)


def test_labels_keep_off_what_is_taken() -> None:
    taken = (0, 0, 200, 20)
    (label,) = placed([(5, 25, 60, 80)], [(80, 16)], (640, 360), taken=[taken])
    assert overlap(label, taken) == 0


def test_no_boxes_need_no_places() -> None:
    assert placed([], [], (640, 360)) == []


# drawing


def test_the_frame_is_left_as_it_was() -> None:
    one = result([track(1, (50, 50, 100, 100))], {1: FEMALE})
    drawn = Overlay().draw(one)
    assert (one.frame.image == 128).all() and not one.frame.image.flags.writeable
    assert drawn.shape == one.frame.image.shape and drawn.dtype == np.uint8
    assert drawn.flags.writeable and (drawn != 128).any()


@pytest.mark.parametrize("size_wh", [(8, 8), (176, 144), (641, 359), (3840, 2160)])
def test_pictures_of_any_size_get_their_box_drawn_in_the_colour_of_the_track(
    size_wh: tuple[int, int],
) -> None:
    box = np.array((0.3, 0.4, 0.6, 0.9)) * np.tile(size_wh, 2)
    drawn = Overlay(status=False).draw(result([track(5, box)], size_wh=size_wh))
    x, y = round(box[0]), round((box[1] + box[3]) / 2)
    assert tuple(drawn[y, x]) == track_colour(5)


def test_nothing_is_written_outside_the_picture() -> None:
    rng = np.random.default_rng(1)
    canvas = np.full((400, 500, 3), 77, np.uint8)
    inside = np.s_[100:300, 100:400]
    corner = rng.uniform(-250, 450, (60, 2))
    boxes = np.hstack([corner, corner + rng.uniform(1, 400, (60, 2))]).astype(np.float32)
    texts, colours = [["#1 female 34 ±4"]] * 60, [track_colour(i) for i in range(60)]
    draw_labels(canvas[inside], boxes, texts, colours, [i % 2 == 0 for i in range(60)], ["status"])
    assert (canvas[inside] != 77).any()
    canvas[inside] = 77
    assert (canvas == 77).all()


@pytest.mark.parametrize(
    "box",
    [
        (-90, 10, -5, 60),
        (650, 10, 700, 60),
        (10, 365, 60, 400),
        (10, -60, 60, -1),
        (np.nan, 10, 60, 60),
        (10, 10, np.inf, 60),
    ],
)
def test_a_box_that_is_not_in_the_picture_is_left_out_with_its_label(box: Sequence[float]) -> None:
    drawn = Overlay(status=False).draw(result([track(1, box)], {1: FEMALE}))
    assert (drawn == 128).all()


def test_a_box_of_absurd_size_is_drawn_where_it_shows() -> None:
    drawn = Overlay(status=False).draw(result([track(1, (-1e30, 100, 1e30, 1e30))]))
    assert tuple(drawn[100, 500]) == track_colour(1)


def test_tentative_tracks_are_not_shown() -> None:
    tentative = track(1, (50, 50, 100, 100), state=TrackState.TENTATIVE)
    assert (Overlay(status=False).draw(result([tentative])) == 128).all()


def test_a_face_not_seen_in_this_frame_has_a_broken_box_that_pales_and_no_label() -> None:
    box, people = (100, 100, 300, 300), {1: FEMALE}
    overlay = Overlay(status=False)
    drawn = [overlay.draw(result([track(1, box, s)], people)) for s in (0, 0.04, 0.08, 0.12)]
    changes = [np.abs(picture.astype(int) - 128).sum() for picture in drawn]
    assert changes == sorted(changes, reverse=True) and changes[-1] > 0
    seen, *foretold = ((picture[200:290, 90:110] != 128).any(axis=(1, 2)) for picture in drawn)
    assert seen.all() and not any(side.all() for side in foretold)
    assert all((picture[:80] == 128).all() for picture in drawn[1:])


@pytest.mark.parametrize("grey", [0, 255])
def test_a_box_shows_on_black_and_on_white(grey: int) -> None:
    drawn = Overlay(status=False).draw(result([track(6, (100, 100, 300, 300))], grey=grey))
    side = drawn[200, 90:110].astype(int)
    light = [luminance(tuple(pixel)) for pixel in side]
    assert (max(light) + 0.05) / (min(light) + 0.05) > 3  # WCAG 2 for graphics


def test_long_labels_are_shortened_on_small_pictures() -> None:
    size = text_size((176, 144))
    drawn = Overlay(status=False).draw(
        result([track(8, (60, 60, 120, 120))], {8: FEMALE}, size_wh=(176, 144))
    )
    short = plate(("#8 F 34",), size, track_colour(8))
    found = cv2.matchTemplate(drawn, short, cv2.TM_SQDIFF)
    assert found.min() < 1


def test_a_status_line_too_wide_for_the_picture_is_broken_in_two() -> None:
    drawn = Overlay().draw(result(size_wh=(176, 144), fps=118.3, dropped=1234))
    lines = ("118.3 fps   0 faces   0:00", "1234 dropped")
    expected = plate(lines, text_size((176, 144)), (40, 40, 40))
    assert np.array_equal(drawn[: expected.shape[0], : expected.shape[1]], expected)


def test_without_tracks_only_the_status_line_is_drawn() -> None:
    assert (Overlay(status=False).draw(result()) == 128).all()
    drawn = Overlay().draw(result())
    _, height = plate_size_wh(("0",), text_size((640, 360)))
    assert (drawn[:height] != 128).any() and (drawn[height:] == 128).all()


# a source that gives no picture

LOST = SourceStatus(SourceState.RECONNECTING, "it does not answer")


@pytest.mark.parametrize("size_wh", [(8, 8), (176, 144), (640, 360), (1920, 1080)])
def test_the_last_picture_of_a_lost_source_is_dimmed_with_a_notice_in_its_middle(
    size_wh: tuple[int, int],
) -> None:
    drawn = Overlay(status=False).draw(result(size_wh=size_wh, grey=200, status=LOST))
    assert drawn.shape[1::-1] == size_wh
    assert (drawn[-1] < 100).all() or size_wh == (8, 8)
    middle = drawn[size_wh[1] // 3 : 2 * size_wh[1] // 3]
    assert (middle.max(axis=2) > 200).any()  # the plate


def test_the_faces_of_a_lost_source_are_dimmed_with_it() -> None:
    drawn = Overlay().draw(result([track(5, (20, 300, 80, 350))], status=LOST))
    assert tuple(drawn[320, 20]) != track_colour(5)
    assert (drawn[330] < 100).all()


def test_a_notice_counts_the_age_of_the_last_picture() -> None:
    def drawn(now_s: float) -> Image:
        frame = Frame(np.full((360, 640, 3), 9, np.uint8), 0, 0.0, arrived_s=100.0)
        return Overlay(clock=lambda: now_s).draw(FrameResult(frame, status=LOST))

    assert np.array_equal(drawn(112.1), drawn(112.2))
    assert not np.array_equal(drawn(112.1), drawn(113.1))


def test_before_the_first_picture_there_is_a_placeholder_with_the_name() -> None:
    connecting = SourceStatus(SourceState.CONNECTING)
    pictures = [Overlay().placeholder((320, 200), name, connecting) for name in ("door", "yard")]
    assert all(picture.shape == (200, 320, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    assert (pictures[0][0] == pictures[0][0, 0]).all()  # nothing in the corner


def test_a_live_picture_is_neither_dimmed_nor_covered() -> None:
    assert (Overlay(status=False).draw(result(load="estimating less often")) == 128).all()


def test_anonymous_neither_boxes_nor_labels_are_drawn_but_faces_are_counted() -> None:
    some = result([track(1, (200, 100, 300, 220))], {1: FEMALE})
    assert (Overlay(status=False, anonymous=True).draw(some) == some.frame.image).all()
    shown, want = Overlay(anonymous=True).draw(some), Overlay().draw(some)
    corner = slice(0, 40), slice(0, 180)
    assert (shown[corner] == want[corner]).all() and (shown[corner] != 128).any()
