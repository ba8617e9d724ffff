"""The sink that shows frames in a window, the check for a display, and the pace of films."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import cv2

from errors import SinkError
from files import write_whole
from structures import FrameResult, Image

_QUIT = frozenset({27, ord("q"), ord("Q")})
_FOREVER_S = 1e9
_POLL_MS = 20  # how soon the close button is noticed while nothing moves
_LARGEST_WH = (1280, 720)  # at first; the user may drag it larger
_SMALLEST_HEIGHT = 360
_LATE_S = 0.25  # a longer delay is not made up for

_PROBE = """
import contextlib, os
with contextlib.suppress(ImportError):
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import cv2
cv2.namedWindow("probe", cv2.WINDOW_NORMAL)
os._exit(0)
"""
_PROBE_TIMEOUT_S = 5.0
_REMEDY = "use --no-window with --output or --events"

log = logging.getLogger(__name__)


class DisplayProbe:
    """Checks whether a window can be opened, in a process of its own.

    Without a usable display OpenCV's toolkit aborts the whole program. The probe takes half
    a second: start it, load the models, then call `problem`.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._problem: str | None = None
        named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if sys.platform.startswith("linux") and not named:
            self._problem = f"there is no display (DISPLAY is not set): {_REMEDY}"
            return
        silent = subprocess.DEVNULL
        command = [sys.executable, "-c", _PROBE]
        self._child = subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent)

    def problem(self) -> str | None:
        """Wait for the result: why no window can be opened and what to do, or None."""
        child, self._child = self._child, None
        if child is None:
            return self._problem
        try:
            works = child.wait(_PROBE_TIMEOUT_S) == 0
        except subprocess.TimeoutExpired:
            works = False
        finally:
            child.kill()
            child.wait()
        if not works:
            display = os.environ.get("DISPLAY", "")
            self._problem = f"no window can be opened on the display {display!r}: {_REMEDY}"
        return self._problem


class Pacer:
    """Computes how long to wait so that a file plays at its true speed.

    A short delay is made up for; after a long one, a pause or a jump, play resumes from there.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = 0.0

    def wait_s(self, time_s: float, now_s: float) -> float:
        """Return the seconds until the frame of media time `time_s` is due, 0 if it is late."""
        late_s = 0.0 if self._offset_s is None else now_s - time_s - self._offset_s
        if self._offset_s is None or late_s > _LATE_S or time_s < self._last_s:
            self._offset_s = now_s - time_s
            late_s = 0.0
        self._last_s = time_s
        return max(0.0, -late_s)

    def restart(self) -> None:
        """Make the next frame due at once."""
        self._offset_s = None


class Metronome:
    """A sink that only waits until the frame is due, for films that no window paces."""

    wants_picture = False
    closed = False

    def __init__(self) -> None:
        self._pacers: dict[str, Pacer] = {}

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Wait until a frame of stored media is due. See `outputs.Sink.write`."""
        if result.frame.arrived_s is not None:
            return
        pacer = self._pacers.setdefault(result.camera, Pacer())
        time.sleep(pacer.wait_s(result.frame.time_s, time.monotonic()))

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """Nothing to do."""


class Window:
    """A sink that shows the annotated frames; to be used from the main thread only.

    Keys: q or Esc closes, space pauses and resumes, s saves a still, f switches full
    screen. It opens with the first frame. Check with `DisplayProbe` first.

    Args:
        title: holds no secrets.
        pace: True for files: each frame waits until it is due. False: shown at once.
        folder: where stills go; None = none are taken.
        notify: is called with a line on where a still was saved.

    Attributes:
        on_digit: is called with the digit pressed, 0 to 9; does nothing at first.
    """

    wants_picture = True

    def __init__(
        self,
        title: str,
        *,
        pace: bool = False,
        folder: str | Path | None = ".",
        notify: Callable[[str], None] = log.info,
    ) -> None:
        self._title = title
        self._pacer = Pacer() if pace else None
        self._folder = None if folder is None else Path(folder)
        self._notify = notify
        self.on_digit: Callable[[int], None] = lambda digit: None
        self._open = False
        self._closed = False
        self._paused = False
        self._shown: tuple[Image, int] | None = None

    @property
    def closed(self) -> bool:
        """Whether the user closed the window, or `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Show one image when it is due, and handle keys. See `outputs.Sink.write`.

        Returns only after a pause has ended. Once closed, nothing is shown any more.
        """
        if picture is None:
            raise ValueError("a window needs pictures, got None")
        wait_s = 0.0
        if self._pacer is not None:
            wait_s = self._pacer.wait_s(result.frame.time_s, time.monotonic())
        self._show(picture, result.frame.index, wait_s)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Show the last image with its new status, and handle keys."""
        if picture is not None:
            self._show(picture, result.frame.index)

    def hold(self) -> None:
        """Keep the last image on the screen until the user closes the window."""
        self._answer(_FOREVER_S)

    def close(self) -> None:
        """Close the window; may be called again."""
        self._closed = True
        if self._open:
            self._open = False
            with contextlib.suppress(cv2.error):  # the user may have closed it
                cv2.destroyWindow(self._title)
                cv2.waitKey(1)

    def _show(self, picture: Image, index: int, wait_s: float = 0.0) -> None:
        """Show an image after `wait_s`, unless it is closed; handle keys meanwhile."""
        try:
            if wait_s > 0:
                self._answer(wait_s)
            if not self._closed:
                self._draw(picture)
                self._shown = picture, index
                self._answer(0.0)
        except cv2.error as error:
            raise SinkError(f"OpenCV cannot show a window ({error.err}): {_REMEDY}") from error

    def _draw(self, picture: Image) -> None:
        if not self._open:
            flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(self._title, flags)
            cv2.resizeWindow(self._title, *_first_size(picture.shape[1], picture.shape[0]))
            self._open = True
        cv2.imshow(self._title, picture)

    def _answer(self, wait_s: float) -> None:
        """Handle keys and the close button for `wait_s`, and for as long as it is paused."""
        until = time.monotonic() + wait_s
        while self._open and not self._closed:
            left_ms = int(1000 * (until - time.monotonic()))
            key = cv2.waitKey(_POLL_MS if self._paused else max(1, min(left_ms, _POLL_MS)))
            if self._is_gone():
                self._closed = True
            else:
                self._handle(key)
            if left_ms <= 1 and not self._paused:
                return

    def _is_gone(self) -> bool:
        """Whether the close button was pressed; with its last window Qt's toolkit ends too."""
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1)
        except cv2.error:
            return True

    def _handle(self, key: int) -> None:
        """Handle a key; -1 is none."""
        if key == -1:
            return
        key &= 0xFF
        if key in _QUIT:
            self._closed = True
        elif key == ord(" "):
            self._paused = not self._paused
            if self._pacer is not None:
                self._pacer.restart()
        elif key in (ord("s"), ord("S")):
            self._save_still()
        elif key in (ord("f"), ord("F")):
            full = cv2.getWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN) > 0
            mode = cv2.WINDOW_NORMAL if full else cv2.WINDOW_FULLSCREEN
            cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)
        elif ord("0") <= key <= ord("9"):
            self.on_digit(key - ord("0"))

    def _save_still(self) -> None:
        """Write the shown image to a PNG file; a failure is only logged."""
        if self._folder is None:
            self._notify("no stills are taken")
            return
        if self._shown is None:
            return
        picture, index = self._shown
        path = self._folder / f"still-{datetime.now():%Y%m%d-%H%M%S}-{index}.png"
        try:
            write_whole(path, cv2.imencode(".png", picture)[1].tobytes())
        except OSError as error:
            log.warning("no still saved: %s", error)
        else:
            self._notify(f"saved {path.absolute()}")


def _first_size(width: int, height: int) -> tuple[int, int]:
    """Return a window size of the image's proportions, neither tiny nor larger than a screen."""
    scale = max(1.0, _SMALLEST_HEIGHT / height)
    scale = min(scale, _LARGEST_WH[0] / width, _LARGEST_WH[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
