"""Results to show on the page, and a client to read it with."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from typing import Any

import aiohttp
import numpy as np

from people.crowd import Crowd
from people.records import Recorder
from structures import (
    Frame,
    FrameResult,
    Gender,
    Image,
    Smoothed,
    SourceState,
    SourceStatus,
    Track,
    TrackState,
)
from tests.fakes import grey
from web.view import WebView

Answer = tuple[int, Mapping[str, str], str]  # status, headers, body

SAFETY_S = 20.0  # only ever reached by a test that fails


def person(age: float = 34.2, gender: Gender = Gender.FEMALE, samples: int = 12) -> Smoothed:
    return Smoothed(age, 3.9, 0.9 if gender is Gender.FEMALE else 0.1, gender, samples, True)


def result(
    index: int = 0,
    people: Mapping[int, Smoothed | None] | None = None,
    camera: str = "",
    state: SourceState = SourceState.LIVE,
    detail: str = "",
    epoch: int = 0,
    arrived_s: float | None = None,
    missed: Collection[int] = (),
    **more: Any,
) -> FrameResult:
    """A frame with one track for each of `people` (id -> Smoothed or None)."""
    people = people or {}
    tracks = tuple(
        Track(
            i,
            np.array([1, 2, 30, 40], np.float32),
            TrackState.CONFIRMED,
            int(i in missed),
            None if i in missed else 0,
            9,
        )
        for i in people
    )
    known = {i: value for i, value in people.items() if value is not None}
    frame = Frame(grey(index % 256), index, index / 25, epoch, arrived_s)
    status = SourceStatus(state, detail, connected=state in (SourceState.LIVE, SourceState.STALLED))
    return FrameResult(frame, tracks, known, status=status, camera=camera, **more)


def write(view: WebView, one: FrameResult, picture: Image | None = None) -> None:
    """What the frame loop does with a result; the picture's grey level is the index."""
    wanted = view.wants_picture
    view.write(one.frame.image.copy() if wanted and picture is None else picture, one)


@contextlib.contextmanager
def served(
    address: str = "0",
    crowd: Crowd | None = None,
    *,
    anonymous: bool = False,
    **options: Any,
) -> Iterator[WebView]:
    """A page that is served on a free port, and closed at the end."""
    crowd = crowd or Crowd(anonymous=anonymous)
    view = WebView(address, Recorder(crowd), **options)
    try:
        yield view
    finally:
        view.close()


def ask(view: WebView, path: str, method: str = "GET", **options: Any) -> Answer:
    """The status, headers and body of one answer; redirects are not followed."""

    async def go() -> Answer:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, view.url + path, allow_redirects=False, **options) as answer,
        ):
            return answer.status, answer.headers, await answer.text(errors="replace")

    return asyncio.run(go())


class Watcher:
    """Reads an MJPEG stream part by part."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def part(self) -> tuple[int, bytes]:
        """The next picture: the frame's index and the JPEG."""
        headers: dict[str, str] = {}
        while (line := (await self._answer.content.readline()).strip()) or not headers:
            if b": " in line:
                key, _, value = line.decode().partition(": ")
                headers[key] = value
        data = await self._answer.content.readexactly(int(headers["Content-Length"]))
        return int(headers["X-Frame-Index"]), data


@contextlib.asynccontextmanager
async def watching(view: WebView, query: str = "") -> AsyncIterator[Watcher]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{view.url}stream.mjpeg{query}") as answer,
    ):
        assert answer.status == 200
        yield Watcher(answer)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another thread brings about."""
    async with asyncio.timeout(SAFETY_S):
        while not condition():
            await asyncio.sleep(0.005)


async def frames(
    view: WebView, stop: asyncio.Event, start: int = 0, make: Callable[..., FrameResult] = result
) -> None:
    """Write frames at a camera's pace until `stop` is set; what a frame loop does."""
    index = start
    while not stop.is_set():
        write(view, make(index, arrived_s=time.monotonic()))
        index += 1
        await asyncio.sleep(0.01)
