"""What is drawn over a frame: boxes, labels, a status line, and why no new frame comes."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drawing.hiding import USUAL_HIDING, hide
from drawing.regions import Rect, draw_layout
from drawing.text import FONT, GROUND, Colour, Pen, lay, load_font, place_labels, text_size
from people.crowd import Crowd
from people.wording import label_lines, passage_words
from people.zones import NOTHING
from structures import (
    ATTRIBUTES,
    Float32,
    Frame,
    FrameResult,
    Image,
    SourceState,
    SourceStatus,
    Track,
    TrackState,
)

# BGR; as far apart in CIELAB as twelve colours can be that are light enough to show on dark
# (L* 60..90), 43 units between the closest two.
_PALETTE: tuple[Colour, ...] = (
    (105, 225, 0), (15, 105, 240), (255, 240, 0), (255, 120, 165),
    (60, 240, 195), (195, 75, 255), (225, 150, 60), (120, 90, 255),
    (240, 180, 255), (0, 150, 180), (135, 180, 255), (105, 165, 105),
)  # fmt: skip
_HALO: Colour = (24, 24, 24)  # under every line: shows on white and on its own colour
_EMPTY: Colour = (58, 52, 48)  # before the first frame; is dimmed
_SPACE = "   "  # between the parts of the status line
_NOTICE_COLOURS: dict[SourceState, Colour] = {
    SourceState.CONNECTING: (150, 90, 20),  # BGR: blue, amber, amber, red
    SourceState.STALLED: (0, 180, 255),
    SourceState.RECONNECTING: (0, 180, 255),
    SourceState.FAILED: (40, 40, 200),
}
_NOTICE_SCALES = (2.4, 1.8, 1.3, 1.0)  # of the text size; the first that needs two lines
_DETAIL_LINES = 3
_DIMMED = 0.35
_FADE_S, _FAINTEST = 0.16, 0.2  # a box on nobody: after how long it is faintest, and how faint
_SMALL = 200  # pixels of an image's shorter side; below, labels are short
_ROOM = 8  # times the text size: what a full label needs of the image's width


def track_colour(track_id: int) -> Colour:
    """Return the BGR colour of a track, always the same for an id; it repeats every 12 ids."""
    return _PALETTE[track_id % len(_PALETTE)]


@dataclass(frozen=True, slots=True)
class Style:
    """How boxes and text look.

    Attributes:
        labels: out of `people.wording.LABELS`.
        line_width: of boxes, pixels; None = by the image's size.
        font: a font file.
        scale: of the text, 1 = usual.
        blur: hide faces in this image, whatever has been hidden in the frame.
    """

    labels: str = "auto"
    line_width: int | None = None
    font: Path = FONT
    scale: float = 1.0
    blur: bool = False

    def pen(self, size_wh: tuple[int, int]) -> Pen:
        """What writes on an image of that size."""
        return Pen(text_size(size_wh, self.scale), self.font)

    def kind(self, size_wh: tuple[int, int], faces: int) -> str:
        """The kind of labels for an image of that size: auto becomes short without room."""
        crowded = faces * _ROOM * text_size(size_wh, self.scale) > size_wh[0]
        small = min(size_wh) < _SMALL or crowded
        return "short" if small and self.labels == "auto" else self.labels

    def check(self) -> None:
        """Raise FontError if the font is missing or cannot be read."""
        load_font(self.font, text_size((1920, 1080)))


USUAL_STYLE = Style()


def draw_box(
    image: Image, box: Float32, colour: Colour, line: int | None = None, unseen_s: float = 0.0
) -> None:
    """Draw an outline onto `image`, (H, W, 3) uint8 BGR, changed in place.

    `box` is (4,) xyxy pixels and may leave the image; `line` is the line's width, pixels, None =
    by the image's size. The outline fades with the seconds since the face was found.
    """
    height, width = image.shape[:2]
    size = text_size((width, height))
    # Clipped where nothing shows, or OpenCV's integers would overflow.
    x1, y1, x2, y2 = (int(v) for v in np.rint(np.clip(box, -width - height, 2 * (width + height))))
    line = line or max(3, round(size / 6))
    halo = 2 * max(1, size // 20)
    reach = line + halo
    left, top = max(x1 - reach, 0), max(y1 - reach, 0)
    around = image[top : max(y2 + reach, 0), left : max(x2 + reach, 0)]
    if not around.size:
        return
    drawn = around.copy() if unseen_s > 0 else around
    for tint, thick in ((_HALO, line + halo), (colour, line)):
        corners = (x1 - left, y1 - top), (x2 - left, y2 - top)
        # OpenCV's lines are one pixel wider than their thickness, except the thinnest.
        cv2.rectangle(drawn, *corners, tint, thick - 1 if thick > 2 else thick)
    if unseen_s > 0:
        kept = max(1 - unseen_s / _FADE_S, _FAINTEST)
        cv2.addWeighted(drawn, kept, around, 1 - kept, 0, dst=around)


def _in_view(box: Float32, image: Image) -> bool:
    """Whether any part of `box` lies in the image; boxes that are not finite do not."""
    height, width = image.shape[:2]
    finite = bool(np.isfinite(box).all())
    return finite and bool(box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0)


def draw_labels(
    image: Image,
    boxes: Float32,
    texts: Sequence[Sequence[str]],
    colours: Sequence[Colour],
    unseen_s: Sequence[float] | None = None,
    status: Sequence[str] = (),
    style: Style = USUAL_STYLE,
    taken: Sequence[Rect] = (),
) -> None:
    """Draw labelled boxes onto `image`, which is changed in place.

    Labels stay inside the image and off each other where there is room; a box that lies
    wholly outside is left out with its label.

    Args:
        image: (H, W, 3) uint8 BGR, writable.
        boxes: (N, 4) float32 xyxy pixels.
        texts: N labels of any number of lines; an empty one draws the box only.
        colours: N, BGR.
        unseen_s: N, seconds since each face was found: above 0 its box fades; None = all are found.
        status: lines for the upper left corner; none = nothing.
        style: how it looks.
        taken: rectangles that labels avoid.
    """
    seen = [i for i in range(len(boxes)) if _in_view(boxes[i], image)]
    for i in seen:
        draw_box(image, boxes[i], colours[i], style.line_width, unseen_s[i] if unseen_s else 0)
    labelled = [i for i in seen if texts[i]]
    size_wh = image.shape[1], image.shape[0]
    pen = style.pen(size_wh)
    plates = [pen.plate(texts[i], edge=colours[i]) for i in labelled]
    taken = [*taken, *_status_rect(image, status, pen)]
    gap = max(2, pen.size // 5)
    corners = place_labels(
        boxes[labelled], [plate.size_wh for plate in plates], size_wh, taken, gap, boxes[seen]
    )
    for plate, (x, y) in zip(plates, corners, strict=True):
        lay(image, plate, x, y)
    lay_status(image, status, pen)


def _status_rect(image: Image, lines: Sequence[str], pen: Pen) -> list[Rect]:
    """Where `lay_status` lays the lines, with the margin around them."""
    if not lines:
        return []
    margin = _status_margin(image, pen)
    width, height = pen.plate_size_wh(lines)
    return [(0, 0, margin + width, margin + height)]


def _status_margin(image: Image, pen: Pen) -> int:
    return pen.size // 4 if min(image.shape[:2]) > _SMALL else 0


def lay_status(image: Image, lines: Sequence[str], pen: Pen) -> None:
    """Lay the status line into the upper left corner; no lines = nothing."""
    if lines:
        margin = _status_margin(image, pen)
        lay(image, pen.plate(lines), margin, margin)


def status_parts(result: FrameResult, people: int, latency_ms: float | None = None) -> list[str]:
    """E.g. ["garden", "24.9 fps", "2 faces", "0:12", "84 ms", "3 dropped"].

    For a source without new frames, its name and the last frame's time. `people` is the number
    of faces shown, `latency_ms` the frame's age, None for stored media.
    """
    name = [result.camera] if result.camera else []
    clock = clock_text(result.frame.time_s)
    match result.status.state:
        case SourceState.CONNECTING:
            return []
        case SourceState.STALLED | SourceState.RECONNECTING | SourceState.FAILED:
            return [*name, clock]
        case SourceState.ENDED:
            return [*name, "ended", clock]
    parts = [*name, f"{result.fps:.1f} fps"] if result.fps > 0 else name
    parts += [f"{people} face{'s' * (people != 1)}", clock]
    if latency_ms is not None:
        parts.append(f"{latency_ms:.0f} ms" if latency_ms < 1000 else f"{latency_ms / 1e3:.1f} s")
    if result.dropped:
        parts.append(f"{result.dropped} dropped")
    return [*parts, result.load] if result.load else parts


def clock_text(time_s: float) -> str:
    """E.g. "0:12", "1:02:05"."""
    minutes, seconds = divmod(int(max(time_s, 0)), 60)
    hours = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    return f"{hours}:{seconds:02}"


def headline(status: SourceStatus, age_s: float | None, camera: str = "") -> str:
    """Say what is wrong, e.g. "no picture for 12 s: reconnecting".

    Args:
        status: not `LIVE`.
        age_s: of the last frame, None before the first.
        camera: the name, for a source without a frame yet.
    """
    lasting = "no picture" if age_s is None else f"no picture for {_duration(age_s)}"
    match status.state:
        case SourceState.CONNECTING:
            return f"connecting to {camera} ..." if camera else "connecting ..."
        case SourceState.RECONNECTING:
            return f"{lasting}: reconnecting"
        case SourceState.FAILED if age_s is None:
            return f"cannot connect to {camera}" if camera else "cannot connect"
        case SourceState.FAILED:
            return f"{lasting}: cannot connect"
        case _:
            return lasting


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def dim(image: Image) -> None:
    """Darken `image`, (H, W, 3) uint8, in place, as a sign that it is not current."""
    cv2.convertScaleAbs(image, dst=image, alpha=_DIMMED)


def draw_notice(image: Image, text: str, status: SourceStatus, style: Style = USUAL_STYLE) -> None:
    """Write `text`, large, and the status's detail below it into the middle of `image`.

    `image` is (H, W, 3) uint8 BGR and changed in place; the status decides the colour.
    """
    height, width = image.shape[:2]
    pen = style.pen((width, height))
    words = text.split()
    for scale in _NOTICE_SCALES:
        large = Pen(round(scale * pen.size), pen.font)
        if len(lines := large.wrap(words, width)) <= 2:
            break
    plates = [large.plate(lines, _NOTICE_COLOURS.get(status.state, GROUND))]
    if detail := pen.wrap(status.detail.split(), round(0.9 * width))[:_DETAIL_LINES]:
        plates.append(pen.plate(detail))
    top = (height - sum(plate.size_wh[1] for plate in plates)) // 2
    for plate in plates:
        wide, high = plate.size_wh
        lay(image, plate, (width - wide) // 2, max(top, 0))
        top += high + 1


def draw_foot(image: Image, text: str, style: Style = USUAL_STYLE) -> None:
    """Write `text` at the foot of `image`, (H, W, 3) uint8 BGR, changed in place; "" = nothing."""
    height, width = image.shape[:2]
    pen = style.pen((width, height))
    if lines := pen.wrap(text.split(), round(0.9 * width)):
        plate = pen.plate(lines)
        wide, high = plate.size_wh
        lay(image, plate, (width - wide) // 2, max(0, height - high - pen.size))


class Overlay:
    """Draws results over their frames; where `anonymous` neither boxes nor labels.

    `status`: whether to draw the status line; without it only the camera's name where there are
    several. `crowd` has the lines and zones of each camera, None = there are none. `clock` is the
    one of `Frame.arrived_s`.

    Attributes:
        style: how it looks; may be changed at any time.

    Raises:
        FontError: the style's font is missing or cannot be read.
    """

    def __init__(
        self,
        status: bool = True,
        attributes: Collection[str] = ATTRIBUTES,
        style: Style = USUAL_STYLE,
        *,
        anonymous: bool = False,
        crowd: Crowd | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status, self._crowd = status, crowd
        self._attributes = attributes
        self.style = style
        self._anonymous = anonymous
        self._now_s = clock
        style.check()

    def draw(self, result: FrameResult) -> Image:
        """Return a new image, (H, W, 3) uint8 BGR: the frame, its faces and the status line.

        Confirmed tracks only, none of an unlabelled result; one not found in this frame fades and
        has no label. Labels are
        short on small images and where there are many faces. Where the source delivers no
        frames, the image is dimmed and a notice says why; at the end the status line says so.
        """
        image, style = result.frame.image.copy(), self.style
        latency_ms = result.latency_ms(self._now_s())
        confirmed = [t for t in result.tracks if t.state is TrackState.CONFIRMED]
        tracks = [] if self._anonymous or result.unlabelled else confirmed
        boxes = np.array([t.box for t in tracks], np.float32).reshape(-1, 4)
        if style.blur:
            hide(image, boxes, USUAL_HIDING)
        status = self._status_lines(result, len(confirmed), latency_ms)
        is_over = result.status.state is SourceState.ENDED
        is_live = result.status.state is SourceState.LIVE or is_over
        taken = self._draw_layout(image, result.camera, status)
        draw_labels(
            image,
            boxes,
            self._labels(tracks, result),
            [track_colour(t.track_id) for t in tracks],
            [t.unseen_s for t in tracks],
            status if is_live else (),
            style,
            taken,
        )
        if is_over:
            draw_foot(image, result.status.detail, style)
        elif not is_live:
            dim(image)
            lay_status(image, status, style.pen(result.frame.size_wh))
            age_s = None if latency_ms is None else latency_ms / 1e3
            notice = headline(result.status, age_s, result.camera)
            draw_notice(image, notice, result.status, style)
        return image

    def _draw_layout(self, image: Image, camera: str, status: Sequence[str]) -> list[Rect]:
        """Draw a camera's lines and zones, with the counts up to the frame before."""
        layout = self._crowd.layout(camera) if self._crowd else NOTHING
        if self._crowd is None or not layout.shapes:
            return []
        pen = self.style.pen((image.shape[1], image.shape[0]))
        told = passage_words(self._crowd.places(camera))
        return draw_layout(image, layout, told, pen, _status_rect(image, status, pen))

    def _status_lines(
        self, result: FrameResult, people: int, latency_ms: float | None
    ) -> list[str]:
        parts = [result.camera] if result.camera else []
        if self._status or result.status.state is SourceState.ENDED:
            parts = status_parts(result, people, latency_ms)
        size_wh = result.frame.size_wh
        return self.style.pen(size_wh).wrap(parts, size_wh[0], _SPACE)

    def placeholder(self, size_wh: tuple[int, int], camera: str, status: SourceStatus) -> Image:
        """Return the image of a source before its first frame; `status` is not `LIVE`."""
        blank = np.full((size_wh[1], size_wh[0], 3), _EMPTY, np.uint8)
        return self.draw(FrameResult(Frame(blank, 0, 0.0), status=status, camera=camera))

    def _labels(self, tracks: Sequence[Track], result: FrameResult) -> list[list[str]]:
        """The label of each track, empty while its face is not found."""
        kind = self.style.kind(result.frame.size_wh, len(tracks))
        return [
            label_lines(
                result.people.get(track.track_id), f"#{track.track_id}", kind, self._attributes
            )
            if track.found
            else []
            for track in tracks
        ]
