"""Hands the newest results from the frame loop to the server, under one lock."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from people.crowd import TABLE_ROWS, Crowd
from people.summary import Summary
from structures import FrameResult, Image, SourceState
from web.thumbnails import Thumbnails

_REPEAT_S = 0.5  # how often an image without a new frame is passed on
_LINGER_S = 3.0  # how long images are drawn after a still, in case another is requested


@dataclass(frozen=True, slots=True, eq=False)
class Posted:
    """The newest of one camera.

    Attributes:
        result: of its newest frame.
        version: grows with every result that differs.
        image: (H, W, 3) uint8 BGR, the newest drawn; None while nobody watches.
        image_result: the result that the image shows.
        image_version: grows with every image.
        imaged_s: `time.monotonic()` when the image came.
        frames: number of frames so far.
    """

    result: FrameResult
    version: int = 0
    image: Image | None = None
    image_result: FrameResult | None = None
    image_version: int = 0
    imaged_s: float = 0.0
    frames: int = 0


class Board:
    """Hands results from the frame loop to the server's loop; neither waits for the other.

    `soon` has the server's loop call a function.

    Attributes:
        faces: small pictures of the newest people; none of an anonymous crowd.
        over_s: when the last source ended, seconds since 1970; None before.
    """

    def __init__(self, soon: Callable[[Callable[[], object]], object], crowd: Crowd) -> None:
        self._soon, self._crowd = soon, crowd
        self.faces = Thumbnails(TABLE_ROWS)
        self._lock = threading.Lock()
        self._posted: dict[str, Posted] = {}
        self._event = asyncio.Event()
        self._rung = False
        self._viewers, self._drawn_viewers = 0, 0
        self._linger_until_s = 0.0
        self._heard_s: float | None = None
        self.over_s: float | None = None

    # Of the frame loop

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants images with labels drawn into them."""
        return self._drawn_viewers > 0 or time.monotonic() < self._linger_until_s

    def post(self, image: Image | None, result: FrameResult, *, new_frame: bool) -> None:
        """Store the newest result, and its image where one was drawn.

        `image`, (H, W, 3) uint8 BGR or None, must not be changed afterwards. `new_frame` is
        False where only the status can have changed.
        """
        self._crowd.update(result)
        if new_frame and not self._crowd.anonymous:
            self.faces.note(result)
        now_s = time.monotonic()
        with self._lock:
            self._heard_s = now_s
            before = self._posted.get(result.camera, Posted(result))
            changed = new_frame or result.status != before.result.status or not before.version
            version, frames = before.version + changed, before.frames + new_frame
            posted = replace(before, result=result, version=version, frames=frames)
            again = before.image is not None and now_s - before.imaged_s < _REPEAT_S
            if image is not None and (changed or not again):
                number = before.image_version + 1
                posted = replace(
                    posted, image=image, image_result=result, image_version=number, imaged_s=now_s
                )
            elif not self.is_watched:
                posted = replace(posted, image=None)
            self._posted[result.camera] = posted
            over = all(x.result.status.state is SourceState.ENDED for x in self._posted.values())
            self.over_s = (self.over_s or time.time()) if over else None
        if changed or posted.image_version > before.image_version:
            self._ring()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            self._soon(self._announce)

    # Of the server's loop

    def _announce(self) -> None:
        self._rung = False
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def next_post(self) -> None:
        """Wait until something was posted."""
        await self._event.wait()

    def watch(self, drawn: bool = True) -> None:
        """Count a viewer, and request images with labels if `drawn`, until `unwatch`."""
        self._viewers += 1
        self._drawn_viewers += drawn

    def unwatch(self, drawn: bool = True, linger: bool = False) -> None:
        """Stop requesting images; `linger` keeps them for a few more seconds."""
        self._viewers -= 1
        self._drawn_viewers -= drawn
        if linger:
            self._linger_until_s = time.monotonic() + _LINGER_S

    @property
    def viewers(self) -> int:
        """The number of current viewers."""
        return self._viewers

    @property
    def silence_s(self) -> float | None:
        """Seconds since the frame loop last posted; None before the first post."""
        return None if self._heard_s is None else time.monotonic() - self._heard_s

    def newest(self, camera: str | None) -> Posted | None:
        """Return the newest of a camera (None = the first one), or None before its first."""
        with self._lock:
            if camera is None:
                return next(iter(self._posted.values()), None)
            return self._posted.get(camera)

    def all_newest(self) -> dict[str, Posted]:
        """Return the newest of all cameras, ordered by their first frames."""
        with self._lock:
            return dict(self._posted)

    def everything(self) -> tuple[dict[str, Posted], Summary]:
        """Return the newest of all cameras, ordered by their first frames, and the counts."""
        return self.all_newest(), self._crowd.summary()
