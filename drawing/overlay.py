"""What is drawn over a frame: boxes, labels, a status line, and why no new frame comes."""

import time
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import cv2
import numpy as np

from drawing.text import (
    Colour,
    draw_plate,
    paste,
    place_labels,
    plate,
    plate_size_wh,
    text_size,
    wrap,
)
from people.wording import label_lines
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

# BGR; as far apart in CIELAB as twelve colours can be that are light enough for dark text
# (L* 60..90), 43 units between the closest two.
_PALETTE: tuple[Colour, ...] = (
    (105, 225, 0), (15, 105, 240), (255, 240, 0), (255, 120, 165),
    (60, 240, 195), (195, 75, 255), (225, 150, 60), (120, 90, 255),
    (240, 180, 255), (0, 150, 180), (135, 180, 255), (105, 165, 105),
)  # fmt: skip
_HALO: Colour = (24, 24, 24)  # under every line: shows on white and on its own colour
_STATUS: Colour = (40, 40, 40)
_EMPTY: Colour = (110, 100, 95)  # before the first frame; is dimmed
_SPACE = "   "  # between the parts of the status line
_NOTICE_COLOURS: dict[SourceState, Colour] = {
    SourceState.CONNECTING: (150, 90, 20),  # BGR: blue, amber, amber, red
    SourceState.STALLED: (0, 180, 255),
    SourceState.RECONNECTING: (0, 180, 255),
    SourceState.FAILED: (40, 40, 200),
}
_NOTICE_SCALES = (
    2.4,
    1.8,
    1.3,
    1.0,
)  # of the ordinary height of text; the first that needs two lines
_DETAIL_LINES = 3
_DIMMED = 0.35
_FADE_S, _PALEST = 0.16, 0.7  # a box on nobody: nearly gone when it is no longer shown


def track_colour(track_id: int) -> Colour:
    """Return the BGR colour of a track, always the same for an id; it repeats every 12 ids."""
    return _PALETTE[track_id % len(_PALETTE)]


def _dashes(x1: int, y1: int, x2: int, y2: int, length: int) -> list[np.ndarray]:
    """Return the dashes of a rectangle's outline as (2, 2) int32 segments, equal gaps between."""
    segments = []
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)], np.float64)
    for start, end in pairwise(corners):
        count = max(1, round(float(np.abs(end - start).sum()) / (2 * length)))
        ends = start + np.arange(2 * count)[:, None] / (2 * count - 1) * (end - start)
        segments += list(np.rint(ends).astype(np.int32).reshape(count, 2, 2))
    return segments


def draw_box(image: Image, box: Float32, colour: Colour, dashed: bool = False) -> None:
    """Draw an outline onto `image`, (H, W, 3) uint8 BGR, changed in place.

    `box` is (4,) xyxy pixels and may leave the image; a dashed one is thinner.
    """
    height, width = image.shape[:2]
    size = text_size((width, height))
    # Clipped where nothing shows, or OpenCV's integers would overflow.
    x1, y1, x2, y2 = (int(v) for v in np.rint(np.clip(box, -width - height, 2 * (width + height))))
    line = max(1, size // 10) if dashed else max(2, size // 7)
    for tint, thick in ((_HALO, line + 2 * max(1, size // 20)), (colour, line)):
        if dashed:
            # Straight segments need no anti-aliasing, which would take three times as long.
            dashes = _dashes(x1, y1, x2, y2, max(3, size // 2))
            cv2.polylines(image, dashes, isClosed=False, color=tint, thickness=thick)
        else:
            cv2.rectangle(image, (x1, y1), (x2, y2), tint, thick)


def draw_fading_box(image: Image, box: Float32, colour: Colour, unseen_s: float) -> None:
    """Draw a dashed outline that pales with the seconds since the face was seen.

    See `draw_box`; it takes a frame or two until nothing is drawn.
    """
    height, width = image.shape[:2]
    margin = text_size((width, height))
    low = np.clip(box[:2] - margin, 0, (width, height)).astype(int)
    high = np.clip(box[2:] + margin, 0, (width, height)).astype(int)
    region = image[low[1] : high[1], low[0] : high[0]]
    before = region.copy()
    draw_box(image, box, colour, dashed=True)
    paleness = min(unseen_s / _FADE_S, _PALEST)
    cv2.addWeighted(before, paleness, region.copy(), 1 - paleness, 0, dst=region)


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
) -> None:
    """Draw labelled boxes onto `image`, which is changed in place.

    Labels stay inside the image and off each other where there is room; a box that lies
    wholly outside is left out with its label.

    Args:
        image: (H, W, 3) uint8 BGR, writable.
        boxes: (N, 4) float32 xyxy pixels.
        texts: N labels of any number of lines; an empty one draws the box only.
        colours: N, BGR.
        unseen_s: N, seconds since the face was seen: above 0 the box is dashed and pale.
        status: lines for the upper left corner; none = nothing.
    """
    seen = [i for i in range(len(boxes)) if _in_view(boxes[i], image)]
    for i in seen:
        if unseen_s is not None and unseen_s[i] > 0:
            draw_fading_box(image, boxes[i], colours[i], unseen_s[i])
        else:
            draw_box(image, boxes[i], colours[i])
    labelled = [i for i in seen if texts[i]]
    size_wh = image.shape[1], image.shape[0]
    size = text_size(size_wh)
    plates = [plate(tuple(texts[i]), size, colours[i]) for i in labelled]
    sizes = [(label.shape[1], label.shape[0]) for label in plates]
    taken = [(0, 0, *plate_size_wh(status, size))] if status else []
    corners = place_labels(boxes[labelled], sizes, size_wh, taken, max(1, size // 7))
    for label, (x, y) in zip(plates, corners, strict=True):
        paste(image, label, x, y)
    _paste_status(image, status)


def _paste_status(image: Image, lines: Sequence[str]) -> None:
    """Paste the status line into its corner; no lines = nothing."""
    if lines:  # not `plate`: it is another one in every frame
        size = text_size((image.shape[1], image.shape[0]))
        paste(image, draw_plate(lines, size, _STATUS), 0, 0)


def status_parts(result: FrameResult, people: int, latency_ms: float | None = None) -> list[str]:
    """E.g. ["garden", "24.9 fps", "2 faces", "0:12", "84 ms", "3 dropped"].

    For a source without new frames, its name and the last frame's time. `people` is the number
    of faces shown, `latency_ms` the frame's age, None for stored media.
    """
    name = [result.camera] if result.camera else []
    clock = _clock(result.frame.time_s)
    match result.status.state:
        case SourceState.CONNECTING:
            return []
        case SourceState.STALLED | SourceState.RECONNECTING | SourceState.FAILED:
            return [*name, clock]
    parts = [*name, f"{result.fps:.1f} fps"] if result.fps > 0 else name
    parts += [f"{people} face{'s' * (people != 1)}", clock]
    if latency_ms is not None:
        parts.append(f"{latency_ms:.0f} ms" if latency_ms < 1000 else f"{latency_ms / 1e3:.1f} s")
    if result.dropped:
        parts.append(f"{result.dropped} dropped")
    return [*parts, result.load] if result.load else parts


def _clock(time_s: float) -> str:
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


def draw_notice(image: Image, text: str, status: SourceStatus) -> None:
    """Write `text`, large, and the status's detail below it into the middle of `image`.

    `image` is (H, W, 3) uint8 BGR and changed in place; the status decides the colour.
    """
    height, width = image.shape[:2]
    size = text_size((width, height))
    words = text.split()
    for scale in _NOTICE_SCALES:
        large = round(scale * size)
        if len(lines := wrap(words, large, width)) <= 2:
            break
    plates = [draw_plate(lines, large, _NOTICE_COLOURS.get(status.state, _STATUS))]
    if detail := wrap(status.detail.split(), size, round(0.9 * width))[:_DETAIL_LINES]:
        plates.append(draw_plate(detail, size, _STATUS))
    top = (height - sum(map(len, plates))) // 2
    for each in plates:
        paste(image, each, (width - each.shape[1]) // 2, max(top, 0))
        top += len(each)


class Overlay:
    """Draws results over their frames; where `anonymous` neither boxes nor labels.

    `status`: whether to draw the status line; `clock` is the one of `Frame.arrived_s`.
    """

    def __init__(
        self,
        status: bool = True,
        attributes: Collection[str] = ATTRIBUTES,
        *,
        anonymous: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._attributes = attributes
        self._anonymous = anonymous
        self._now_s = clock

    def draw(self, result: FrameResult) -> Image:
        """Return a new image, (H, W, 3) uint8 BGR: the frame, its faces and the status line.

        Confirmed tracks only; one not found in this frame is pale, dashed and without a label.
        Labels are shortened
        where they would fill half of the width. Where the source delivers no frames, the
        image is dimmed and a notice says why.
        """
        image = result.frame.image.copy()
        latency_ms = result.latency_ms(self._now_s())
        confirmed = [t for t in result.tracks if t.state is TrackState.CONFIRMED]
        tracks = [] if self._anonymous else confirmed
        parts = status_parts(result, len(confirmed), latency_ms) if self._status else []
        size_wh = result.frame.size_wh
        status = wrap(parts, text_size(size_wh), size_wh[0], _SPACE)
        is_live = result.status.state is SourceState.LIVE
        draw_labels(
            image,
            np.array([t.box for t in tracks], np.float32).reshape(-1, 4),
            [self._lines(t, result) for t in tracks],
            [track_colour(t.track_id) for t in tracks],
            [t.unseen_s for t in tracks],
            status if is_live else (),
        )
        if not is_live:
            dim(image)
            _paste_status(image, status)
            age_s = None if latency_ms is None else latency_ms / 1e3
            draw_notice(image, headline(result.status, age_s, result.camera), result.status)
        return image

    def placeholder(self, size_wh: tuple[int, int], camera: str, status: SourceStatus) -> Image:
        """Return the image of a source before its first frame; `status` is not `LIVE`."""
        blank = np.full((size_wh[1], size_wh[0], 3), _EMPTY, np.uint8)
        return self.draw(FrameResult(Frame(blank, 0, 0.0), status=status, camera=camera))

    def _lines(self, track: Track, result: FrameResult) -> list[str]:
        if track.unseen_s > 0:
            return []
        person, name = result.people.get(track.track_id), f"#{track.track_id}"
        size_wh = result.frame.size_wh
        lines = label_lines(person, name, attributes=self._attributes)
        if 2 * plate_size_wh(lines, text_size(size_wh))[0] > size_wh[0]:
            return label_lines(person, name, short=True, attributes=self._attributes)
        return lines
