"""Where the page is served, and who may use it: address, token, host names, headers."""

import errno
import hashlib
import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from errors import SinkError
from web.gate import Connection

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS = frozenset({"/login", "/style.css", "/icon.svg"})  # what asking for the token takes
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 8

_ADDRESS = re.compile(r"(?:(\[[^\]]+\]|[^:\[\]\s]+):)?(\d{1,5})")  # [HOST:]PORT
_BACKLOG = 64

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # without any, a form's own Origin would be "null"
    "Server": "faces",
    "X-Content-Type-Options": "nosniff",
}


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put `HEADERS` on any answer, refusals included."""
    response.headers.update(HEADERS)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def check_token(token: str | None, host: str, local: bool) -> None:
    """Raise SinkError if other machines reach the page without a token, or it is too short."""
    if token is None and not local:
        raise SinkError(
            f"--serve {host}: other machines can reach it, so it needs --token SECRET; "
            "or leave the host out"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise SinkError(f"--token: too easy to guess; give it at least {SHORTEST_TOKEN} characters")


class Access:
    """Lets requests in.

    A token is taken as `?token=`, as `Authorization: Bearer`, or as the cookie that
    follows the first. The cookie does not hold the token, but is made from it, so that a
    screen on the wall survives a restart of the program.

    Args:
        token: None lets everybody in.
        names: host names under which the page may be asked for; None = any. On a page
            that only this machine reaches, another name means that a foreign site has
            made its own name point here.
        port: of the page; cookies are shared between ports, so their names differ.
        login_page: HTML shown to a browser without the token.
    """

    def __init__(
        self, token: str | None, names: frozenset[str] | None, port: int, login_page: bytes = b""
    ) -> None:
        self._token = None if token is None else _digest(token)
        key = (token or "").encode("utf-8", "surrogatepass")
        self._pass = hmac.new(key, b"faces: cookie", hashlib.sha256).hexdigest()
        self._cookie = f"faces_{port}"
        self._names = names
        self._login_page = login_page

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request; its connection waits for the next one only when that is done."""
        connection = request.protocol
        if request.method == "POST":
            await _read_body(request)
        if isinstance(connection, Connection):
            connection.begin()
        try:
            return await self._guarded(request, handler)
        finally:
            if isinstance(connection, Connection):
                connection.finish()

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse wrong hosts, foreign pages and missing tokens before anything is looked at."""
        if self._names is not None and _host_name(request.headers.get("Host", "")) not in (
            self._names
        ):
            raise web.HTTPMisdirectedRequest(text="This page is not served under that name.\n")
        if request.method == "POST" and not _is_own(request):
            raise web.HTTPForbidden(text="Not from another site.\n")
        if request.path in OPEN_PATHS:
            return await handler(request)
        known = self._knows(request)
        if not known and not self.opens(request.query.get("token", "")):
            return self._refusal(request.path)
        if isinstance(request.protocol, Connection):
            request.protocol.is_admitted = True
        response = await handler(request)
        if not known and not response.prepared:
            self.remember(response)
        return response

    def _refusal(self, path: str) -> web.Response:
        if path == "/":
            return web.Response(
                body=self._login_page, status=401, content_type="text/html", charset="utf-8"
            )
        headers = {"WWW-Authenticate": "Bearer"}
        return web.Response(text="This page needs its token.\n", status=401, headers=headers)

    def opens(self, token: str) -> bool:
        """Whether `token` is the right one; takes as long for any wrong one."""
        return self._token is None or hmac.compare_digest(_digest(token), self._token)

    def remember(self, response: web.StreamResponse) -> None:
        """Give the browser the cookie that lets it in without the token."""
        response.set_cookie(self._cookie, self._pass, httponly=True, samesite="Strict", path="/")

    def _knows(self, request: web.Request) -> bool:
        """Whether the request has the cookie or the token in its headers, or needs none."""
        if self._token is None:
            return True
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        cookie = request.cookies.get(self._cookie, "")
        return hmac.compare_digest(_digest(cookie), _digest(self._pass)) or (
            kind.lower() == "bearer" and self.opens(given.strip())
        )


async def _read_body(request: web.Request) -> None:
    """Read a body, which the request then keeps, while its connection still has a deadline.

    Raises:
        web.HTTPException: it is too large or broken.
    """
    try:
        await request.read()
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # a parser of what strangers send raises all kinds
        raise web.HTTPBadRequest(text="This request cannot be read.\n") from error


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port, in small letters."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_own(request: web.Request) -> bool:
    """Whether a browser that sent this was on our own page; other programs send no Origin."""
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("Host")


# Where it is served


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port of "8080", "0.0.0.0:8080" or "[::1]:8080".

    The host is 127.0.0.1 where none is given; port 0 is any free one.

    Raises:
        SinkError: it is none of these.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found[2]) > 65535:
        raise SinkError(f"--serve wants [HOST:]PORT with a port up to 65535, got {text!r}")
    return (found[1] or "127.0.0.1").strip("[]"), int(found[2])


def look_up(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Return the family and the numeric address to bind for `host`, IPv4 first.

    Raises:
        SinkError: no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SinkError(
            f"--serve {host}:{port}: the host is not known; use 127.0.0.1 or 0.0.0.0"
        ) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def is_loopback(number: str) -> bool:
    """Whether a numeric address is reached from this machine only."""
    return ipaddress.ip_address(number.partition("%")[0]).is_loopback


def listen(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at `address`.

    Raises:
        SinkError: the port is in use or not allowed, or the address not this machine's.
    """
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share a port
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError as error:
        server.close()
        raise SinkError(f"--serve {address[0]}:{address[1]}: {_cause(error)}") from error
    return server


def _cause(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return "not allowed; choose a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; use 127.0.0.1 or 0.0.0.0"
    return f"cannot listen there: {os.strerror(error.errno or 0)}"


def page_address(host: str, server: socket.socket) -> str:
    """Return the page's address as it can be opened, such as "http://127.0.0.1:8080/"."""
    number, port = server.getsockname()[:2]
    if ipaddress.ip_address(number.partition("%")[0]).is_unspecified:
        host = _own_address(server.family)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _own_address(family: int) -> str:
    """Return the address under which other machines most likely reach this one."""
    anywhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((anywhere, 9))  # chooses a route, sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
