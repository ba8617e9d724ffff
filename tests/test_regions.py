"""Lines and zones as they are drawn over a picture."""

import numpy as np
import pytest

from drawing.overlay import Overlay
from drawing.regions import draw_layout
from drawing.text import Pen
from people.wording import passage_words
from people.zones import NOTHING, Layout, parse_line, parse_zone
from tests.fakes import grey
from tests.walks import DOOR, DOWN, HALL, Place, straight
from tests.web_parts import person, result

SIZE_WH = (640, 480)


def test_without_lines_and_zones_a_picture_stays_as_it_is() -> None:
    image = grey(90, SIZE_WH)
    assert draw_layout(image, NOTHING, {}, Pen(13)) == [] and (image == 90).all()


def test_the_arrow_of_a_line_points_to_its_side_in() -> None:
    for text, side in (("a=0.1,0.5,0.9,0.5", 1), ("a=0.9,0.5,0.1,0.5", -1)):
        image = grey(90, SIZE_WH)
        draw_layout(image, Layout((parse_line(text),)), {"a": "a"}, Pen(13))
        rows = np.flatnonzero((image[:, 310:330] != 90).any(axis=(1, 2))) - 240
        assert abs(rows[0] if side < 0 else rows[-1]) > 12
        assert abs(rows[-1] if side < 0 else rows[0]) < 8


def test_a_zone_is_filled_a_little_inside_and_not_outside() -> None:
    image = grey(90, SIZE_WH)
    draw_layout(image, Layout((HALL,)), {}, Pen(13))
    assert 90 < image[240, 320, 0] < 120 and (image[400:, :] == 90).all()


@pytest.mark.parametrize("size_wh", [(160, 90), (640, 480), (1920, 1080)])
def test_plates_lie_in_the_picture_and_off_each_other_and_the_status(
    size_wh: tuple[int, int],
) -> None:
    corner, middle = parse_zone("a=0,0,0.5,0,0.5,0.5"), parse_zone("b=0.4,0.5,0.9,0.5,0.9,0.9")
    twin = parse_line("c=0.4,0.5,0.9,0.6")
    whole = parse_zone("all=0,0,1,0,1,1,0,1")
    layout = Layout((corner, whole, middle, twin, parse_line("door=0.99,0.99,0.5,0.99")))
    taken = [(0, 0, 60, 20)]
    rects = draw_layout(grey(90, size_wh), layout, {}, Pen(8), taken)
    for i, (x1, y1, x2, y2) in enumerate(rects):
        assert 0 <= x1 < x2 <= size_wh[0] and 0 <= y1 < y2 <= size_wh[1]
        for a1, b1, a2, b2 in (*taken, *rects[:i]):
            assert x2 <= a1 or a2 <= x1 or y2 <= b1 or b2 <= y1


def test_the_overlay_draws_what_its_crowd_counts_also_with_faces_in_view() -> None:
    place = Place(DOOR, HALL)
    overlay = Overlay(False, crowd=place.crowd)
    one = result(1, {1: person()})
    before = overlay.draw(one)
    assert (before != Overlay(False).draw(one)).any()
    place.watch({1: DOWN, 2: straight((0, 320, 150), (9, 320, 150))})
    assert passage_words(place.crowd.places("")) == {
        "door": "door: 1 in, 0 out",
        "hall": "hall: 0 now, 2 entered",
    }
    assert (overlay.draw(one) != before).any()
