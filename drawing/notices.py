"""What a picture says while its source gives none: words, and how they are drawn."""

import cv2

from drawing.text import Colour, draw_plate, paste, text_size, wrap
from structures import Image, SourceState, SourceStatus

_GROUND: Colour = (40, 40, 40)
_COLOURS: dict[SourceState, Colour] = {
    SourceState.CONNECTING: (150, 90, 20),  # BGR: blue, amber, amber, red
    SourceState.STALLED: (0, 180, 255),
    SourceState.RECONNECTING: (0, 180, 255),
    SourceState.FAILED: (40, 40, 200),
}
_SCALES = (2.4, 1.8, 1.3, 1.0)  # of the ordinary height of text; the first that needs two lines
_DETAIL_LINES = 3
_DIMMED = 0.35


def headline(status: SourceStatus, age_s: float | None, camera: str = "") -> str:
    """Say what is the matter, e.g. "no picture for 12 s: reconnecting".

    Args:
        status: not `LIVE`.
        age_s: of the last picture, None where there is none.
        camera: which one, for a source that has given nothing yet.
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
    """Darken `image`, (H, W, 3) uint8, in place: it is not what the camera sees now."""
    cv2.convertScaleAbs(image, dst=image, alpha=_DIMMED)


def draw_notice(image: Image, text: str, status: SourceStatus) -> None:
    """Write `text`, large, and the status's detail below it into the middle of `image`.

    Args:
        image: (H, W, 3) uint8 BGR, changed in place.
        text: see `headline`.
        status: its state gives the colour.
    """
    height, width = image.shape[:2]
    size = text_size((width, height))
    words = text.split()
    for scale in _SCALES:
        large = round(scale * size)
        if len(lines := wrap(words, large, width)) <= 2:
            break
    plates = [draw_plate(lines, large, _COLOURS.get(status.state, _GROUND))]
    if detail := wrap(status.detail.split(), size, round(0.9 * width))[:_DETAIL_LINES]:
        plates.append(draw_plate(detail, size, _GROUND))
    top = (height - sum(len(plate) for plate in plates)) // 2
    for plate in plates:
        paste(image, plate, (width - plate.shape[1]) // 2, max(top, 0))
        top += len(plate)
