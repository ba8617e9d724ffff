"""Drawing with the mouse, click by click."""

from collections.abc import Sequence

import numpy as np
import pytest

from drawing.overlay import Overlay
from outputs.grid import GridSink, fit
from outputs.sketch import HINT, Sketch
from people.zones import Point
from structures import Frame, FrameResult
from tests.fakes import grey

ENTER, BACKSPACE, ESCAPE = 13, 8, 27


class Hand:
    """A sketch, and what came of it; a picture of 100 by 100 pixels of one camera."""

    def __init__(self, refuses: str = "") -> None:
        self.drawn: list[tuple[str, list[Point]]] = []
        self.said: list[str] = []
        self._refuses = refuses
        self.sketch = Sketch(self._take, self.said.append)
        self.sketch.toggle()

    def _take(self, camera: str, points: Sequence[Point]) -> str:
        if self._refuses:
            raise ValueError(self._refuses)
        self.drawn.append((camera, list(points)))
        return "drawn"

    def click(self, *places: tuple[int, int], camera: str = "") -> None:
        for x, y in places:
            self.sketch.click((x, y), (camera, x / 100, y / 100))


def test_two_clicks_and_enter_make_a_line() -> None:
    hand = Hand()
    hand.click((10, 50), (90, 50))
    assert hand.sketch.key(ENTER) and not hand.sketch.active
    assert hand.drawn == [("", [(0.1, 0.5), (0.9, 0.5)])]
    assert hand.said == [HINT, "nothing was drawn", "drawn"]


def test_a_click_on_the_first_corner_closes_a_zone() -> None:
    hand = Hand()
    hand.click((10, 10), (90, 10), (90, 90), (13, 12))
    assert hand.drawn == [("", [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)])]


def test_backspace_takes_a_point_back_and_escape_leaves() -> None:
    hand = Hand()
    hand.click((10, 50), (50, 50))
    hand.sketch.key(BACKSPACE)
    hand.click((90, 50))
    hand.sketch.key(ENTER)
    assert hand.drawn == [("", [(0.1, 0.5), (0.9, 0.5)])]
    hand.sketch.toggle()
    hand.click((10, 50), (50, 50))
    assert hand.sketch.key(ESCAPE) and not hand.sketch.active and len(hand.drawn) == 1


def test_what_is_refused_can_be_gone_on_with() -> None:
    hand = Hand(refuses="its sides cross")
    hand.click((10, 50))
    hand.sketch.key(ENTER)
    assert "two points" in hand.said[-1]
    hand.click((90, 50))
    hand.sketch.key(ENTER)
    assert hand.said[-1] == "its sides cross" and hand.sketch.active


def test_all_points_are_of_one_picture() -> None:
    hand = Hand()
    hand.click((10, 50), camera="door")
    hand.click((90, 50), camera="yard")
    hand.sketch.click((95, 95), None)
    hand.click((90, 60), camera="door")
    hand.sketch.key(ENTER)
    assert hand.drawn == [("door", [(0.1, 0.5), (0.9, 0.6)])]


def test_other_keys_are_not_those_of_drawing() -> None:
    assert not Hand().sketch.key(ord("l"))


def test_the_points_so_far_show_and_the_picture_stays() -> None:
    hand, picture = Hand(), grey(90, (100, 100))
    assert hand.sketch.draw(picture) is picture
    hand.click((10, 50))
    hand.sketch.move((90, 50))
    shown = hand.sketch.draw(picture)
    assert (picture == 90).all() and (shown[50, 15:85] != 90).any(axis=1).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_pixel_of_the_window_is_the_point_of_the_picture_that_it_shows(count: int) -> None:
    cameras = [f"c{i}" for i in range(count)]
    grid = GridSink([], cameras, Overlay(False), (640, 480))
    image = np.zeros((90, 160, 3), np.uint8)
    image[60:, 120:] = 255  # the lower right part, from x 0.75 and y 0.667
    for camera in cameras:
        grid.write(None, FrameResult(Frame(image, 0, 0.0), camera=camera))
    shown, found = grid.redraw(), set()
    for y in range(0, 480, 7):
        for x in range(0, 640, 7):
            if (place := grid.locate(x, y)) is None:
                continue
            camera, fx, fy = place
            found.add(camera)
            is_clear = min(abs(fx - 0.75), abs(fy - 2 / 3)) > 0.03 and max(fx, fy) < 0.99
            if is_clear and (fx > 0.3 or fy > 0.4):  # where no name stands
                assert (shown[y, x] > 128).all() == (fx > 0.75 and fy > 2 / 3)
    assert found == set(cameras)
    assert fit(FrameResult(Frame(image, 0, 0.0)), (640, 480)).frame.size_wh == (640, 360)
