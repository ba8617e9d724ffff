"""A scripted bad camera: try out your own set-up without pulling cables.

    chaos:FILE?freeze=5@10&drop=0.1&corrupt=0.01&resize=20&end=30

plays the video FILE in a loop at its own rate as a live source with the given faults: here
it freezes for 5 s at second 10, loses a tenth of its frames, damages one in a hundred,
changes its size at second 20 and disconnects at second 30.

    freeze=SECONDS@AT    silent, but connected (given up and opened again after two seconds)
    late=SECONDS@AT      delayed: then everything arrives at once, too late
    lose=SECONDS@AT      disconnects; nothing answers
    refuse=SECONDS@AT    disconnects; the password is not accepted
    end=AT               disconnects; may be opened again at once
    resize=AT            between full and half size
    drop=SHARE           frames lost, 0..1
    corrupt=SHARE        frames damaged, 0..1
    every=SECONDS        repeat the script after this time
    seed=NUMBER          chooses which frames are lost and damaged (default 0)

Several of a kind are separated by commas: `freeze=5@10,2@30`. Times count from the start of
the program. It goes through the same reader as real cameras and shows the same states.
"""

import contextlib
import math
import random
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from errors import PasswordError, SourceError
from sources.decoding import open_video, pictures_of, to_image
from sources.feed import no_answer
from sources.files import find_path
from sources.live import Arrival, Connection, LiveFeed, LiveOptions
from sources.network import OPEN_S, READ_S, Lateness
from structures import Image

_FORM = (
    "freeze=SECONDS@AT, late=SECONDS@AT, lose=SECONDS@AT, refuse=SECONDS@AT, end=AT, resize=AT "
    "(several: with commas), drop=SHARE, corrupt=SHARE, every=SECONDS, seed=NUMBER"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that begins at `at_s` and lasts for `seconds`."""

    seconds: float
    at_s: float

    def left_s(self, now_s: float) -> float:
        """Seconds of it left at `now_s`; 0 before and after it."""
        left_s = self.at_s + self.seconds - now_s
        return left_s if now_s >= self.at_s and left_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """The faults and their times, in seconds of the camera's time; see the module."""

    freeze: tuple[Span, ...] = ()
    late: tuple[Span, ...] = ()
    lose: tuple[Span, ...] = ()
    refuse: tuple[Span, ...] = ()
    end: tuple[float, ...] = ()
    resize: tuple[float, ...] = ()
    drop: float = 0.0
    corrupt: float = 0.0
    every: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> "Script":
        """Read `freeze=5@10,2@30&drop=0.1&...`; raises ValueError with one line on a mistake."""
        found: dict[str, object] = {}
        for part in filter(None, text.split("&")):
            key, _, value = part.partition("=")
            if key not in _PARSERS:
                raise ValueError(f"unknown fault {key!r}; known: {', '.join(_PARSERS)}")
            try:
                found[key] = _PARSERS[key](value)
            except ValueError:
                raise ValueError(f"{part!r} is not understood; write {_FORM}") from None
        return cls(**found)  # type: ignore[arg-type]

    def moment(self, now_s: float) -> float:
        """Camera time as the script counts it."""
        return now_s % self.every if self.every else now_s

    def left_s(self, what: tuple[Span, ...], now_s: float) -> float:
        """Seconds left at `now_s` of the active spans of `what`; 0 = none is active."""
        return max((span.left_s(self.moment(now_s)) for span in what), default=0.0)

    def happened(self, moments: tuple[float, ...], now_s: float) -> int:
        """How many of the given moments have passed at `now_s`, all rounds counted."""
        rounds = int(now_s // self.every) if self.every else 0
        passed = sum(at_s <= self.moment(now_s) for at_s in moments)
        return rounds * len(moments) + passed


def _number(text: str, most: float = sys.float_info.max) -> float:
    value = float(text)
    if not 0 <= value <= most:
        raise ValueError
    return value


def _share(text: str) -> float:
    return _number(text, most=1)


def _moments(text: str) -> tuple[float, ...]:
    return tuple(_number(each) for each in text.split(","))


def _spans(text: str) -> tuple[Span, ...]:
    pairs = (each.split("@") for each in text.split(","))
    return tuple(Span(_number(seconds), _number(at_s)) for seconds, at_s in pairs)


_PARSERS: dict[str, Callable[[str], object]] = {
    "freeze": _spans,
    "late": _spans,
    "lose": _spans,
    "refuse": _spans,
    "end": _moments,
    "resize": _moments,
    "drop": _share,
    "corrupt": _share,
    "every": _number,
    "seed": int,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the reader would wait for a real camera, seconds."""

    open_s: float = OPEN_S
    read_s: float = READ_S


_NETWORK = Limits()


def split_chaos(text: str) -> tuple[str, str]:
    """The file and the faults of `chaos:FILE?FAULTS`."""
    file, mark, faults = text.removeprefix("chaos:").rpartition("?")
    return (file, faults) if mark else (faults, "")


def open_chaos(text: str, options: LiveOptions, limits: Limits = _NETWORK) -> LiveFeed:
    """Open `chaos:FILE?FAULTS`; `limits` are how long its silence is tolerated.

    Raises:
        SourceError: the file does not exist or is no video, or the faults are not understood.
    """
    file, faults = split_chaos(text)
    name = "".join(c if c.isprintable() else "?" for c in f"chaos:{file}")
    path = find_path(file, name)
    try:
        script = Script.parse(faults)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from None
    address = str(path.absolute())
    with contextlib.closing(open_video(address, name)) as video:
        fps = video.fps
    return LiveFeed(ChaosCamera(address, name, fps, script, limits).connect, name, options)


class ChaosCamera:
    """A camera that plays a film in a loop, with the faults of its script.

    Its time is counted in frames: a script has the same faults on a slow machine, too.
    """

    def __init__(self, address: str, name: str, fps: float, script: Script, limits: Limits) -> None:
        self._address, self._name, self._fps = address, name, fps
        self._script, self._limits = script, limits
        self._started_s: float | None = None

    def connect(self, stop: threading.Event) -> Connection:
        """Open the camera, or fail as the script says; see `sources.live.Connect`."""
        if self._started_s is None:
            self._started_s = time.monotonic()
        script, now_s = self._script, self._now_s()
        if script.left_s(script.refuse, now_s):
            raise PasswordError(f"{self._name} refuses the user name or password (as scripted)")
        if script.left_s(script.lose, now_s):
            raise SourceError(f"{self._name}: nothing answers (as scripted)")
        frozen_s = script.left_s(script.freeze, now_s)
        stop.wait(min(frozen_s, self._limits.open_s))
        if frozen_s > self._limits.open_s:
            raise SourceError(no_answer(self._name))
        return Connection(self._fps, self._pictures(stop))

    def _now_s(self) -> float:
        return 0.0 if self._started_s is None else time.monotonic() - self._started_s

    def _pictures(self, stop: threading.Event) -> Generator[Arrival, None, None]:
        """Yield images until the script disconnects."""
        opened_s = heard_s = self._now_s()
        first, lateness = math.ceil(opened_s * self._fps), Lateness()
        reformatter = VideoReformatter()
        with contextlib.closing(self._film(stop)) as film:
            for number, (seen, aspect) in enumerate(film, first):
                at_s = number / self._fps
                due_s = at_s + self._script.left_s(self._script.late, at_s)
                stop.wait(max(0.0, min(due_s, heard_s + self._limits.read_s) - self._now_s()))
                silent = due_s - heard_s > self._limits.read_s
                if stop.is_set() or silent or self._disconnects(opened_s, at_s):
                    return
                luck = random.Random(f"{self._script.seed}:{number}")
                is_lost = luck.random() < self._script.drop
                if is_lost or self._script.left_s(self._script.freeze, at_s):
                    continue
                heard_s = due_s
                image = self._spoilt(to_image(seen, reformatter, aspect), at_s, luck)
                now_s = time.monotonic()
                yield Arrival(image, now_s, lateness.of(at_s, now_s))

    def _disconnects(self, opened_s: float, at_s: float) -> bool:
        script = self._script
        ended = script.happened(script.end, at_s) > script.happened(script.end, opened_s)
        return ended or script.left_s((*script.lose, *script.refuse), at_s) > 0

    def _spoilt(self, image: Image, at_s: float, luck: random.Random) -> Image:
        """Return the image with the size and the damage that the script asks for."""
        if self._script.happened(self._script.resize, at_s) % 2:
            image = cast("Image", cv2.resize(image, None, fx=0.5, fy=0.5))
        if luck.random() < self._script.corrupt:
            row = luck.randrange(len(image))
            image[row:] = image[row]  # as decoders fill the rest of a damaged frame
        return image

    def _film(self, stop: threading.Event) -> Generator[tuple[VideoFrame, Fraction], None, None]:
        """Decode the film in a loop: its frames and their pixels' aspect."""
        empty = False
        while not empty and not stop.is_set():
            empty = True
            with (
                contextlib.closing(open_video(self._address, self._name)) as video,
                contextlib.suppress(av.FFmpegError),  # damaged: its good part is enough
            ):
                for picture in pictures_of(video, stop):
                    empty = False
                    yield picture, video.pixel_aspect
