"""Images for browsers: as JPEG, each encoded once, and as video by WebRTC."""

import asyncio
import importlib.util
import json
import logging
import struct
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from aiohttp import web

from drawing.overlay import track_colour
from people.wording import LABELS, label_lines
from structures import ATTRIBUTES, FrameResult, Image
from web.board import Board, Posted

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

LONGEST_SIDE = 1280  # of the live view; stills keep the image's own size
SMALL_SIDE = 640  # where several cameras are shown
MAX_FPS = 30.0

_LIVE_QUALITY, _STILL_QUALITY = 80, 92
MAX_CALLS = 4  # each has an encoder of its own
_CLOCK_HZ = 90_000
_PATIENCE_S = 10.0  # a call that is not connected by then is given up

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A JPEG file, the index of its frame, and its `Posted.image_version`."""

    data: bytes
    index: int
    version: int


def encode(image: Image, quality: int) -> bytes:
    """Return (H, W, 3) uint8 BGR as a JPEG file of quality 0..100."""
    return cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes()


def shrunk(image: Image, longest: int = LONGEST_SIDE) -> Image:
    """Return `image` itself, or smaller so that no side is longer than `longest` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(width, height)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


class LiveImages:
    """The newest image of each camera; to be used in the server's loop only.

    Attributes:
        encoded: how many images were encoded for the live view so far.
    """

    def __init__(self, board: Board, attributes: Collection[str] = ATTRIBUTES) -> None:
        self.encoded = 0
        self._board, self._attributes = board, attributes
        self._newest: dict[str, Jpeg] = {}
        self._due_s: dict[str, float] = {}
        self._parts: dict[tuple[str, int], tuple[float, int, bytes]] = {}

    async def next_posted(self, camera: str | None, after: int) -> tuple[Posted, Image]:
        """Wait for an image whose version is above `after`; the caller must watch the board."""
        while True:
            posted = self._board.newest(camera)
            if posted and posted.image is not None and posted.image_version > after:
                return posted, posted.image
            await self._board.next_post()

    async def next_jpeg(self, camera: str | None, after: int) -> Jpeg:
        """Wait for an image whose version is above `after`, and return it encoded."""
        while True:
            posted, image = await self.next_posted(camera, after)
            name, version = posted.result.camera, posted.image_version
            jpeg = self._newest.get(name)
            if jpeg is not None and jpeg.version == version:
                return jpeg
            wait_s = self._due_s.get(name, 0.0) - time.monotonic()
            if wait_s <= 0:
                return self._encode(name, posted, image)
            await asyncio.sleep(wait_s)  # and look again: it may be encoded, or outdated

    def _encode(self, name: str, posted: Posted, image: Image) -> Jpeg:
        # Due at fixed steps, not relative to now, or 30 fps would lose every other frame.
        now_s = time.monotonic()
        self._due_s[name] = max(self._due_s.get(name, 0.0) + 1 / MAX_FPS, now_s - 1 / MAX_FPS)
        shows = posted.image_result or posted.result
        data = encode(shrunk(image), _LIVE_QUALITY)
        jpeg = Jpeg(data, shows.frame.index, posted.image_version)
        self._newest[name] = jpeg
        self.encoded += 1
        return jpeg

    def part(self, posted: Posted, longest: int) -> bytes | None:
        """The newest frame without labels, and what they say, as one part of /live.

        A part is the length of its head and of its JPEG file, each 4 bytes, big-endian; the
        head, JSON, see `_head`; the file. Each is made once, however many watch.

        Args:
            posted: of one camera.
            longest: side of the image, pixels.

        Returns:
            The part, or None while the last one is newer than 1 / `MAX_FPS`.
        """
        key, now_s = (posted.result.camera, longest), time.monotonic()
        made_s, version, part = self._parts.get(key, (0.0, 0, b""))
        if version == posted.version and part:
            return part
        if now_s - made_s < 0.9 / MAX_FPS:
            return None
        head = json.dumps(
            _head(posted.result, self._attributes), separators=(",", ":"), allow_nan=False
        ).encode()
        data = encode(shrunk(posted.result.frame.image, longest), _LIVE_QUALITY)
        part = struct.pack(">II", len(head), len(data)) + head + data
        self._parts[key] = now_s, posted.version, part
        self.encoded += 1
        return part

    async def still(self, camera: str | None) -> Jpeg:
        """Wait for an image and return it in its full size."""
        posted, image = await self.next_posted(camera, 0)
        shows = posted.image_result or posted.result
        return Jpeg(encode(image, _STILL_QUALITY), shows.frame.index, posted.image_version)


def _head(result: FrameResult, attributes: Collection[str]) -> dict[str, Any]:
    """What the page draws over a frame: boxes as fractions of the image, labels, colours."""
    width, height = result.frame.size_wh
    faces = []
    for track in () if result.unlabelled else result.tracks:
        if np.isfinite(track.box).all():
            person = result.people.get(track.track_id)
            blue, green, red = track_colour(track.track_id)
            box = track.box / np.array([width, height, width, height], np.float32)
            faces.append(
                {
                    "box": [round(float(side), 4) for side in box],
                    "labels": {
                        kind: label_lines(person, f"#{track.track_id}", kind, attributes)
                        for kind in LABELS
                    },
                    "colour": f"rgb({red} {green} {blue})",
                    "missed": not track.found,
                }
            )
    return {"camera": result.camera, "index": result.frame.index, "faces": faces}


# WebRTC


def webrtc_is_available() -> bool:
    """Whether WebRTC is available; imports nothing.

    Not in a process with TensorFlow, whose symbols crash aiortc's SRTP library.
    """
    return "tensorflow" not in sys.modules and importlib.util.find_spec("aiortc") is not None


class Calls:
    """The WebRTC connections of a server; to be used in its loop only.

    The `board` counts them as viewers.
    """

    def __init__(self, board: Board, images: LiveImages) -> None:
        self._board, self._images = board, images
        self._open: set[RTCPeerConnection] = set()

    async def answer(self, sdp: str, camera: str | None) -> str:
        """Return the answer to a browser's offer, both as SDP.

        Raises:
            web.HTTPException: the offer is invalid, or too many are watching.
        """
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        if len(self._open) >= MAX_CALLS:
            raise web.HTTPServiceUnavailable(text="Too many are watching by WebRTC.\n")
        # No servers: the library would otherwise ask one on the internet for our address.
        call = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._open.add(call)
        self._board.watch()
        call.on("connectionstatechange", lambda: self._on_change(call))
        try:
            call.addTrack(_track(self._images, camera))
            await call.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            description = await call.createAnswer()
            await call.setLocalDescription(description)
        except Exception as error:  # parsing untrusted input may raise anything
            await self._end(call)
            log.debug("WebRTC offer refused: %s", error)
            raise web.HTTPBadRequest(text="The offer cannot be answered.\n") from error
        asyncio.get_running_loop().call_later(_PATIENCE_S, self._give_up, call)
        return str(call.localDescription.sdp)

    def _give_up(self, call: "RTCPeerConnection") -> None:
        if call.connectionState != "connected":
            self._end_soon(call)

    def _on_change(self, call: "RTCPeerConnection") -> None:
        if call.connectionState in ("failed", "closed", "disconnected"):
            self._end_soon(call)

    def _end_soon(self, call: "RTCPeerConnection") -> None:
        if call in self._open:
            task = asyncio.ensure_future(self._end(call))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _end(self, call: "RTCPeerConnection") -> None:
        if call in self._open:
            self._open.discard(call)
            self._board.unwatch()
            await call.close()

    async def close(self) -> None:
        """End all calls."""
        await asyncio.gather(*(self._end(call) for call in list(self._open)))


def _track(images: LiveImages, camera: str | None) -> Any:
    """Return a track that always sends the newest image of a camera."""
    from aiortc import MediaStreamTrack
    from av import VideoFrame

    class ImageTrack(MediaStreamTrack):
        kind = "video"

        def __init__(self) -> None:
            super().__init__()
            self._version = 0
            self._began_s = time.monotonic()

        async def recv(self) -> VideoFrame:
            posted, image = await images.next_posted(camera, self._version)
            self._version = posted.image_version
            small = shrunk(image)
            height, width = (side - side % 2 for side in small.shape[:2])  # as codecs want it
            even = np.ascontiguousarray(small[:height, :width])
            frame = VideoFrame.from_ndarray(even, format="bgr24")
            frame.pts = int((time.monotonic() - self._began_s) * _CLOCK_HZ)
            frame.time_base = Fraction(1, _CLOCK_HZ)
            return frame

    return ImageTrack()
