"""Who may use the page: the token, the host names, and the headers that browsers obey."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS = frozenset({"/login", "/style.css", "/icon.svg"})  # what asking for the token takes
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 8

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
        port: of the page; cookies do not tell ports apart, so that its name does.
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
        """Refuse wrong hosts, foreign pages and missing tokens before anything is looked at."""
        if self._names is not None and _host_name(request.headers.get("Host", "")) not in (
            self._names
        ):
            raise web.HTTPMisdirectedRequest(text="This page is not served under that name.\n")
        if request.method == "POST" and not _is_own(request):
            raise web.HTTPForbidden(text="Not from another site.\n")
        if request.path in OPEN_PATHS or self._knows(request):
            return await handler(request)
        if not self.opens(request.query.get("token", "")):
            return self._refusal(request.path)
        response = await handler(request)
        if not response.prepared:
            self.remember(response)
        return response

    def _refusal(self, path: str) -> web.Response:
        if path == "/":
            return web.Response(
                body=self._login_page, status=401, content_type="text/html", charset="utf-8"
            )
        headers = {"WWW-Authenticate": "Bearer"}
        return web.Response(text="This page wants its token.\n", status=401, headers=headers)

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
