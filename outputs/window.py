"""The sink that shows frames in a window, and the check for a display."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import cv2

from drawing.overlay import Overlay
from errors import SinkError
from files import write_whole
from outputs.hints import Hints
from outputs.pace import Pacer
from outputs.sketch import Place, Sketch
from people.wording import LABELS
from people.zones import Point
from structures import FrameResult, Image

_FOREVER_S = 1e9
_POLL_MS = 20  # how soon the close button is noticed while nothing moves
_LARGER, _SMALLEST, _LARGEST = 1.15, 0.5, 4.0  # a step, and the limits, of the text's size
_FASTER, _SLOWEST, _FASTEST = 1.5, 0.2, 8.0  # the same of a film's speed
_STEPS_S = {"left": -5.0, "right": 5.0, "up": 30.0, "down": -30.0}
# Of X11 (Qt and GTK), Windows and macOS.
_ARROWS = {
    65361: "left", 65362: "up", 65363: "right", 65364: "down",
    2424832: "left", 2490368: "up", 2555904: "right", 2621440: "down",
    63234: "left", 63232: "up", 63235: "right", 63233: "down",
}  # fmt: skip
_LARGEST_WH = (1280, 720)  # at first; the user may drag it larger
_SMALLEST_HEIGHT = 360

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


class View(Protocol):
    """What a window shows, and its keys change."""

    overlay: Overlay

    def resize(self, size_wh: tuple[int, int]) -> None:
        """Draw in that size from now on, pixels."""
        ...

    def select(self, number: int) -> None:
        """Show one camera alone, from 1, or all with 0."""
        ...

    def redraw(self) -> Image:
        """Return what is shown, drawn again, (H, W, 3) uint8 BGR."""
        ...

    def still(self) -> Image:
        """Return it in the size of the frame."""
        ...

    def locate(self, x: int, y: int) -> Place | None:
        """The camera at a pixel, and the fractions of its picture; None = none."""
        ...


class Window:
    """Shows frames in a window; `h` shows its keys. A window belongs to the thread that made it.

    Args:
        title: unique among the program's windows.
        pace: play files at their true speed; else every frame is shown at once.
        folder: where stills go; None = none are taken.
        notify: is called with a line on where a still was saved.

    Attributes:
        view: draws what is shown, None = it comes as it is.
        seek: is called with seconds to go on or back by; returns what to say of it.
        drawn: is called with a camera and the points of a line or zone that was drawn, in
            fractions of its picture; returns what to say of it.
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
        self.view: View | None = None
        self.seek: Callable[[float], str] = lambda _: "only films have a place to go to"
        self.drawn: Callable[[str, Sequence[Point]], str] = lambda *_: "nothing can be drawn here"
        self._hints = Hints()
        self._sketch = Sketch(lambda *shape: self.drawn(*shape), self._hints.say)
        self._touched = False  # the mouse has drawn since the last picture
        self._open = self._closed = self._paused = self._moving = False
        self._shown: tuple[Image, int] | None = None
        self._next: tuple[Image, int] | None = None  # is due soon, what the view has drawn last

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
            self._next = picture, index
            arrives, self._moving = self._moving, False
            if wait_s > 0 and not arrives:
                self._answer(wait_s)
            if not self._closed and not self._moving:  # else it is of the place that was left
                self._shown = self._next
                self._paint()
                self._answer(0.0)
        except cv2.error as error:
            raise SinkError(f"OpenCV cannot show a window ({error.err}): {_REMEDY}") from error

    def _paint(self) -> None:
        if self._shown is None:
            return
        picture, _ = self._shown
        if not self._open:
            flags = cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(self._title, flags)
            cv2.resizeWindow(self._title, *first_size((picture.shape[1], picture.shape[0])))
            cv2.setMouseCallback(self._title, self._on_mouse)
            self._open = True
        style = self.view.overlay.style if self.view else None
        self._touched = False
        told = self._hints.draw(self._sketch.draw(picture), self._paused, style)
        cv2.imshow(self._title, told)

    def _on_mouse(self, event: int, x: int, y: int, *_: object) -> None:
        """Draw, where that was asked for; called by OpenCV within `waitKeyEx`."""
        if not self._sketch.active or self.view is None:
            return
        self._touched = True
        self._sketch.move((x, y))
        if event == cv2.EVENT_LBUTTONUP:
            self._sketch.click((x, y), self.view.locate(x, y))
            self._redraw()

    def _redraw(self) -> None:
        """Have the view draw again, after something was changed."""
        if self.view and self._shown:
            self._shown = self._next = self.view.redraw(), self._shown[1]

    def _answer(self, wait_s: float) -> None:
        """Handle keys and the close button for `wait_s`, and for as long as it is paused."""
        until = time.monotonic() + wait_s
        while self._open and not self._closed:
            left_ms = int(1000 * (until - time.monotonic()))
            key = cv2.waitKeyEx(_POLL_MS if self._paused else max(1, min(left_ms, _POLL_MS)))
            if self._is_gone():
                self._closed = True
                return
            if key != -1:
                self._handle(key)
            if self._fit() or key != -1 or self._hints.changed() or self._touched:
                self._paint()
            if self._moving or (left_ms <= 1 and not self._paused):
                return

    def _fit(self) -> bool:
        """Have the view draw in the window's present size; whether that is another one."""
        if self.view is None or self._shown is None:
            return False
        *_, width, height = cv2.getWindowImageRect(self._title)
        if min(width, height) < 16 or (height, width) == self._shown[0].shape[:2]:
            return False
        self.view.resize((width, height))
        self._redraw()
        return True

    def _is_gone(self) -> bool:
        """Whether the close button was pressed; with its last window Qt's toolkit ends too."""
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1)
        except cv2.error:
            return True

    def _handle(self, key: int) -> None:
        """Handle a key, as `cv2.waitKeyEx` tells it, for the view's newest image."""
        self._shown = self._next
        if self._sketch.active and self._sketch.key(key & 0xFF):
            self._redraw()
            return
        if arrow := _ARROWS.get(key):
            self._move(_STEPS_S[arrow])
            return
        match chr(key & 0xFF).lower():
            case "\x1b" | "q":
                self._closed = True
            case " ":
                self._paused = not self._paused
                self._restart()
            case "s":
                self._save_still()
            case "f":
                full = cv2.getWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN) > 0
                mode = cv2.WINDOW_NORMAL if full else cv2.WINDOW_FULLSCREEN
                cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)
            case "z":
                self._sketch.toggle()
            case "h" | "?":
                self._hints.help = not self._hints.help
            case "[" | "]" as bracket:
                self._play(_FASTER if bracket == "]" else 1 / _FASTER)
            case letter:
                self._change(letter)

    def _change(self, letter: str) -> None:
        """Handle the keys that change how the view looks."""
        if self.view is None:
            return
        overlay, style = self.view.overlay, self.view.overlay.style
        if letter in "+=-_":
            scale = style.scale * (_LARGER if letter in "+=" else 1 / _LARGER)
            overlay.style = replace(style, scale=min(max(scale, _SMALLEST), _LARGEST))
            self._hints.say(f"text {100 * overlay.style.scale:.0f} %")
        elif letter == "l":
            labels = LABELS[(LABELS.index(style.labels) + 1) % len(LABELS)]
            overlay.style = replace(style, labels=labels)
            self._hints.say(f"labels: {labels}")
        elif letter == "b":
            overlay.style = replace(style, blur=not style.blur)
            self._hints.say(
                "the faces found are hidden here" if overlay.style.blur else "faces shown"
            )
        elif letter.isdecimal():
            self.view.select(int(letter))
        self._redraw()

    def _restart(self) -> None:
        if self._pacer is not None:
            self._pacer.restart()

    def _play(self, factor: float) -> None:
        """Play a film that much faster."""
        if self._pacer is None:
            self._hints.say("only films have a speed")
            return
        self._pacer.speed = min(max(self._pacer.speed * factor, _SLOWEST), _FASTEST)
        if abs(self._pacer.speed - 1) < 0.01:
            self._pacer.speed = 1.0
        self._restart()
        self._hints.say(f"speed × {self._pacer.speed:.2g}")

    def _move(self, step_s: float) -> None:
        """Go on or back in a film; the next frame is from there, and shown at once."""
        self._hints.say(self.seek(step_s))
        self._moving = True
        self._restart()

    def _save_still(self) -> None:
        """Write the shown image to a PNG file; a failure is only logged."""
        if self._folder is None:
            self._notify("no stills are taken")
            self._hints.say("no stills are taken")
            return
        if self._shown is None:
            return
        picture, index = self._shown
        if self.view:
            picture = self.view.still()
        path = self._folder / f"still-{datetime.now():%Y%m%d-%H%M%S}-{index}.png"
        try:
            write_whole(path, cv2.imencode(".png", picture)[1].tobytes())
        except OSError as error:
            log.warning("no still saved: %s", error)
            self._hints.say(f"no still saved: {error.strerror}")
        else:
            self._notify(f"saved {path.absolute()}")
            self._hints.say(f"saved {path.name}")


def first_size(size_wh: tuple[int, int]) -> tuple[int, int]:
    """Return a window size of an image's proportions, neither tiny nor larger than a screen."""
    width, height = size_wh
    scale = max(1.0, _SMALLEST_HEIGHT / height)
    scale = min(scale, _LARGEST_WH[0] / width, _LARGEST_WH[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
