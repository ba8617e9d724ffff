"""Who may connect: caps, a limit in time, and descriptors kept for camera and recording."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

_RESERVE = 128  # descriptors for everything else, where the system's limit is low
_LAST = 32  # a connection that takes one of the last descriptors is closed at once
_FEWEST = 8
_CONNECTS_PER_S, _CONNECTS_AT_ONCE = 50.0, 100
ADDRESSES = 4096  # remembered at most

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GateLimits:
    """How many may connect, and for how long without a request; tests ask for less.

    Attributes:
        total: connections at once.
        per_address: of these from one address.
        request_s: a whole request must have come by then.
    """

    total: int = 128
    per_address: int = 48
    request_s: float = 10.0


LIMITS = GateLimits()


class Pace:
    """Lets things happen so often, for each key by itself.

    Args:
        per_s: how often.
        at_once: how many may come together after a pause.
    """

    def __init__(self, per_s: float, at_once: int) -> None:
        self._step_s, self._slack_s = 1 / per_s, (at_once - 1) / per_s
        self._next_s: dict[str, float] = {}

    def take(self, key: str, longest_s: float = 0.0) -> float | None:
        """Count one more; returns the seconds it has to wait, None if above `longest_s`."""
        now_s = time.monotonic()
        if len(self._next_s) >= ADDRESSES:
            self._next_s = {k: due_s for k, due_s in self._next_s.items() if due_s > now_s}
        due_s = max(self._next_s.get(key, 0.0), now_s)
        wait_s = max(0.0, due_s - now_s - self._slack_s)
        if wait_s > longest_s or (key not in self._next_s and len(self._next_s) >= ADDRESSES):
            return None
        self._next_s[key] = due_s + self._step_s
        return wait_s


def neighbour(number: str) -> str:
    """Return what counts as one address: IPv4 itself, of IPv6 the /64 that one machine has."""
    try:
        address = ipaddress.ip_address(number.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open."""
    if sys.platform == "win32":
        return 8192
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


class Connection(web.RequestHandler):
    """One connection: it is cut where no whole request comes, and logs nothing that was sent.

    Attributes:
        is_admitted: whether a request with the token has come; others make room first.
        request_s: seconds for a whole request.
    """

    is_admitted = False
    request_s = LIMITS.request_s
    _deadline: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol.connection_made`."""
        super().connection_made(transport)
        self.finish()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol.connection_lost`."""
        self.begin()
        super().connection_lost(exc)

    def begin(self) -> None:
        """A whole request is there; answering it may take its time."""
        if self._deadline is not None:
            self._deadline.cancel()

    def finish(self) -> None:
        """Wait for the next request, but not for ever."""
        self.begin()
        self._deadline = asyncio.get_running_loop().call_later(self.request_s, self._overdue)

    def _overdue(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
            if self._unsent and (not before or self._unsent < before):  # a long answer, taken
                self.finish()
            else:
                self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be read, or that failed; neither repeats what was sent."""
        if status >= 500 and exc is not None:
            last = exc.__traceback__
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            where = (
                f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else ""
            )
            log.error("a request failed: %s in %s", type(exc).__name__, where)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        text = "This request cannot be read.\n" if status < 500 else "This did not work.\n"
        answer = web.Response(status=status, text=text, headers={"Server": "faces"})
        answer.force_close()
        return answer


@dataclass(eq=False, slots=True)
class _Guest:
    """A connection from its first moment on, which with TLS is before its `Connection`."""

    socket: socket.socket
    address: str
    connection: Connection
    task: "asyncio.Task[None] | None" = field(default=None)

    @property
    def is_gone(self) -> bool:
        return self.socket.fileno() < 0

    def send_away(self) -> None:
        if isinstance(self.connection.transport, asyncio.Transport):
            self.connection.transport.abort()
        elif self.task is not None:
            self.task.cancel()


class Gate:
    """Takes connections in, no more than may be.

    Where there are too many, the oldest without the token makes room, so that those who have
    it still come in. Must be opened and closed in the server's loop.

    Args:
        listening: the socket; the caller closes it.
        tls: certificate and key; None = no TLS.
        shared: the loopback is a proxy, which many people share.
        limits: how many may connect, and for how long.
        descriptors: that the process may have open; None = what the system says.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext | None = None,
        shared: bool = False,
        limits: GateLimits = LIMITS,
        descriptors: int | None = None,
    ) -> None:
        descriptors = descriptor_limit() if descriptors is None else descriptors
        self._socket, self._tls, self._shared, self._limits = listening, tls, shared, limits
        self._total = max(_FEWEST, min(limits.total, descriptors - _RESERVE))
        self._highest = descriptors - _LAST
        self._guests: list[_Guest] = []
        self._pace = Pace(_CONNECTS_PER_S, _CONNECTS_AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def open(self, server: web.Server) -> None:
        """Begin to accept."""
        self._socket.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._accept_all(server))

    async def close(self) -> None:
        """Accept nobody any more."""
        tasks = [task for task in (self._task, *(one.task for one in self._guests)) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept_all(self, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                guest, address = await loop.sock_accept(self._socket)
            except OSError as error:
                log.warning("the page accepts nobody for a moment: %s", error.strerror)
                await asyncio.sleep(1.0)
                continue
            if self._has_room(guest, key := neighbour(address[0])):
                self._let_in(guest, key, server)
            else:
                guest.close()

    def _has_room(self, guest: socket.socket, address: str) -> bool:
        """Whether it may come in; makes room where others can be sent away."""
        if guest.fileno() >= self._highest:
            return False
        self._guests = [each for each in self._guests if not each.is_gone]
        if not (self._shared and _is_loopback(address)):
            if self._pace.take(address) is None:
                return False
            same = [each for each in self._guests if each.address == address]
            if len(same) >= self._limits.per_address:
                return self._make_room(same)
        return len(self._guests) < self._total or self._make_room(self._guests)

    def _make_room(self, among: list[_Guest]) -> bool:
        """Send the oldest away that has not shown the token; False where all have."""
        oldest = next((each for each in among if not each.connection.is_admitted), None)
        if oldest is None:
            return False
        oldest.send_away()
        self._guests.remove(oldest)
        return True

    def _let_in(self, guest: socket.socket, address: str, server: web.Server) -> None:
        connection = Connection(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner may do
            keepalive_timeout=self._limits.request_s,
            lingering_time=1.0,
            auto_decompress=False,  # nothing small that unpacks into something large
        )
        connection.request_s = self._limits.request_s
        one = _Guest(guest, address, connection)
        one.task = asyncio.get_running_loop().create_task(self._connect(one))
        one.task.add_done_callback(lambda done: guest.close() if done.cancelled() else None)
        self._guests.append(one)

    async def _connect(self, guest: _Guest) -> None:
        """Begin TLS where asked for, and hand the socket to its connection."""
        patience_s = self._limits.request_s if self._tls else None
        with contextlib.suppress(OSError, TimeoutError):  # TLS that fails is the guest's affair
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest.connection,
                guest.socket,
                ssl=self._tls,
                ssl_handshake_timeout=patience_s,
                ssl_shutdown_timeout=patience_s and 2.0,
            )


def _is_loopback(address: str) -> bool:
    return bool(address) and ipaddress.ip_network(address).is_loopback
