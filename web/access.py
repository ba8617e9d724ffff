"""Where the page is served, and who may use it: address, token, host names, headers."""

import asyncio
import errno
import hashlib
import hmac
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from aiohttp import web

from errors import SinkError
from web.gate import Connection, Pace, neighbour

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS = frozenset({"/login", "/style.css", "/icon.svg"})  # what asking for the token takes
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 8
_COOKIE_S = 30 * 24 * 3600

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
    """Put `HEADERS` on any answer, refusals included; none repeats what was asked for."""
    if response.status == 417 and isinstance(response, web.Response):
        response.text = "This cannot be expected here.\n"
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


class Guesses:
    """Slows wrong tokens down, each address by itself and all together.

    A right one is never held up, so no answer tells as much as a wrong one; but each connection
    given up for that is one of the few that its address may make in a second.

    Args:
        longest_s: a wrong one waits no longer, and is then told to come later.
    """

    def __init__(self, longest_s: float = 8.0) -> None:
        self._longest_s = longest_s
        self._each, self._all = Pace(1.0, 10), Pace(5.0, 30)

    async def slow_down(self, address: str) -> None:
        """Wait before a wrong token is answered.

        Raises:
            web.HTTPTooManyRequests: too many wait already.
        """
        waits_s = self._each.take(address, self._longest_s), self._all.take("", self._longest_s)
        if None in waits_s:
            await asyncio.sleep(self._longest_s)
            raise web.HTTPTooManyRequests(text="Too many wrong tokens; try again later.\n")
        await asyncio.sleep(max(wait_s or 0.0 for wait_s in waits_s))


@dataclass(frozen=True, slots=True)
class Doors:
    """Who is let in, and how.

    Attributes:
        token: None lets everybody in.
        names: host names under which the page may be asked for; None = any. On a page
            that only this machine reaches, another name means that a foreign site has
            made its own name point here.
        behind_proxy: what a proxy on the loopback says of a client's address is believed.
        tls: whether the page is served by https.
    """

    token: str | None
    names: frozenset[str] | None = None
    behind_proxy: bool = False
    tls: bool = False


class Access:
    """Lets requests in.

    A token is taken as `?token=`, as `Authorization: Bearer`, or as the cookie that
    follows the first. The cookie does not hold the token, but is made from it, so that a
    screen on the wall survives a restart of the program; it is renewed while it is used.

    Args:
        doors: who is let in.
        port: of the page; cookies are shared between ports, so their names differ.
        login_page: HTML shown to a browser without the token.
    """

    def __init__(self, doors: Doors, port: int, login_page: bytes = b"") -> None:
        token = doors.token
        self._token = None if token is None else _digest(token)
        secret = (token or "").encode("utf-8", "surrogatepass")
        # Slow on purpose: whoever has seen a cookie must not find the token by trying.
        self._key = hashlib.scrypt(secret, salt=b"faces: cookie", n=2**13, r=8, p=1)
        self._doors, self._cookie = doors, f"faces_{port}"
        self._login_page, self._guesses = login_page, Guesses()

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
        names, given = self._doors.names, request.query.get("token")
        if names is not None and _host_name(request.headers.get("Host", "")) not in names:
            raise web.HTTPMisdirectedRequest(text="This page is not served under that name.\n")
        if request.method == "POST" and not _is_own(request):
            raise web.HTTPForbidden(text="Not from another site.\n")
        if request.path in OPEN_PATHS:
            return await handler(request)
        until_s = self._cookie_until(request)
        if not (until_s or self._has_bearer(request) or self.opens(given or "")):
            await self._slow_down_guess(request)
            return self._refusal(request.path)
        if isinstance(request.protocol, Connection):
            request.protocol.is_admitted = True
        response: web.StreamResponse
        if given is not None and _is_page(request):  # it must not stay in the address bar
            response = web.Response(status=303, headers={"Location": _without_token(request)})
        else:
            response = await handler(request)
        is_new = self._token is not None and self.opens(given or "") and not until_s
        if (is_new or 0 < until_s < time.time() + _COOKIE_S / 2) and not response.prepared:
            self.remember(request, response)
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

    async def slow_down(self, request: web.Request) -> None:
        """Wait before a wrong token is answered. See `Guesses.slow_down`."""
        await self._guesses.slow_down(neighbour(self._client(request)))

    async def _slow_down_guess(self, request: web.Request) -> None:
        """Wait where a token or a cookie was tried; an old cookie of ours is no guess."""
        cookie = request.cookies.get(self._cookie, "")
        stale = hmac.compare_digest(_digest(cookie), _digest(self._pass(cookie.partition(".")[0])))
        if "Authorization" in request.headers or "token" in request.query or (cookie and not stale):
            await self.slow_down(request)

    def _client(self, request: web.Request) -> str:
        """Return the client's address, which a proxy on this machine is believed."""
        peer = request.remote or ""
        said = ",".join(request.headers.getall("X-Forwarded-For", [])).rpartition(",")[2].strip()
        trusted = self._doors.behind_proxy and neighbour(peer) and is_loopback(peer)
        return said if trusted and neighbour(said) else peer

    def remember(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give the browser the cookie that lets it in without the token."""
        proxied = self._doors.behind_proxy and request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            self._cookie,
            self._pass(str(int(time.time()) + _COOKIE_S)),
            max_age=_COOKIE_S,
            httponly=True,
            samesite="Strict",
            path="/",
            secure=self._doors.tls or proxied,
        )

    def _pass(self, until: str) -> str:
        """Return the cookie that is valid until that second."""
        digest = hmac.new(self._key, until.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{until}.{digest.hexdigest()}"

    def _cookie_until(self, request: web.Request) -> int:
        """Return until when the cookie is valid, in seconds since 1970; 0 = it is not."""
        cookie = request.cookies.get(self._cookie, "")
        until = cookie.partition(".")[0]
        if not hmac.compare_digest(_digest(cookie), _digest(self._pass(until))):
            return 0
        return int(until) if int(until) > time.time() else 0

    def _has_bearer(self, request: web.Request) -> bool:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and self.opens(given.strip())


def _is_page(request: web.Request) -> bool:
    """Whether a person has asked for it, in a browser's address bar."""
    wanted = request.headers.get("Accept", "")
    return request.method == "GET" and (request.path == "/" or "text/html" in wanted)


def _without_token(request: web.Request) -> str:
    """Return the path that was asked for, with its query but for the token."""
    rest = [(key, value) for key, value in request.query.items() if key != "token"]
    path = quote("/" + request.path.lstrip("/\\"))  # "//host" would be another host
    return path + (f"?{urlencode(rest)}" if rest else "")


async def form_field(request: web.Request, name: str) -> str:
    """Return a field of a form as browsers send it, "" where it is not there.

    Raises:
        web.HTTPException: it is no such form.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType(text="A form was expected.\n")
    try:
        fields = parse_qsl(await body_text(request), max_num_fields=8)
    except ValueError as error:
        raise web.HTTPBadRequest(text="A form was expected.\n") from error
    return dict(fields).get(name, "")


async def body_text(request: web.Request) -> str:
    """Return a body, which must be UTF-8.

    Raises:
        web.HTTPException: it says or is something else.
    """
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise web.HTTPUnsupportedMediaType(text="UTF-8 was expected.\n")
    if "Content-Encoding" in request.headers:  # browsers do not pack what they send
        raise web.HTTPUnsupportedMediaType(text="A body as it is was expected.\n")
    try:
        return (await request.read()).decode()
    except UnicodeDecodeError as error:
        raise web.HTTPBadRequest(text="UTF-8 was expected.\n") from error


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
    try:
        return origin is None or urlsplit(origin).netloc == request.headers.get("Host")
    except ValueError:
        return False


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


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return what serves a page by https.

    Raises:
        SinkError: the files do not hold a certificate and its key.
    """

    def no_password() -> str:  # or else the terminal would be asked
        raise SinkError(f"--tls {key}: the key has a password; give one without")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, no_password)
    except OSError as error:  # an SSLError is one, too
        cause = "not a certificate and its key, both PEM"
        cause = cause if isinstance(error, ssl.SSLError) else str(error.strerror)
        raise SinkError(f"--tls {certificate} {key}: {cause}") from error
    return context


def page_address(host: str, server: socket.socket, scheme: str = "http") -> str:
    """Return the page's address as it can be opened, such as "http://127.0.0.1:8080/"."""
    number, port = server.getsockname()[:2]
    if ipaddress.ip_address(number.partition("%")[0]).is_unspecified:
        host = _own_address(server.family)
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _own_address(family: int) -> str:
    """Return the address under which other machines most likely reach this one."""
    anywhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((anywhere, 9))  # chooses a route, sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
