"""The sink that shows everything on a page in the browser."""

import time
from collections.abc import Callable, Collection

from aiohttp import web

from errors import SinkError
from people.records import Recorder, new_run
from structures import ATTRIBUTES, FrameResult, Image
from threads import LoopThread
from web import rtc
from web.access import LOCAL_NAMES, SHORTEST_TOKEN, Access
from web.address import is_loopback, listen, look_up, page_address, parse_address
from web.board import Board
from web.server import STATIC, Server
from web.state import Facts

_START_S = 10.0
_STOP_S = 3.0


class WebView:
    """A sink that serves the annotated picture, the people and their figures as a page.

    It only leaves the newest of everything where the server's thread finds it, and never
    waits. Pictures are wanted only while somebody watches.

    Args:
        address: "[HOST:]PORT"; the host is 127.0.0.1 where none is given, port 0 any
            that is free.
        attributes: which of `structures.ATTRIBUTES` to tell.
        token: who knows it may use the page; needed unless only this machine reaches it.
        title: what to call the run; holds no secrets.
        anonymous: aggregates only: no pictures, no persons, no groups of fewer than five.
        run: name of the run in /events, see `people.records.new_run`; empty = a new one.
        estimates: gives the estimates made and saved so far, for the metrics; called in
            the server's thread.

    Attributes:
        url: the page's address, without the token.

    Raises:
        SinkError: a bad address, a host unknown, a port in use, a token missing or short.
    """

    def __init__(
        self,
        address: str,
        attributes: Collection[str] = ATTRIBUTES,
        token: str | None = None,
        *,
        title: str = "faces",
        anonymous: bool = False,
        run: str = "",
        estimates: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        host, port = parse_address(address)
        kind, number = look_up(host, port)
        local = is_loopback(number[0])
        _check_token(token, host, local)
        self._socket = listen(kind, number)
        self.url = page_address(host, self._socket)
        self._anonymous, self._closed = anonymous, False
        self._loop = LoopThread("web")
        self._board = Board(self._loop.soon)
        facts = Facts(title, tuple(attributes), anonymous, rtc.is_available(), time.time())
        names = LOCAL_NAMES | {host.lower()} if local else None
        login_page = (STATIC / "login.html").read_bytes()
        access = Access(token, names, self._socket.getsockname()[1], login_page)
        recorder = Recorder(attributes, run=run or new_run(), anonymous=anonymous)
        server = Server(self._board, facts, access, recorder, estimates)
        self._runner = web.AppRunner(
            server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        self._loop.call(self._serve(), _START_S)

    async def _serve(self) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()

    @property
    def wants_picture(self) -> bool:
        """Whether somebody watches at this moment: to be asked before each frame."""
        return self._board.is_watched and not self._anonymous

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Leave one frame for the server. See `outputs.Sink.write`.

        Args:
            picture: (H, W, 3) uint8 BGR, must not be changed afterwards; None where
                `wants_picture` was False.
            result: everything known of the frame.
        """
        self._board.post(self._shown(picture), result, new_frame=True)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Leave the new status for the server. See `outputs.Sink.refresh`."""
        self._board.post(self._shown(picture), result, new_frame=False)

    def _shown(self, picture: Image | None) -> Image | None:
        return None if self._anonymous else picture

    def close(self) -> None:
        """End all answers and free the port; may be called again."""
        if self._closed:
            return
        self._closed = True
        try:
            self._loop.call(self._runner.cleanup(), _STOP_S)
        except TimeoutError:
            pass  # whatever hangs there ends with its loop
        finally:
            self._loop.close()
            self._socket.close()


def _check_token(token: str | None, host: str, local: bool) -> None:
    """Raise SinkError unless the token suits who can reach the page."""
    if token is None and not local:
        raise SinkError(
            f"--serve {host}: other machines can reach it, so it needs --token SECRET; "
            "or leave the host out"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise SinkError(f"--token: too easy to guess; give it at least {SHORTEST_TOKEN} characters")
