"""The addresses of the page and what they answer; runs in the server's loop."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from people.records import Recorder, to_json
from structures import FrameResult
from web.access import Access, add_headers, body_text, form_field
from web.board import Board
from web.controls import Controls
from web.figures import Facts, RunCollector, is_over, page_state, problem
from web.streaming import LONGEST_SIDE, SMALL_SIDE, Calls, LiveImages, encode
from web.texts import Texts

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}

MAX_CLIENTS = 32  # of endless answers
WRITE_S = 10.0  # a client that takes nothing for so long is let go
_STILL_S = 3.0  # how long a still waits for an image
_EVENT_PAUSE_S = 0.1
_PART_PAUSE_S = 0.01
_FACE_QUALITY = 85
_STATE_S = 0.25
_KEEP_ALIVE_S = 15.0
_SEND_BUFFER = 256 * 1024  # bytes; the system's own grows until a slow client is seconds late
_LARGEST_REQUEST = 64 * 1024


class Server:
    """Answers requests from what stands on the board.

    Args:
        board: the newest of everything.
        facts: what does not change during the run.
        access: who may use it.
        recorder: makes the records of /events.
        controls: what the page may change.
        texts: the page's words.
    """

    def __init__(
        self,
        board: Board,
        facts: Facts,
        access: Access,
        recorder: Recorder,
        controls: Controls,
        texts: Texts,
    ) -> None:
        self._board, self._facts, self._access = board, facts, access
        self._controls, self._texts = controls, texts
        self._recorder = recorder
        self._metrics = RunCollector(board, facts)
        self._images = LiveImages(board, facts.crowd.attributes)
        self._calls = Calls(board, self._images) if facts.webrtc else None
        self._records: dict[str, tuple[int, bytes]] = {}
        self._state = (0.0, "")
        self._clients = 0
        self._files = {
            path.name: (path.read_bytes(), _TYPES[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in _TYPES
        }

    def app(self) -> web.Application:
        """Return the application with all its addresses."""
        app = web.Application(
            middlewares=[self._access.middleware], client_max_size=_LARGEST_REQUEST
        )
        app.on_response_prepare.append(add_headers)
        app.router.add_get("/", self._index)
        for name in set(self._files) - {"index.html", "login.html"}:
            app.router.add_get(f"/{name}", self._file)
        app.router.add_get("/state.json", self._state_json)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._prometheus)
        app.router.add_post("/settings", self._settings)
        app.router.add_post("/login", self._login)
        if not self._facts.crowd.anonymous:
            app.router.add_get("/snapshot.jpg", self._snapshot)
            app.router.add_get("/stream.mjpeg", self._stream)
            app.router.add_get("/live", self._live)
            app.router.add_get("/face.jpg", self._face)
            app.router.add_get("/events", self._events)
        if self._calls:
            app.router.add_post("/offer", self._offer)
            app.on_shutdown.append(self._hang_up)
        return app

    # The page

    async def _index(self, request: web.Request) -> web.Response:
        """The page, with the state of this moment in it, so that nothing moves later."""
        first = self._state_text().replace("<", "\\u003c")  # it must not end the script
        language = self._texts.language(request.headers.get("Accept-Language", ""))
        page = self._texts.fill(self._files["index.html"][0].decode(), language)
        page = page.replace(">null</script>", f">{first}</script>")
        return web.Response(text=page, content_type="text/html")

    async def _file(self, request: web.Request) -> web.Response:
        data, kind = self._files[request.path.removeprefix("/")]
        return web.Response(body=data, content_type=kind, charset="utf-8")

    async def _login(self, request: web.Request) -> web.Response:
        """Take the token from the form; the page then goes on with the cookie."""
        if not self._access.opens(await form_field(request, "token")):
            await self._access.slow_down(request)
            return web.Response(status=303, headers={"Location": "/#wrong"})
        response = web.Response(status=303, headers={"Location": "/"})
        self._access.remember(request, response)
        return response

    async def _settings(self, request: web.Request) -> web.Response:
        """Change what may be changed while the program runs."""
        try:
            self._controls.change(json.loads(await body_text(request)))
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        if self._controls.hides:  # also where no further frame comes
            self._board.faces.clear()
        self._state = (0.0, "")
        return await self._state_json(request)

    async def _state_json(self, _request: web.Request) -> web.Response:
        """Everything that the page shows but the images."""
        return web.Response(text=self._state_text(), content_type="application/json")

    def _state_text(self) -> str:
        """Return the state as JSON; made four times a second at most."""
        made_s, text = self._state
        now_s = time.monotonic()
        if now_s - made_s > _STATE_S or not text:
            state = page_state(self._board, self._facts) | {"settings": self._controls.state()}
            text = json.dumps(state, allow_nan=False)
            self._state = now_s, text
        return text

    # For other programs

    async def _health(self, _request: web.Request) -> web.Response:
        posted = self._board.all_newest()
        wrong = problem(self._board, posted)
        fine = "ended" if is_over(posted) else "live"
        return web.Response(text=(wrong or fine) + "\n", status=503 if wrong else 200)

    async def _prometheus(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        return web.Response(body=self._metrics.text(), headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: a record of each camera's newest frame, ten a second at most."""
        camera = self._camera_of(request)
        async with self._endless(request, "text/event-stream") as send:
            sent: dict[str, int] = {}
            await send(b"retry: 2000\n\n")
            while True:
                data = self._new_records(camera, sent)
                if data:
                    await send(data)
                    await asyncio.sleep(_EVENT_PAUSE_S)
                    continue
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        await self._board.next_post()
                except TimeoutError:
                    await send(b":\n\n")
        return send.response

    def _new_records(self, camera: str | None, sent: dict[str, int]) -> bytes:
        """Return the records that are newer than `sent`, which is brought up to date."""
        posted = self._board.all_newest()
        data = b""
        for name, one in posted.items():
            if camera in (None, name) and one.version > sent.get(name, 0):
                sent[name] = one.version
                data += self._record(name, one.version, one.result)
        return data

    def _record(self, camera: str, version: int, result: FrameResult) -> bytes:
        """Return a result's event; each is made once, however many listen."""
        known = self._records.get(camera)
        if known is None or known[0] != version:
            line = to_json(self._recorder.frame(result))
            known = self._records[camera] = version, f"data: {line}\n\n".encode()
        return known[1]

    # Images

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """MJPEG: each part ends in the next one's boundary, else browsers show it one late."""
        camera = self._camera_of(request)
        kind = "multipart/x-mixed-replace; boundary=frame"
        async with self._endless(request, kind) as send:
            with self._watching():
                await send(b"--frame\r\n")
                version = 0
                while True:
                    jpeg = await self._images.next_jpeg(camera, version)
                    version = jpeg.version
                    head = (
                        "Content-Type: image/jpeg\r\n"
                        f"Content-Length: {len(jpeg.data)}\r\nX-Frame-Index: {jpeg.index}\r\n\r\n"
                    )
                    await send(head.encode() + jpeg.data + b"\r\n--frame\r\n")
        return send.response

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """All cameras in one answer, as parts of `LiveImages.part`; ?large=CAMERA is larger."""
        large = request.query.get("large")
        async with self._endless(request, "application/octet-stream") as send:
            with self._watching(drawn=False):
                sent: dict[str, int] = {}
                while True:
                    data, waits = self._new_parts(sent, large)
                    if data:
                        await send(data)
                    elif waits:
                        await asyncio.sleep(_PART_PAUSE_S)
                    else:
                        await self._board.next_post()
        return send.response

    def _new_parts(self, sent: dict[str, int], large: str | None) -> tuple[bytes, bool]:
        """Return what is newer than `sent`, which is updated, and whether more is due soon."""
        cameras, data, waits = self._board.all_newest(), b"", False
        for name, posted in cameras.items():
            if posted.version <= sent.get(name, 0):
                continue
            longest = LONGEST_SIDE if len(cameras) == 1 or name == large else SMALL_SIDE
            part = self._images.part(posted, longest)
            waits |= part is None
            if part is not None:
                sent[name] = posted.version
                data += part
        return data, waits

    async def _face(self, request: web.Request) -> web.Response:
        """A small picture of one person, from memory."""
        track_id = request.query.get("id", "")
        found = None
        if track_id.isdecimal() and len(track_id) < 12:
            found = self._board.faces.get(request.query.get("camera", ""), int(track_id))
        if found is None:
            raise web.HTTPNotFound(text="There is no picture of that person.\n")
        return web.Response(body=encode(found, _FACE_QUALITY), content_type="image/jpeg")

    async def _snapshot(self, request: web.Request) -> web.Response:
        """The newest annotated image in its full size, as a file to be saved."""
        camera = self._camera_of(request)
        try:
            with self._watching(linger=True):
                async with asyncio.timeout(_STILL_S):
                    jpeg = await self._images.still(camera)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(text="There is no picture yet.\n") from None
        name = f"still-{datetime.now():%Y%m%d-%H%M%S}-{jpeg.index}.jpg"
        headers = {
            "Content-Disposition": f'inline; filename="{name}"',
            "X-Frame-Index": str(jpeg.index),
        }
        return web.Response(body=jpeg.data, content_type="image/jpeg", headers=headers)

    async def _offer(self, request: web.Request) -> web.Response:
        """Answer a browser's WebRTC offer."""
        camera = self._camera_of(request)
        try:
            offer = json.loads(await body_text(request))
            sdp = str(offer["sdp"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise web.HTTPBadRequest(text='Expected {"sdp": ...}.\n') from None
        if self._calls is None:
            raise web.HTTPNotFound(text="There is no WebRTC here.\n")
        answer = await self._calls.answer(sdp, camera)
        return web.json_response({"type": "answer", "sdp": answer})

    async def _hang_up(self, _app: web.Application) -> None:
        if self._calls is not None:
            await self._calls.close()

    # What the endless answers share

    def _camera_of(self, request: web.Request) -> str | None:
        """Return the camera that is asked for, None = the first one."""
        camera = request.query.get("camera")
        if camera is not None and self._board.newest(camera) is None:
            raise web.HTTPNotFound(text="There is no such camera.\n")
        return camera

    @contextlib.contextmanager
    def _watching(self, drawn: bool = True, linger: bool = False) -> Iterator[None]:
        self._board.watch(drawn)
        try:
            yield
        finally:
            self._board.unwatch(drawn, linger)

    @contextlib.asynccontextmanager
    async def _endless(self, request: web.Request, kind: str) -> AsyncIterator["Sender"]:
        """Begin an answer that goes on until the client leaves or stops reading.

        Args:
            request: what is answered.
            kind: the content type.
        """
        if self._clients >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text="Too many are watching.\n")
        self._clients += 1
        try:
            transport = request.transport
            connection = transport.get_extra_info("socket") if transport else None
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            sender = Sender(request, web.StreamResponse(headers={"Content-Type": kind}))
            await sender.response.prepare(request)
            with contextlib.suppress(ConnectionError, TimeoutError):
                yield sender
        finally:
            self._clients -= 1


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends an endless answer piece by piece, with little kept on the way."""

    request: web.Request
    response: web.StreamResponse

    async def __call__(self, data: bytes) -> None:
        """Send one piece.

        Raises:
            TimeoutError: the client took nothing for ten seconds; it has been let go.
            ConnectionError: it has left.
        """
        try:
            async with asyncio.timeout(WRITE_S):
                await self.response.write(data)
        except TimeoutError:
            if self.request.transport is not None:
                self.request.transport.abort()
            raise
