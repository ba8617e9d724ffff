from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import ArrayLike

from drawing.overlay import Overlay, Style, draw_labels, headline, status_parts, track_colour
from drawing.text import Pen, lay, load_font, luminance, place_labels, text_size
from errors import FontError
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
    pen = Pen(12)
    lines = pen.wrap(parts, 150, "  ")
    assert all(pen.plate_size_wh([line])[0] <= 150 for line in lines)
    assert "".join("".join(lines).split()) == "".join("".join(parts).split())
    width, _ = pen.plate_size_wh(["2 faces  0:12"])
    assert pen.wrap(parts[2:], width, "  ") == ["2 faces  0:12"]
    assert pen.wrap(parts[2:], width - 1, "  ") == ["2 faces", "0:12"]
    assert pen.wrap([], 150) == []


# plates


def shown_on(grey: int, lines: Sequence[str], size: int, edge: Any = None) -> Image:
    """A plate laid over plain grey."""
    plate = Pen(size).plate(lines, edge=edge)
    image = np.full((plate.size_wh[1], plate.size_wh[0], 3), grey, np.uint8)
    lay(image, plate, 0, 0)
    return image


@pytest.mark.parametrize("text", ["±", "é", "Ž", "ß", "Ω", "ή", "Я", "щ", "–", "…"])
def test_latin_greek_and_cyrillic_have_letters_of_their_own(text: str) -> None:
    missing = shown_on(128, ["\uffff"], 40)
    assert not np.array_equal(shown_on(128, [text], 40), missing)
    assert not np.array_equal(shown_on(128, [text], 40), shown_on(128, ["?"], 40))


@pytest.mark.parametrize("size", [12, 13, 25, 49])
def test_a_plate_has_the_size_foretold_and_its_text_keeps_off_the_rim(size: int) -> None:
    pen, lines = Pen(size), ("#123 female 34 ±4", "Ágjpqy 71 %")
    plate = pen.plate(lines)
    assert plate.size_wh == pen.plate_size_wh(lines)
    rim = np.concatenate([plate.ink[0], plate.ink[-1], plate.ink[:, 0], plate.ink[:, -1]])
    assert rim.max() <= 24 < plate.ink.max()  # no white of the letters


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_text_contrasts_with_its_plate_on_any_picture(grey: int) -> None:
    pixels = shown_on(grey, ["M"], 60).reshape(-1, 3)
    inside = pixels[len(pixels) // 3 : 2 * len(pixels) // 3]
    light = sorted(luminance(tuple(pixel)) for pixel in inside.tolist())
    assert (light[-1] + 0.05) / (np.median(light) + 0.05) > 4.5  # WCAG 2, level AA


def test_a_plate_is_translucent_and_its_corners_are_round() -> None:
    dark, bright = (shown_on(grey, ["text"], 40) for grey in (0, 255))
    assert (bright[0, 0] == 255).all() and (dark[0, 0] == 0).all()
    middle = dark.shape[0] // 2
    assert 20 < int(bright[middle, 2, 0]) - int(dark[middle, 2, 0]) < 100


def test_doubtful_words_are_fainter() -> None:
    sure, unsure = (shown_on(0, [text], 40).max() for text in ("34", "?"))
    assert sure > 250 and unsure < 200


def test_a_label_carries_the_colour_of_its_track() -> None:
    colour = track_colour(5)
    image = shown_on(128, ["#5"], 40, colour)
    assert tuple(image[len(image) // 2, 1]) == colour


def test_a_font_that_is_missing_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(FontError, match="is not there; name a"):
        load_font(tmp_path / "x.ttf", 20)
    (tmp_path / "y.ttf").write_text("no font")
    with pytest.raises(FontError, match=r"y\.ttf is no font"):
        Overlay(style=Style(font=tmp_path / "y.ttf"))


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
    draw_labels(canvas[inside], boxes, texts, colours, [i % 3 for i in range(60)], ["status"])
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


def test_a_face_not_found_fades_with_time_and_has_no_label() -> None:
    overlay, box = Overlay(status=False), (100, 100, 300, 300)
    times = (0, 0.04, 0.08, 0.12)
    drawn = [overlay.draw(result([track(1, box, s)], {1: FEMALE})) for s in times]
    strength = [np.abs(one[200, 100].astype(int) - 128).sum() for one in drawn]
    assert strength == sorted(strength, reverse=True) and strength[-1] > 0
    assert len(set(strength)) == 4
    labelled = [(one[:90] != 128).any() for one in drawn]
    assert labelled == [True, False, False, False]


@pytest.mark.parametrize("grey", [0, 255])
def test_a_box_shows_on_black_and_on_white(grey: int) -> None:
    drawn = Overlay(status=False).draw(result([track(6, (100, 100, 300, 300))], grey=grey))
    side = drawn[200, 90:110].astype(int)
    light = [luminance(tuple(pixel)) for pixel in side]
    assert (max(light) + 0.05) / (min(light) + 0.05) > 3  # WCAG 2 for graphics


@pytest.mark.parametrize(
    ("labels", "size_wh", "faces", "kind"),
    [
        ("auto", (1920, 1080), 3, "auto"),
        ("auto", (640, 360), 3, "auto"),
        ("auto", (176, 144), 1, "short"),
        ("auto", (1280, 720), 30, "short"),
        ("full", (176, 144), 30, "full"),
        ("none", (1920, 1080), 1, "none"),
    ],
)
def test_labels_are_short_where_there_is_little_room_unless_asked_for(
    labels: str, size_wh: tuple[int, int], faces: int, kind: str
) -> None:
    assert Style(labels=labels).kind(size_wh, faces) == kind


def test_a_line_width_that_was_asked_for_is_kept_at_any_size() -> None:
    for size_wh in ((640, 360), (1920, 1080)):
        one = result([track(1, (100, 100, 300, 300))], size_wh=size_wh)
        drawn = Overlay(False, style=Style(line_width=7)).draw(one)
        assert (drawn[200, 80:120] == track_colour(1)).all(axis=1).sum() == 7


def test_blur_of_a_style_hides_the_faces_of_that_image_only() -> None:
    one = result([track(1, (100, 100, 300, 300))])
    noise = np.random.default_rng(0).integers(0, 255, one.frame.image.shape, np.uint8)
    one = replace(one, frame=Frame(noise, 0, 0.0))
    drawn = Overlay(False, style=Style(blur=True)).draw(one)
    assert drawn[120:280, 120:280].std() < 30 < one.frame.image.std()


def test_without_tracks_only_the_status_line_is_drawn() -> None:
    assert (Overlay(status=False).draw(result()) == 128).all()
    drawn = Overlay().draw(result())
    height = 2 * text_size((640, 360))
    assert (drawn[:height] != 128).any() and (drawn[height:] == 128).all()


def test_without_a_status_line_cameras_still_have_their_names() -> None:
    drawn = Overlay(status=False).draw(result(camera="door", fps=20.0))
    assert np.array_equal(drawn, Overlay().draw(result(camera="door"))) is False
    assert (drawn != 128).any()


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


def test_a_film_that_has_ended_says_so_undimmed_with_its_summary() -> None:
    over = SourceStatus(SourceState.ENDED, "3 people in 18 s")
    assert status_parts(result(time_s=18, fps=25.0, status=over), 2) == ["ended", "0:18"]
    drawn = Overlay(status=False).draw(result(grey=200, status=over))
    assert (drawn[160:200] == 200).all()
    assert (drawn[:30] != 200).any() and (drawn[320:] != 200).any()


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


def test_a_label_keeps_off_the_whole_status_line() -> None:
    grey = np.full((720, 1280, 3), 120, np.uint8)
    lines = ["24.9 fps   2 faces   0:12"]
    alone = grey.copy()
    draw_labels(alone, np.empty((0, 4), np.float32), [], [], status=lines)
    rows, columns = np.nonzero((alone != grey).any(axis=2))
    below = float(rows.max()) + 22
    image = grey.copy()
    box = np.array([[10, below, 60, below + 100]], np.float32)
    draw_labels(image, box, [["#1 30"]], [(0, 255, 0)], status=lines)
    top, right = int(rows.max()) + 1, int(columns.max()) + 1
    np.testing.assert_array_equal(image[:top, :right], alone[:top, :right])
