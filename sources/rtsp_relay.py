"""RTSP with a password: FFmpeg follows redirects by itself, and takes the password along.

So FFmpeg connects to a relay on this machine, which passes everything on but an answer that
redirects. That one is followed here: with the password on the same server, without it elsewhere.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from errors import PasswordError, SourceError
from sources.decoding import Video, open_video, why_not_opened
from sources.feed import no_answer
from threads import LoopThread

if TYPE_CHECKING:
    import asyncio

_PORTS = {"rtsp": 554, "rtsps": 322}
_ADDRESS = re.compile(
    r"(?P<scheme>rtsps?)://(?:(?P<user>[^@/?#]*)@)?(?P<host>\[[^\]]*\]|[^:/?#\[\]]+)"
    r"(?::(?P<port>\d{1,5}))?(?P<path>(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
_REDIRECT = re.compile(rb"\s*RTSP/\S*\s+[+0]*3\d\d(?!\d)")
_LOCATION = re.compile(rb"^location:[ \t]*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_MOST_REDIRECTS = 5
_LEAST_S = 0.5


@dataclass(frozen=True, slots=True)
class RtspAddress:
    """The parts of an address; `user` is `name:password@`, escaped, or empty."""

    scheme: str
    user: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, text: str) -> "RtspAddress | None":
        """Take an address apart; None if it is none of RTSP, or its port is impossible."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            return None
        scheme = found["scheme"].lower()
        port = int(found["port"] or _PORTS[scheme])
        user = f"{found['user']}@" if found["user"] else ""
        return cls(scheme, user, found["host"], port, found["path"]) if port < 65536 else None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.user}{self.host}:{self.port}{self.path}"

    def redirected(self, location: str) -> "RtspAddress | None":
        """Where a redirect leads, with the user only if that is the same server."""
        if location.startswith("/"):
            return replace(self, path=location)
        other = self.of(location)
        if other is None or other.user or self._server != other._server:
            return other
        return replace(other, user=self.user)

    @property
    def _server(self) -> tuple[str, str, int]:
        return self.scheme, self.host.lower(), self.port


def open_rtsp(
    address: str, name: str, options: dict[str, str], timeout_s: tuple[float, float]
) -> Video:
    """Open an RTSP address as `decoding.open_video` does; a password in it stays with its server.

    Raises:
        SourceError: it cannot be opened; `PasswordError` where a redirect leads to another
            server that wants a password.
    """
    target, end_s = RtspAddress.of(address), time.monotonic() + timeout_s[0]
    trusted = target
    for _ in range(_MOST_REDIRECTS):
        if target is None:
            raise SourceError(f"{name}: no address of a camera; check its host and port")
        limits = max(_LEAST_S, end_s - time.monotonic()), timeout_s[1]
        if not target.user:
            break
        video, location = _open_once(target, name, options, limits)
        if video is not None:
            return video
        target = target.redirected(location)
    else:
        raise SourceError(f"{name}: the server redirects again and again; check the address")
    try:
        return open_video(str(target), name, options=options, timeout_s=limits)
    except PasswordError:
        if target == trusted:
            raise
        raise PasswordError(
            f"{name} leads to another host or port that wants a password, and was not given this "
            "one; give the address there, if it is yours"
        ) from None


def _open_once(
    target: RtspAddress, name: str, options: dict[str, str], limits: tuple[float, float]
) -> tuple[Video | None, str]:
    """Return the video, or None and where the server redirects to."""
    try:
        relay = RtspRelay(target, limits[0])
    except TimeoutError:
        raise SourceError(no_answer(name)) from None
    except (OSError, UnicodeError) as error:  # its host cannot be a name at all
        raise SourceError(why_not_opened(error, str(target), name)) from None
    try:
        video = open_video(relay.address, name, options=options, timeout_s=limits)
    except BaseException as error:
        relay.close()
        if relay.location is None or not isinstance(error, SourceError):
            raise
        return None, relay.location
    return replace(video, also_close=relay.close), ""


class RtspRelay:
    """Passes one connection from this machine on to a server, until either closes it.

    Args:
        target: the server.
        timeout_s: for the connection to it.

    Attributes:
        location: where an answer would have led, which was not passed on; None = none did.
        address: what to connect to, in place of `target`.

    Raises:
        OSError: the server cannot be reached; TimeoutError: it does not answer.
    """

    def __init__(self, target: RtspAddress, timeout_s: float) -> None:
        self.location: str | None = None
        self._playing = False
        server = socket.create_connection((target.host.strip("[]"), target.port), timeout_s)
        server.setblocking(False)
        self._loop = LoopThread("rtsp-relay")
        try:
            port = self._loop.call(self._listen(target, server), timeout_s)
        except BaseException:
            self.close()
            server.close()
            raise
        self.address = str(replace(target, scheme="rtsp", host="127.0.0.1", port=port))

    def close(self) -> None:
        """Disconnect; may be called again."""
        self._loop.close()

    async def _listen(self, target: RtspAddress, server: socket.socket) -> int:
        """Wait for the one client; returns the port for it."""
        import asyncio

        secure = target.scheme == "rtsps"
        from_server, to_server = await asyncio.open_connection(
            sock=server,
            ssl=_like_ffmpeg() if secure else None,
            server_hostname=target.host.strip("[]") if secure else None,
        )

        async def serve(reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter") -> None:
            listening.close()
            ways = (self._pass_requests(reader, to_server), self._pass_answers(from_server, writer))
            tasks = [asyncio.ensure_future(_quietly(way)) for way in ways]
            with contextlib.suppress(asyncio.CancelledError):  # asyncio would log it
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    writer.close()
                    to_server.close()
                await asyncio.wait(tasks)

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        return int(listening.sockets[0].getsockname()[1])

    async def _pass_requests(
        self, reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter"
    ) -> None:
        while data := await reader.read(65536):
            self._playing |= data.startswith(b"PLAY ")  # FFmpeg follows no redirect from here on
            writer.write(data)
            await writer.drain()

    async def _pass_answers(
        self, reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter"
    ) -> None:
        """Pass on whole answers, unless one redirects; without a look once it plays."""
        while data := await (reader.read(65536) if self._playing else _message(reader)):
            if _REDIRECT.match(data):
                found = _LOCATION.search(data)
                self.location = found[1].decode("latin-1") if found else ""
                return
            writer.write(data)
            await writer.drain()


async def _quietly(way: Coroutine[None, None, None]) -> None:
    """Wait for the end of one way: closed, broken off, or a line too long."""
    with contextlib.suppress(OSError, EOFError, ValueError):
        await way


async def _message(reader: "asyncio.StreamReader") -> bytes:
    """Read an answer with its body, or a packet between answers; empty at the end.

    Lines end as FFmpeg has it: a redirect must not look different to it.
    """
    head, length = b"", 0
    while line := await reader.read(1):
        if line == b"$":
            about = await reader.readexactly(3)
            return head + line + about + await reader.readexactly(int.from_bytes(about[1:]))
        if line != b"\n":
            line += await reader.readline()
        head += line
        if not line.strip(b"\r\n"):
            return head + await reader.readexactly(length)
        if found := re.match(rb"content-length:\s*(\d{1,7})", line, re.IGNORECASE):
            length = int(found[1])
    return b""


def _like_ffmpeg() -> ssl.SSLContext:
    """Encrypts, and takes any certificate: cameras sign their own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
