"""WebRTC: the live view with a video codec, where aiortc is installed."""

import asyncio
import importlib.util
import logging
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from aiohttp import web

from web.board import Board
from web.jpeg import Pictures, shrunk

if TYPE_CHECKING:
    from aiortc import RTCPeerConnection

MAX_CALLS = 4  # each has an encoder of its own
_CLOCK_HZ = 90_000
_PATIENCE_S = 10.0  # a call that has not come about by then is given up

log = logging.getLogger(__name__)


def is_available() -> bool:
    """Whether WebRTC can be had; imports nothing.

    Not in one process with TensorFlow: aiortc's SRTP library crashes on its symbols.
    """
    return "tensorflow" not in sys.modules and importlib.util.find_spec("aiortc") is not None


class Calls:
    """The WebRTC connections of a server; to be used in its loop only.

    Args:
        board: told while somebody watches.
        pictures: where they come from.
    """

    def __init__(self, board: Board, pictures: Pictures) -> None:
        self._board, self._pictures = board, pictures
        self._open: set[RTCPeerConnection] = set()

    async def answer(self, sdp: str, camera: str | None) -> str:
        """Take a browser's offer and return the answer, both as SDP.

        Raises:
            web.HTTPException: the offer makes no sense, or too many are watching.
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
            call.addTrack(_track(self._pictures, camera))
            await call.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            description = await call.createAnswer()
            await call.setLocalDescription(description)
        except Exception as error:  # a parser of what strangers send raises all kinds
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


def _track(pictures: Pictures, camera: str | None) -> Any:
    """Return a track that always sends the newest picture of a camera."""
    from aiortc import MediaStreamTrack
    from av import VideoFrame

    class PictureTrack(MediaStreamTrack):
        kind = "video"

        def __init__(self) -> None:
            super().__init__()
            self._version = 0
            self._began_s = time.monotonic()

        async def recv(self) -> VideoFrame:
            posted, picture = await pictures.next_posted(camera, self._version)
            self._version = posted.picture_version
            small = shrunk(picture)
            height, width = (side - side % 2 for side in small.shape[:2])  # as codecs want it
            even = np.ascontiguousarray(small[:height, :width])
            frame = VideoFrame.from_ndarray(even, format="bgr24")
            frame.pts = int((time.monotonic() - self._began_s) * _CLOCK_HZ)
            frame.time_base = Fraction(1, _CLOCK_HZ)
            return frame

    return PictureTrack()
