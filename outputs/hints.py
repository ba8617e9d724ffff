"""What a window tells its user over the picture: a pause, what a key did, what keys there are."""

import time
from collections.abc import Callable

from drawing.overlay import USUAL_STYLE, Style
from drawing.text import Pen, Plate, lay
from structures import Image

KEYS = (
    ("space", "pause, go on"),
    ("left, right", "5 seconds back, on (films; up and down: 30)"),
    ("[  ]", "slower, faster (films)"),
    ("l", "labels: auto, full, short, none"),
    ("b", "hide the faces found, in this window only"),
    ("+  -", "size of text"),
    ("1 to 9, 0", "one camera, all"),
    ("z", "draw a line or zone with the mouse"),
    ("s", "save a still"),
    ("f", "full screen"),
    ("h", "these keys"),
    ("q, Esc", "end"),
    ("34?", "a grey word is unsure"),
    ("34 ±4", "two of three lie within"),
)
_LASTING_S = 2.5  # of a message


class Hints:
    """The messages of one window; `clock` is in seconds.

    Attributes:
        help: whether the keys are shown.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.help = False
        self._clock = clock
        self._text, self._until_s = "", 0.0

    def say(self, text: str) -> None:
        """Show a line for a few seconds."""
        self._text, self._until_s = text, self._clock() + _LASTING_S

    def changed(self) -> bool:
        """Whether a message has just become too old to be shown."""
        if self._text and self._clock() >= self._until_s:
            self._text = ""
            return True
        return False

    def draw(self, picture: Image, paused: bool, style: Style | None = None) -> Image:
        """Return the picture, (H, W, 3) uint8 BGR, with what is to be told; a copy if anything."""
        if not (paused or self.help or self._text):
            return picture
        picture = picture.copy()
        height, width = picture.shape[:2]
        pen = (style or USUAL_STYLE).pen((width, height))
        if paused:
            plate = Pen(round(1.4 * pen.size), pen.font).plate(["PAUSED"])
            lay(picture, plate, width - plate.size_wh[0] - pen.size // 2, pen.size // 2)
        if self.help:
            plate = key_table(pen, (width, height))
            lay(picture, plate, (width - plate.size_wh[0]) // 2, (height - plate.size_wh[1]) // 2)
        if self._text:
            plate = pen.plate(pen.wrap(self._text.split(), width))
            lay(picture, plate, (width - plate.size_wh[0]) // 2, pen.size // 2)
        return picture


def key_table(pen: Pen, room_wh: tuple[int, int]) -> Plate:
    """The plate of all keys, rather larger than `pen` writes, smaller where it must be."""
    size = max(8, min(round(1.3 * pen.size), room_wh[1] // (len(KEYS) + 2), room_wh[0] // 24))
    pen = Pen(size, pen.font)
    column = max(pen.width(key) for key, _ in KEYS) + size
    blank = pen.width(" " * 100) / 100
    return pen.plate(
        [key + " " * round((column - pen.width(key)) / blank) + does for key, does in KEYS]
    )
