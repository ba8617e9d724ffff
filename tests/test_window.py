import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawing.text import Pen, text_size
from outputs.hints import KEYS, Hints, key_table
from outputs.pace import Pacer
from outputs.window import DisplayProbe, Window, first_size
from structures import Frame, FrameResult
from tests.fakes import grey

ROOT = Path(__file__).resolve().parent.parent
LINUX = sys.platform.startswith("linux")
DEADLINE_S = 20


# pace


def test_on_time_frames_wait_until_they_are_due() -> None:
    pacer = Pacer()
    assert pacer.wait_s(5.0, now_s=100.0) == 0
    assert pacer.wait_s(5.04, now_s=100.01) == pytest.approx(0.03)
    assert pacer.wait_s(5.08, now_s=100.04) == pytest.approx(0.04)


def test_a_short_delay_is_made_up_for() -> None:
    pacer = Pacer()
    pacer.wait_s(0.0, now_s=10.0)
    assert pacer.wait_s(0.04, now_s=10.2) == 0
    assert pacer.wait_s(0.3, now_s=10.2) == pytest.approx(0.1)


def test_after_a_long_delay_play_resumes_without_rushing() -> None:
    pacer = Pacer()
    pacer.wait_s(0.0, now_s=10.0)
    assert pacer.wait_s(0.04, now_s=15.0) == 0
    assert pacer.wait_s(0.08, now_s=15.0) == pytest.approx(0.04)


def test_a_jump_back_in_time_does_not_wait() -> None:
    pacer = Pacer()
    pacer.wait_s(100.0, now_s=10.0)
    assert pacer.wait_s(0.0, now_s=10.04) == 0
    assert pacer.wait_s(0.04, now_s=10.04) == pytest.approx(0.04)


def test_after_a_restart_the_next_frame_is_due_at_once() -> None:
    pacer = Pacer()
    pacer.wait_s(0.0, now_s=10.0)
    pacer.restart()
    assert pacer.wait_s(0.2, now_s=10.0) == 0


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_a_film_may_play_slower_or_faster(speed: float) -> None:
    pacer = Pacer()
    pacer.speed = speed
    pacer.wait_s(5.0, now_s=100.0)
    assert pacer.wait_s(5.04, now_s=100.0) == pytest.approx(0.04 / speed)


# what it tells


def test_a_picture_with_nothing_to_tell_is_left_alone() -> None:
    picture = grey(90, (640, 360))
    assert Hints().draw(picture, paused=False) is picture


def test_a_message_goes_after_a_while_and_says_once_that_it_is_gone() -> None:
    now = [0.0]
    hints, picture = Hints(lambda: now[0]), grey(90, (640, 360))
    hints.say("saved still-3.png")
    assert (hints.draw(picture, paused=False) != picture).any() and not hints.changed()
    now[0] = 10.0
    assert [hints.changed(), hints.changed()] == [True, False]
    assert hints.draw(picture, paused=False) is picture


def test_a_pause_shows_in_the_corner_and_leaves_the_picture_as_it_was() -> None:
    picture = grey(90, (640, 360))
    told = Hints().draw(picture, paused=True)
    assert (told[:40, 500:] != 90).any() and (told[40:] == 90).all()
    assert (picture == 90).all()


@pytest.mark.parametrize("size_wh", [(320, 180), (640, 360), (1920, 1080), (400, 900)])
def test_the_table_of_keys_fits_into_the_window(size_wh: tuple[int, int]) -> None:
    width, height = key_table(Pen(text_size(size_wh)), size_wh).size_wh
    assert width <= size_wh[0] and height <= size_wh[1]
    assert height >= 8 * len(KEYS)


@pytest.mark.parametrize("size_wh", [(1920, 1080), (64, 48), (90, 1600), (640, 360)])
def test_a_window_is_first_neither_tiny_nor_larger_than_a_screen(size_wh: tuple[int, int]) -> None:
    width, height = first_size(size_wh)
    assert width <= 1280 and height <= 720 and (height >= 360 or width == 1280)
    assert width / height == pytest.approx(size_wh[0] / size_wh[1], rel=0.02)


# no display


@pytest.mark.skipif(not LINUX, reason="other systems always have a display")
def test_a_missing_display_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    problem = DisplayProbe().problem()
    assert problem is not None and "no display" in problem and "--no-window" in problem


@pytest.mark.skipif(not LINUX, reason="other systems always have a display")
def test_a_bad_display_is_found_out_without_ending_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    problem = DisplayProbe().problem()
    assert problem is not None and "':4711'" in problem and "--no-window" in problem


def test_a_window_that_never_opened_closes_quietly_and_wants_pictures() -> None:
    window = Window("never")
    frame = Frame(np.zeros((9, 9, 3), np.uint8), 0, 0.0)
    with pytest.raises(ValueError, match="got None"):
        window.write(None, FrameResult(frame))
    window.close()
    window.close()
    assert window.closed


# under Xvfb

PLAY = """
import sys
from drawing.overlay import Overlay
from outputs.window import Window
import numpy as np
from structures import Frame, FrameResult
tell = lambda text: print(text, flush=True)
window = Window("faces of a test", pace=True, folder=sys.argv[1], notify=tell)
class Scene:
    overlay = Overlay(False)
    def __init__(self): self.image = None
    def resize(self, size_wh): tell(f"size {size_wh}")
    def select(self, number): tell(f"digit {number}")
    def redraw(self): tell(f"style {self.overlay.style}"); return self.image
    def still(self): return self.image
    def locate(self, x, y): return "", x / 640, y / 360
def drawn(camera, points):
    tell(f"drawn {len(points)} {points[0][0]:.1f} {points[0][1]:.1f}")
    return "drawn"
def seek(step_s):
    tell(f"seek {step_s}")
    return "to there"
scene = window.view = Scene()
window.seek = seek
window.drawn = drawn
for index in range(100_000):
    image = scene.image = np.full((360, 640, 3), index % 200, np.uint8)
    window.write(image, FrameResult(Frame(image, index, index / 25)))
    if window.closed:
        break
    print("frame", index, flush=True)
print("closed", flush=True)
window.close()
"""

BESIDE_PYAV = """
from outputs.recording.sink import Recording
from outputs.window import Window
import numpy as np
from structures import Frame, FrameResult
image = np.zeros((90, 160, 3), np.uint8)
window = Window("beside PyAV")
window.write(image, FrameResult(Frame(image, 0, 0.0)))
window.close()
print("shown", flush=True)
"""


# What a window manager sends when the close button is pressed; xdotool's own
# "windowclose" destroys the window from outside, which no user can do.
PRESS_CLOSE = """
import ctypes, sys
class ClientMessage(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong),
                ("message_type", ctypes.c_ulong), ("format", ctypes.c_int),
                ("data", ctypes.c_long * 5), ("room", ctypes.c_long * 24)]
x11 = ctypes.CDLL("libX11.so.6")
x11.XOpenDisplay.restype = ctypes.c_void_p
x11.XInternAtom.restype = ctypes.c_ulong
display = ctypes.c_void_p(x11.XOpenDisplay(None))
protocols, delete = (x11.XInternAtom(display, name, 0) for name in
                     (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
window = int(sys.argv[1])
event = ClientMessage(33, 0, 1, display, window, protocols, 32, (delete, 0, 0, 0, 0))
x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
x11.XCloseDisplay(display)
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    for tool in ("Xvfb", "xdotool"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    read, write = os.pipe()
    # Without -noreset it resets whenever its last client leaves; who comes just then fails.
    command = ["Xvfb", "-noreset", "-screen", "0", "800x600x24", "-displayfd", str(write)]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as answer:
        name = f":{answer.readline().strip()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        yield name
    server.terminate()
    server.wait()


class Player:
    """A child that plays grey pictures into a window, and the hand on its keyboard."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", PLAY, str(folder)]
        self.child = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
        self.alarm = threading.Timer(DEADLINE_S, self.child.kill)
        self.alarm.start()
        self.read_until("frame")
        search = ["search", "--sync", "--onlyvisible", "--name", "faces of a test"]
        self.window = self.tool(*search).split()[-1]
        self.tool("windowfocus", "--sync", self.window)

    def tool(self, *words: str) -> str:
        command = ["xdotool", *words]
        done = subprocess.run(command, check=True, text=True, capture_output=True, timeout=10)
        return done.stdout

    def read_until(self, word: str) -> str:
        """Return the first line that begins with `word`."""
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if line.startswith(word):
                return line
        raise AssertionError(f"the child ended without saying {word!r}")

    def closes(self) -> bool:
        """Whether it ends by itself, in good order."""
        self.read_until("closed")
        return self.child.wait(DEADLINE_S) == 0


@pytest.fixture
def player(display: str, tmp_path: Path) -> Iterator[Player]:
    player = Player(tmp_path)
    yield player
    player.alarm.cancel()
    player.child.kill()
    if player.child.stdout is not None:
        player.child.stdout.close()
    player.child.wait()


@pytest.mark.window
def test_a_good_display_has_no_problem(display: str) -> None:
    assert DisplayProbe().problem() is None


@pytest.mark.window
@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_closes_the_window(player: Player, key: str) -> None:
    player.tool("key", key)
    assert player.closes()


@pytest.mark.window
def test_the_close_button_closes_it(player: Player) -> None:
    subprocess.run([sys.executable, "-c", PRESS_CLOSE, player.window], check=True, timeout=10)
    assert player.closes()


@pytest.mark.window
def test_a_pause_holds_the_picture_saves_it_and_still_closes(
    player: Player, tmp_path: Path
) -> None:
    player.tool("key", "space")
    player.tool("key", "s")
    saved = Path(player.read_until("saved").removeprefix("saved ").strip())
    index = int(saved.stem.split("-")[-1])
    assert saved.parent == tmp_path
    assert (np.asarray(cv2.imread(str(saved))) == index % 200).all()
    time.sleep(0.5)
    player.tool("key", "s")  # half a second on, it shows the same picture
    again = Path(player.read_until("saved").removeprefix("saved ").strip())
    assert int(again.stem.split("-")[-1]) == index
    player.tool("key", "q")
    assert player.closes()


@pytest.mark.window
def test_a_digit_is_handed_on_and_the_window_stays(player: Player) -> None:
    for digit in "071":
        player.tool("key", digit)
        assert player.read_until("digit").split() == ["digit", digit]
    player.read_until("frame")
    player.tool("key", "q")
    assert player.closes()


@pytest.mark.window
@pytest.mark.parametrize(
    ("key", "changed"),
    [("l", "labels='full'"), ("b", "blur=True"), ("plus", "scale=1.15"), ("minus", "scale=0.86")],
)
def test_a_key_changes_how_the_view_looks_even_in_a_pause(
    player: Player, key: str, changed: str
) -> None:
    player.tool("key", "space")
    player.tool("key", key)
    while changed not in player.read_until("style"):
        pass  # the first is of the window's own size
    player.tool("key", "q")
    assert player.closes()


@pytest.mark.window
def test_in_a_pause_a_film_is_gone_through_frame_by_frame(player: Player) -> None:
    player.tool("key", "space")
    for arrow, step_s in (("Left", "-5.0"), ("Right", "5.0"), ("Up", "30.0"), ("Down", "-30.0")):
        player.tool("key", arrow)
        assert player.read_until("seek").split() == ["seek", step_s]
        player.read_until("frame")


@pytest.mark.window
def test_the_view_is_told_the_size_of_the_window(player: Player) -> None:
    player.tool("windowsize", "--sync", player.window, "500", "400")
    assert "500, 400" in player.read_until("size (5")


@pytest.mark.window
def test_space_ends_a_pause(player: Player) -> None:
    player.tool("key", "space")
    player.tool("key", "s")
    index = int(player.read_until("saved").strip().removesuffix(".png").split("-")[-1])
    player.tool("key", "space")
    player.read_until(f"frame {index + 5}")
    player.tool("key", "q")
    assert player.closes()


@pytest.mark.window
def test_a_window_opens_in_a_program_that_has_loaded_pyav(display: str) -> None:
    command = [sys.executable, "-c", BESIDE_PYAV]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=DEADLINE_S)
    assert done.stdout == "shown\n" and done.stderr == ""


@pytest.mark.window
def test_the_mouse_draws_after_z_and_escape_leaves_without_closing(player: Player) -> None:
    player.tool("key", "space")
    player.tool("key", "z")
    for x, y in ((64, 90), (320, 90), (320, 270)):
        player.tool("mousemove", "--sync", "--window", player.window, str(x), str(y))
        player.tool("click", "1")
    player.tool("key", "Return")
    assert player.read_until("drawn").split() == ["drawn", "3", "0.1", "0.2"]
    player.tool("key", "z")
    player.tool("key", "Escape")
    player.tool("key", "l")
    player.read_until("style")  # it still answers
    player.tool("key", "q")
    assert player.closes()
