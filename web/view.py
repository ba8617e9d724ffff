"""The sink that shows everything on a page in the browser."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from outputs.keeping import Storage
from people.records import Recorder
from structures import FrameResult, Image
from threads import LoopThread
from web.access import (
    LOCAL_NAMES,
    Access,
    Doors,
    check_token,
    is_loopback,
    listen,
    look_up,
    page_address,
    parse_address,
    tls_context,
)
from web.board import Board
from web.controls import Controls
from web.figures import Facts
from web.gate import LIMITS, Gate, GateLimits
from web.server import STATIC, Server
from web.streaming import webrtc_is_available
from web.texts import USUAL, Texts

_START_S = 10.0
_STOP_S = 3.0

log = logging.getLogger(__name__)


class WebView:
    """A sink that serves the annotated image, the people and the run's figures as a page.

    It only posts the newest results for the server's thread and never waits. Images are
    requested only while somebody watches.

    Args:
        address: "[HOST:]PORT"; the default host is 127.0.0.1, port 0 is any free one.
        recorder: makes the records of /events; its crowd counts the people.
        token: grants access to the page; required unless only this machine can reach it.
        title: of the run; holds no secrets.
        estimates: returns the estimates made and saved so far, for the metrics; called in
            the server's thread.
        storage: returns what the files of the run take, likewise.
        limits: how many may connect, and for how long without a request.
        tls: files with a certificate and its key; None = no TLS.
        behind_proxy: a proxy on this machine passes others on, and says who they are.
        controls: what the page may change; None = only what concerns the page itself.

    Attributes:
        url: the page's address, without the token.

    Raises:
        SinkError: a bad address, an unknown host, a port in use, a token missing or short, no
            certificate.
    """

    def __init__(
        self,
        address: str,
        recorder: Recorder,
        token: str | None = None,
        *,
        title: str = "faces",
        estimates: Callable[[], tuple[int, int]] | None = None,
        storage: Callable[[], Storage] | None = None,
        limits: GateLimits = LIMITS,
        tls: tuple[str, str] | None = None,
        behind_proxy: bool = False,
        controls: Controls | None = None,
    ) -> None:
        host, port = parse_address(address)
        kind, number = look_up(host, port)
        local = is_loopback(number[0]) and not behind_proxy
        check_token(token, host, local)
        context = tls_context(*tls) if tls else None
        names = LOCAL_NAMES | {host.lower()} if local else None
        self._socket = listen(kind, number)
        self.url = page_address(host, self._socket, "https" if tls else "http")
        crowd = recorder.crowd
        self._anonymous, self._closed = crowd.anonymous, False
        self._loop = LoopThread("web")
        self._board = Board(self._loop.soon, crowd)
        webrtc = webrtc_is_available() and not crowd.anonymous
        facts = Facts(title, crowd, webrtc, time.time(), estimates, storage)
        doors = Doors(token, names, behind_proxy, tls is not None)
        self._runner = self._application(facts, doors, recorder, controls or Controls(crowd))
        self._gate = Gate(self._socket, context, behind_proxy, limits)
        self._loop.call(self._serve(), _START_S)

    def _application(
        self, facts: Facts, doors: Doors, recorder: Recorder, controls: Controls
    ) -> web.AppRunner:
        texts = Texts(STATIC / "texts")
        login_page = texts.fill((STATIC / "login.html").read_text("utf-8"), USUAL)
        access = Access(doors, self._socket.getsockname()[1], login_page.encode())
        app = Server(self._board, facts, access, recorder, controls, texts).app()
        return web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(_log_briefly)
        await self._runner.setup()
        if self._runner.server is not None:
            self._gate.open(self._runner.server)

    async def _stop(self) -> None:
        await self._gate.close()
        await self._runner.cleanup()

    @property
    def wants_picture(self) -> bool:
        """Whether somebody watches now; to be read before each frame."""
        return self._board.is_watched and not self._anonymous

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Post one frame for the server; `picture` must not be changed afterwards.

        See `outputs.Sink.write`.
        """
        self._board.post(self._shown(picture), result, new_frame=True)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Post the new status for the server. See `outputs.Sink.refresh`."""
        self._board.post(self._shown(picture), result, new_frame=False)

    def _shown(self, picture: Image | None) -> Image | None:
        return None if self._anonymous else picture

    def close(self) -> None:
        """End all responses and free the port; may be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._loop.call(self._stop(), _STOP_S)
        except TimeoutError:
            pass  # whatever hangs there ends with its loop
        finally:
            self._loop.close()
            self._socket.close()


def _log_briefly(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong in the server's loop in one line, which holds nothing of a request."""
    error = context.get("exception")
    log.warning("page: %s: %s", context.get("message"), type(error).__name__ if error else "")
