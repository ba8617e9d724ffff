"""An RTSP server that redirects must not learn a user's password for another one."""

import base64
import hashlib
import re
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from errors import PasswordError, SourceError
from sources.live import LiveOptions
from sources.network import open_stream
from sources.rtsp_relay import RtspAddress

SECRET = "s3cr:t"
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
NONCE = 'realm="cam", nonce="abc"'

Answer = Callable[[str, str, str], str]


class Server:
    """Answers RTSP requests as `answer(method, address, authorization)` says; keeps them all."""

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        self.requests: list[str] = []
        seen = self.requests

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                lines: list[str] = []
                for line in self.rfile:
                    lines.append(line.decode().strip())
                    if lines[-1]:
                        continue
                    text = "\n".join(lines)
                    seen.append(text)
                    method, address, _ = lines[0].split()
                    given = re.search(r"^Authorization: (.*)$", text, re.MULTILINE)
                    number = re.search(r"^CSeq: (\d+)$", text, re.MULTILINE)
                    reply = answer(method, address, given[1] if given else "")
                    first, _, rest = reply.partition("\r\n")
                    cseq = f"CSeq: {number[1] if number else 0}"
                    self.wfile.write(f"{first}\r\n{cseq}\r\n{rest}".encode())
                    lines = []

        self._server = socketserver.ThreadingTCPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def start() -> Iterator[Callable[[Answer], Server]]:
    servers: list[Server] = []

    def started(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield started
    for server in servers:
        server.close()


def wants_password(kind: str) -> str:
    return f"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: {kind}\r\n\r\n"


def leads_to(address: str, status: str = "302 Found") -> str:
    return f"RTSP/1.0 {status}\r\nLocation: {address}\r\n\r\n"


def follows(method: str) -> str:
    """The answer of a camera to a request that it grants."""
    if method == "DESCRIBE":
        head = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n"
        return f"RTSP/1.0 200 OK\r\n{head}{SDP}"
    return "RTSP/1.0 200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"


def opened(server: Server) -> None:
    open_stream(f"rtsp://joe:{SECRET}@127.0.0.1:{server.port}/cam", "cam", LiveOptions())


def is_right(kind: str, given: str, method: str, address: str) -> bool:
    """Whether an `Authorization` proves the password: RFC 7617, RFC 2617."""
    if kind.startswith("Basic"):
        return given == "Basic " + base64.b64encode(f"joe:{SECRET}".encode()).decode()
    fields = dict(re.findall(r'(\w+)="([^"]*)"', given))
    hashed = [
        hashlib.md5(text.encode()).hexdigest()
        for text in (f"joe:cam:{SECRET}", f"{method}:{address}")
    ]
    whole = hashlib.md5(f"{hashed[0]}:abc:{hashed[1]}".encode()).hexdigest()
    return fields.get("response") == whole and fields.get("uri") == address


@pytest.mark.parametrize("kind", ['Basic realm="cam"', f"Digest {NONCE}"])
@pytest.mark.parametrize("step", ["OPTIONS", "DESCRIBE", "SETUP"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "305 Use Proxy"])
def test_a_password_is_not_sent_where_a_server_redirects_to(
    start: Callable[[Answer], Server], kind: str, step: str, status: str
) -> None:
    other = start(lambda *_: wants_password('Basic realm="x"'))

    def answer(method: str, address: str, given: str) -> str:
        if not is_right(kind, given, method, address):
            return wants_password(kind)
        if method == step:
            return leads_to(f"rtsp://127.0.0.1:{other.port}/cam", status)
        return follows(method)

    with pytest.raises(PasswordError, match="leads to another host or port") as caught:
        opened(start(answer))
    assert other.requests
    assert not any("Authorization" in each for each in other.requests)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("absolute", [True, False])
def test_a_redirect_on_the_same_server_keeps_the_password(
    start: Callable[[Answer], Server], absolute: bool
) -> None:
    paths: set[str] = set()

    def answer(method: str, address: str, given: str) -> str:
        if not is_right(kind, given, method, address):
            return wants_password(kind)
        path = address.partition("://")[2].partition("/")[2]
        paths.add(path)
        if path != "new":
            return leads_to(f"rtsp://127.0.0.1:{server.port}/new" if absolute else "/new")
        return "RTSP/1.0 404 Not Found\r\n\r\n" if method == "DESCRIBE" else follows(method)

    kind = 'Basic realm="cam"'
    server = start(answer)
    with pytest.raises(SourceError, match="nothing at this path"):
        opened(server)
    assert paths == {"cam", "new"}


def test_redirects_in_a_circle_end(start: Callable[[Answer], Server]) -> None:
    server = start(lambda *_: leads_to("/cam"))
    with pytest.raises(SourceError, match="again and again"):
        opened(server)


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("rtsp://cam/b", "rtsp://joe:x@cam:554/b"),
        ("rtsp://CAM:554/b", "rtsp://joe:x@CAM:554/b"),
        ("/b?c", "rtsp://joe:x@cam:554/b?c"),
        ("rtsp://cam:8554/b", "rtsp://cam:8554/b"),
        ("rtsps://cam:554/b", "rtsps://cam:554/b"),
        ("rtsp://cam.evil/b", "rtsp://cam.evil:554/b"),
        ("rtsp://eve:y@cam/b", "rtsp://eve:y@cam:554/b"),
        ("rtsp://[::1]/b", "rtsp://[::1]:554/b"),
        ("http://cam/b", "None"),
        ("", "None"),
        ("rtsp://cam:99999/b", "None"),
    ],
)
def test_the_user_stays_with_scheme_host_and_port(location: str, leads: str) -> None:
    address = RtspAddress.of("rtsp://joe:x@cam/a")
    assert address is not None
    assert str(address.redirected(location)) == leads
