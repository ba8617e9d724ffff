"""Small pictures of the people in the page's table: in memory only, the newest few."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np

from structures import FrameResult, Image, Track
from tracking.boxes import grow

SIDE = 72  # pixels
_MARGIN = 0.15  # of the box, on every side
_BETTER = 1.3  # a face must be so much larger to replace its earlier picture

Key = tuple[str, int]  # camera, track id


class _Look(NamedTuple):
    """A picture of somebody, the side of the face in pixels, and how often it was taken."""

    side: float
    image: Image
    turn: int


class Thumbnails:
    """The best look at each of the newest people; nothing where faces are hidden.

    Noted in the frame loop, read in the server's. `most` is how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._images: OrderedDict[Key, _Look] = OrderedDict()

    def note(self, result: FrameResult) -> None:
        """Keep what this frame shows of its people."""
        if result.hidden:  # from now on: forget those that were not
            self.clear(result.camera)
            return
        for track in result.tracks:
            if track.found:
                self._note(result, track)

    def _note(self, result: FrameResult, track: Track) -> None:
        key = result.camera, track.track_id
        side = float((track.box[2:] - track.box[:2]).min())
        before = self._images.get(key)
        if before is not None and side < _BETTER * before.side:
            return
        image = _cut(result.frame.image, track)
        if image is None:
            return
        with self._lock:
            self._images[key] = _Look(side, image, before.turn + 1 if before else 1)
            while len(self._images) > self._most:
                self._images.popitem(last=False)

    def get(self, camera: str, track_id: int) -> Image | None:
        """The picture of a person, (SIDE, SIDE, 3) uint8 BGR, or None."""
        with self._lock:
            found = self._images.get((camera, track_id))
        return found.image if found else None

    def turn(self, camera: str, track_id: int) -> int:
        """How often a person's picture was taken; 0 = there is none."""
        with self._lock:
            found = self._images.get((camera, track_id))
        return found.turn if found else 0

    def clear(self, camera: str | None = None) -> None:
        """Forget the people of a camera; None = of all."""
        with self._lock:
            for key in [key for key in self._images if camera in (None, key[0])]:
                del self._images[key]


def _cut(image: Image, track: Track) -> Image | None:
    """A square around the face, or None where it is not in the image."""
    if not np.isfinite(track.box).all():
        return None
    x1, y1, x2, y2 = grow(track.box, _MARGIN)
    half = max(x2 - x1, y2 - y1) / 2
    centre = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = (max(0, round(float(c - half))) for c in centre)
    right, bottom = (max(0, round(float(c + half))) for c in centre)
    region = image[top:bottom, left:right]
    if not region.size:
        return None
    return cv2.resize(region, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
