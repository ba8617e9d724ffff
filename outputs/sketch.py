"""Drawing a line or zone into a window with the mouse."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from drawing.regions import draw_outline
from drawing.text import text_size
from people.zones import Point
from structures import Image

Place = tuple[str, float, float]  # a camera, and fractions of its picture

HINT = "click the points: two make a line, more a zone; Enter ends, Backspace undoes, Esc leaves"
_NEAR = 12  # pixels; nearer to its first corner, a zone is closed
_ENTER, _BACKSPACE, _ESCAPE = (10, 13), (8, 127), (27,)


class Sketch:
    """What is being drawn, point by point.

    Args:
        done: is called with a camera and the points in fractions of its picture; returns what to
            say of it, and raises ValueError where such a thing cannot be drawn.
        say: is called with a line for the user.

    Attributes:
        active: whether the mouse draws.
    """

    def __init__(
        self, done: Callable[[str, Sequence[Point]], str], say: Callable[[str], None]
    ) -> None:
        self._done, self._say = done, say
        self.active = False
        self._points: list[tuple[int, int]] = []  # pixels of the window
        self._places: list[Place] = []
        self._mouse: tuple[int, int] | None = None

    def toggle(self) -> None:
        """Begin to draw, or stop without having drawn."""
        self.active = not self.active
        self._points, self._places, self._mouse = [], [], None
        self._say(HINT if self.active else "nothing was drawn")

    def move(self, at: tuple[int, int]) -> None:
        """The mouse is there, pixels of the window."""
        self._mouse = at

    def click(self, at: tuple[int, int], place: Place | None) -> None:
        """Take a point; `place` is None beside the pictures."""
        if len(self._points) > 2 and np.hypot(*np.subtract(at, self._points[0])) < _NEAR:
            self.end()
        elif place is None or (self._places and place[0] != self._places[0][0]):
            self._say("all points belong into one picture")
        else:
            self._points.append(at)
            self._places.append(place)

    def key(self, key: int) -> bool:
        """Handle a key of drawing; whether it was one."""
        if key in _ENTER:
            self.end()
        elif key in _BACKSPACE:
            del self._points[-1:], self._places[-1:]
        elif key in _ESCAPE:
            self.toggle()
        else:
            return False
        return True

    def end(self) -> None:
        """Hand over what was drawn; it goes on where that is refused."""
        if len(self._places) < 2:
            self._say("a line needs two points, a zone three or more")
            return
        try:
            told = self._done(self._places[0][0], [(x, y) for _, x, y in self._places])
        except ValueError as error:
            self._say(str(error))
            return
        self.toggle()
        self._say(told)

    def draw(self, picture: Image) -> Image:
        """Return the picture, (H, W, 3) uint8 BGR, with the points so far; a copy if any."""
        if not self._points:
            return picture
        picture = picture.copy()
        height, width = picture.shape[:2]
        size = text_size((width, height))
        ends = [*self._points, *([self._mouse] if self._mouse else [])]
        scale = max(width - 1, 1), max(height - 1, 1)
        draw_outline(picture, [(x / scale[0], y / scale[1]) for x, y in ends], size, closed=False)
        for point in self._points:
            for tint, radius in (((24, 24, 24), size // 3 + 2), ((255, 255, 255), size // 3)):
                cv2.circle(picture, point, radius, tint, -1, cv2.LINE_AA)
        return picture
