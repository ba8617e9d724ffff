"""One camera or several on one screen: a sink that draws them for other sinks."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from drawing.overlay import Overlay
from outputs import Sink
from outputs.sketch import Place
from structures import Float32, Frame, FrameResult, Image, SourceState, SourceStatus

_GAP = 4  # pixels between cells
_GROUND = 24  # grey level of unused space

Rect = tuple[int, int, int, int]  # x, y, width, height; pixels


def cells(count: int, size_wh: tuple[int, int]) -> list[Rect]:
    """Divide an image into `count` >= 1 equal cells, row by row, in a nearly square grid."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    width = (size_wh[0] - (columns - 1) * _GAP) // columns
    height = (size_wh[1] - (rows - 1) * _GAP) // rows
    places = [divmod(i, columns) for i in range(count)]
    return [(x * (width + _GAP), y * (height + _GAP), width, height) for y, x in places]


def fit(result: FrameResult, room_wh: tuple[int, int]) -> FrameResult:
    """Return `result` with its image and boxes scaled to fit `room_wh`, aspect kept."""
    width, height = result.frame.size_wh
    size_wh = _fitted(result.frame.size_wh, room_wh)
    image = _resize(result.frame.image, size_wh)
    factor: Float32 = np.tile(np.divide(size_wh, (width, height)), 2).astype(np.float32)
    tracks = tuple(replace(track, box=track.box * factor) for track in result.tracks)
    return replace(result, frame=replace(result.frame, image=image), tracks=tracks)


def _fitted(size_wh: tuple[int, int], room_wh: tuple[int, int]) -> tuple[int, int]:
    """The largest size of those proportions in the room, pixels."""
    scale = min(room_wh[0] / size_wh[0], room_wh[1] / size_wh[1])
    return max(1, round(scale * size_wh[0])), max(1, round(scale * size_wh[1]))


def _inner(rect: Rect, size_wh: tuple[int, int]) -> Rect:
    """Where in a cell the picture of a frame of that size is."""
    x, y, width, height = rect
    wide, high = _fitted(size_wh, (width, height))
    return x + (width - wide) // 2, y + (height - high) // 2, wide, high


def _resize(image: Image, size_wh: tuple[int, int]) -> Image:
    """Halve as often as possible, then interpolate.

    OpenCV's own INTER_AREA takes 17 ms for 1080p where the ratio is not 2, and 0.4 where it is.
    """
    while image.shape[1] >= 2 * size_wh[0] and image.shape[0] >= 2 * size_wh[1]:
        width, height = image.shape[1] // 2, image.shape[0] // 2
        even = image[: 2 * height, : 2 * width]
        image = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR))


@dataclass(slots=True, eq=False)
class _Cell:
    """One camera: its place, None if it is not shown, and its newest result."""

    camera: str
    rect: Rect | None = None
    newest: FrameResult | None = None
    changed: bool = True


class GridSink:
    """Hands one image of all cameras to other sinks; a `window.View` of them.

    Results are assigned by `FrameResult.camera` and drawn at the size in which they are shown,
    so that text stays readable; only what changed is drawn. The image is handed on once a
    round. A round ends when all cameras with a frame in the round before have come again, or
    one comes twice; without a new frame in it the other sinks are only refreshed.

    Args:
        inners: receive the images; they are closed with this sink.
        cameras: names, in the order shown, row by row.
        overlay: draws the results.
        size_wh: of the images, pixels.
        clock: seconds, for the images' times; of one camera alone, they are its own.

    Attributes:
        overlay: as given; its style may be changed.
    """

    wants_picture = False

    def __init__(
        self,
        inners: Sequence[Sink],
        cameras: Sequence[str],
        overlay: Overlay,
        size_wh: tuple[int, int] = (1920, 1080),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not cameras or len(set(cameras)) < len(cameras):
            raise ValueError(f"want cameras with names of their own, got {list(cameras)}")
        self._inners, self.overlay = inners, overlay
        self._cells = {camera: _Cell(camera) for camera in cameras}
        self._canvas = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
        self._clock, self._start_s = clock, clock()
        self._index = 0
        self._expected = set(cameras)
        self._seen: set[str] = set()
        self._fresh: set[str] = set()
        self._shown: list[_Cell] = []
        self.select(0)

    @property
    def closed(self) -> bool:
        """Whether one of the inner sinks is closed."""
        return any(inner.closed for inner in self._inners)

    def select(self, number: int) -> None:
        """Show camera `number` alone, from 1, or all with 0; others are ignored."""
        if not 0 <= number <= len(self._cells):
            return
        every = list(self._cells.values())
        self._shown = [every[number - 1]] if number else every
        self._lay_out()

    def resize(self, size_wh: tuple[int, int]) -> None:
        """Hand on images of that size from now on, pixels."""
        self._canvas = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
        self._lay_out()

    def _lay_out(self) -> None:
        rects = cells(len(self._shown), (self._canvas.shape[1], self._canvas.shape[0]))
        for cell in self._cells.values():
            cell.rect, cell.changed = None, True
        for cell, rect in zip(self._shown, rects, strict=True):
            cell.rect = rect
        self._canvas[:] = _GROUND

    def redraw(self) -> Image:
        """Return the image of the newest results, drawn again, for a changed style."""
        for cell in self._cells.values():
            cell.changed = True
        return self._image()

    def locate(self, x: int, y: int) -> Place | None:
        """The camera at a pixel of the image, and the fractions of its picture; None = none."""
        for cell in self._shown:
            if cell.rect is None or cell.newest is None:
                continue
            left, top, width, height = _inner(cell.rect, cell.newest.frame.size_wh)
            if left <= x < left + width and top <= y < top + height:
                return cell.camera, (x - left) / max(width - 1, 1), (y - top) / max(height - 1, 1)
        return None

    def still(self) -> Image:
        """Return the image of one camera in the size of its frame, or that of all as shown."""
        if len(self._shown) == 1 and self._shown[0].newest is not None:
            return self.overlay.draw(self._shown[0].newest)
        return self._image()

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Take a camera's new frame; `picture` is ignored. See `outputs.Sink.write`."""
        self._fresh.add(result.camera)
        self._take(result)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Take a camera's new status; `picture` is ignored. See `outputs.Sink.refresh`."""
        self._take(result)

    def close(self) -> None:
        """Close the inner sinks; may be called again."""
        with contextlib.ExitStack() as stack:  # each, even where another raises
            for inner in self._inners:
                stack.callback(inner.close)

    def _take(self, result: FrameResult) -> None:
        cell = self._cells.get(result.camera)
        if cell is None:
            raise ValueError(f"camera must be of {list(self._cells)}, got {result.camera!r}")
        cell.newest, cell.changed = result, True
        is_again = result.camera in self._seen
        self._seen.add(result.camera)
        if is_again or self._seen >= self._expected:
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand the image on, and begin the next round."""
        is_new = bool(self._fresh)
        self._index += is_new
        self._expected = self._fresh or self._seen
        self._seen, self._fresh = set(), set()
        image = self._image()
        result = FrameResult(Frame(image, self._index, self._clock() - self._start_s))
        (first, *others) = self._cells.values()
        if not others and first.newest is not None:  # its own times
            result = replace(first.newest, frame=replace(first.newest.frame, image=image))
        for inner in self._inners:
            if is_new:
                inner.write(image, result)
            else:
                inner.refresh(image, result)

    def _image(self) -> Image:
        """Draw what changed; returns a copy, as a recording may hold it for a while."""
        for cell in self._cells.values():
            if cell.changed and cell.rect is not None:
                self._draw(cell, cell.rect)
                cell.changed = False
        return self._canvas.copy()

    def _draw(self, cell: _Cell, rect: Rect) -> None:
        """Draw a camera's newest result into the middle of its cell."""
        x, y, width, height = rect
        room = self._canvas[y : y + height, x : x + width]
        if cell.newest is None:
            waiting = SourceStatus(SourceState.CONNECTING)
            image = self.overlay.placeholder((width, height), cell.camera, waiting)
        else:
            image = self.overlay.draw(fit(cell.newest, (width, height)))
            room[:] = _GROUND
        left, top = (width - image.shape[1]) // 2, (height - image.shape[0]) // 2
        room[top : top + image.shape[0], left : left + image.shape[1]] = image
