"""Pictures as JPEG: each one once, however many watch, at a bounded rate."""

import asyncio
import time
from dataclasses import dataclass

import cv2

from structures import Image
from web.board import Board, Posted

LONGEST_SIDE = 1280  # of the live view; stills keep the picture's own size
MAX_FPS = 30.0

_LIVE_QUALITY, _STILL_QUALITY = 80, 92


@dataclass(frozen=True, slots=True)
class Jpeg:
    """An encoded picture.

    Attributes:
        data: the file.
        index: of its frame.
        version: of the picture, see `Posted.picture_version`.
    """

    data: bytes
    index: int
    version: int


def encode(picture: Image, quality: int) -> bytes:
    """Return (H, W, 3) uint8 BGR as a JPEG file of quality 0..100."""
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def shrunk(picture: Image, longest: int = LONGEST_SIDE) -> Image:
    """Return `picture` itself, or smaller so that no side is longer than `longest` pixels."""
    height, width = picture.shape[:2]
    scale = longest / max(width, height)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


class Pictures:
    """The newest picture of each camera; to be used in the server's loop only.

    Attributes:
        encoded: how many pictures were encoded for the live view so far.
    """

    def __init__(self, board: Board) -> None:
        self.encoded = 0
        self._board = board
        self._newest: dict[str, Jpeg] = {}
        self._due_s: dict[str, float] = {}

    async def next_posted(self, camera: str | None, after: int) -> tuple[Posted, Image]:
        """Wait for a picture whose version is above `after`; whoever calls must watch."""
        while True:
            posted = self._board.newest(camera)
            if posted and posted.picture is not None and posted.picture_version > after:
                return posted, posted.picture
            await self._board.news()

    async def next_jpeg(self, camera: str | None, after: int) -> Jpeg:
        """Wait for a picture whose version is above `after`, and return it encoded."""
        while True:
            posted, picture = await self.next_posted(camera, after)
            name, version = posted.result.camera, posted.picture_version
            jpeg = self._newest.get(name)
            if jpeg is not None and jpeg.version == version:
                return jpeg
            wait_s = self._due_s.get(name, 0.0) - time.monotonic()
            if wait_s <= 0:
                return self._encode(name, posted, picture)
            await asyncio.sleep(wait_s)  # and look again: it may be encoded, or outdated

    def _encode(self, name: str, posted: Posted, picture: Image) -> Jpeg:
        # Due in steps, not from now on: a camera of 30 fps must not lose every other frame.
        now_s = time.monotonic()
        self._due_s[name] = max(self._due_s.get(name, 0.0) + 1 / MAX_FPS, now_s - 1 / MAX_FPS)
        shows = posted.picture_result or posted.result
        data = encode(shrunk(picture), _LIVE_QUALITY)
        jpeg = Jpeg(data, shows.frame.index, posted.picture_version)
        self._newest[name] = jpeg
        self.encoded += 1
        return jpeg

    async def still(self, camera: str | None) -> Jpeg:
        """Wait for a picture and return it in its full size."""
        posted, picture = await self.next_posted(camera, 0)
        shows = posted.picture_result or posted.result
        return Jpeg(encode(picture, _STILL_QUALITY), shows.frame.index, posted.picture_version)
