import base64
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from errors import SinkError
from outputs.delivery import DeliveryLimits
from outputs.webhook import Webhook
from people.crowd import Crowd
from people.records import Record, Recorder
from program.options import PlainFormatter
from tests.results import passers_by, person, result, track
from tests.test_records import check


class Server:
    """Takes POSTs; answers with the scripted codes, then with 200. None: says nothing."""

    def __init__(self, codes: Iterable[int | None] = (), port: int = 0) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.change = threading.Condition()
        self.released = threading.Event()
        script = iter(codes)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = next(script, 200)
                with outer.change:
                    outer.requests.append((self.path, dict(self.headers), body))
                    outer.change.notify_all()
                if code is None:
                    outer.released.wait(30)
                    return
                self.send_response(code)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.http.server_port
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def records(self) -> list[Record]:
        return [r for _, _, body in self.requests for r in json.loads(body)["records"]]

    def wait_for(self, count: int) -> None:
        with self.change:
            assert self.change.wait_for(lambda: len(self.requests) >= count, 20)

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(*codes: int | None, port: int = 0) -> Server:
        servers.append(Server(codes, port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


QUICK = DeliveryLimits(first_wait_s=0.01, gather_s=0.0)


def hook(port: int, path: str = "/hook", user: str = "", **options: Any) -> Webhook:
    recorder = Recorder(Crowd(), options.pop("run", ""))
    address = f"http://{user}127.0.0.1:{port}{path}"
    return Webhook(address, recorder, **{"limits": QUICK, **options})


def visit(sink: Webhook, first_id: int = 1) -> None:
    for one in passers_by(1, first_id=first_id):
        sink.write(None, one)


def told(records: Iterable[Record]) -> list[tuple[Any, ...]]:
    return [(r["type"], r.get("event"), r.get("id")) for r in records]


VISIT = [("source", None, None), ("person", "appeared", 1), ("person", "left", 1)]


def test_what_happens_to_people_and_sources_is_posted_and_frames_are_not(serve: Serve) -> None:
    server = serve()
    sink = hook(server.port, "/hook?a=1")
    visit(sink)
    sink.close()
    sink.close()
    assert sink.closed
    assert told(server.records()) == [*VISIT, ("aggregate", None, None)]
    for path, headers, body in server.requests:
        check(json.loads(body))
        assert path == "/hook?a=1"
        assert headers["Content-Type"] == "application/json"
        assert headers["Idempotency-Key"] == json.loads(body)["key"]
        assert "X-Signature-256" not in headers


def test_records_that_wait_go_out_together(serve: Serve) -> None:
    server = serve()
    sink = hook(server.port, limits=DeliveryLimits(gather_s=60.0))  # cut short by close()
    for i in range(1, 41):
        visit(sink, 2 * i)
    sink.close()
    sizes = [len(json.loads(body)["records"]) for _, _, body in server.requests]
    assert sizes == [50, 32]


def test_a_batch_is_tried_again_with_its_key_until_it_arrives(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(500, 503, 429)
    sink = hook(server.port)
    visit(sink)
    server.wait_for(4)
    sink.close()
    bodies = [body for _, _, body in server.requests[:4]]
    assert len(set(bodies)) == 1
    assert len({headers["Idempotency-Key"] for _, headers, _ in server.requests[:4]}) == 1
    keys = [json.loads(body)["key"] for _, _, body in server.requests[3:]]
    assert len(set(keys)) == len(keys)
    trouble, well = [r.getMessage() for r in caplog.records]
    assert "answers 500; trying again" in trouble and "works again" in well


def test_what_a_server_missed_while_down_arrives_when_it_is_back() -> None:
    first = Server()
    port = first.port
    sink = hook(port)
    visit(sink)
    first.wait_for(1)
    first.close()
    visit(sink, 11)
    time.sleep(0.1)
    back = Server(port=port)
    try:
        back.wait_for(1)
        sink.close()
        assert ("person", "left", 11) in told(back.records())
    finally:
        back.close()


def test_a_server_that_says_nothing_delays_neither_the_loop_nor_the_end(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(*[None] * 100)
    hasty = replace(QUICK, answer_s=0.3, close_s=0.2)
    sink = hook(server.port, limits=hasty)
    visit(sink)
    server.wait_for(1)
    for i in range(1000):
        visit(sink, 2 * i + 11)
    sink.close()
    assert len(sink._outbox) <= hasty.depth
    lines = [r.getMessage() for r in caplog.records]
    assert sum("the oldest are dropped" in line for line in lines) == 1
    assert "records were not delivered" in lines[-1]


def test_of_too_many_records_the_newest_are_kept(serve: Serve) -> None:
    server = serve(*[503] * 1000)
    sink = hook(server.port, limits=replace(QUICK, depth=10, close_s=0.2))
    visit(sink)
    server.wait_for(1)  # from now on the worker is busy with what it took
    for i in range(1, 50):
        visit(sink, 2 * i + 1)
    waiting = told(sink._outbox._queue)
    assert len(waiting) == 10 and waiting[-1] == ("person", "left", 99)
    assert sink._outbox.dropped >= 80
    sink.close()


@pytest.mark.parametrize("code", [301, 400, 401, 404, 410])
def test_what_a_server_refuses_is_given_up_and_told_once(
    code: int, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(code, code)
    sink = hook(server.port)
    visit(sink)
    server.wait_for(1)
    visit(sink, 11)
    server.wait_for(2)
    sink.close()
    keys = [headers["Idempotency-Key"] for _, headers, _ in server.requests]
    assert len(set(keys)) == len(keys)
    assert [f"answers {code}" in r.getMessage() for r in caplog.records].count(True) == 1


def test_the_body_is_signed(serve: Serve) -> None:
    server = serve()
    sink = hook(server.port, secret="hush")
    visit(sink)
    sink.close()
    for _, headers, body in server.requests:
        want = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
        assert headers["X-Signature-256"] == f"sha256={want}"


def test_secrets_stand_in_no_message(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(500, 401)
    sink = hook(server.port, "/path-s3cret?token=s3cret", "joe:s3cr@et@", secret="s3cret-key")
    visit(sink)
    server.wait_for(2)
    sink.close()
    assert server.requests[0][1]["Authorization"] == "Basic am9lOnMzY3JAZXQ="  # joe:s3cr@et
    shown = caplog.text + repr(sink) + sink.name + repr(threading.enumerate())
    assert "s3cr" not in shown and "joe" not in shown
    assert b"s3cr" not in b"".join(body for _, _, body in server.requests)


def test_an_address_may_have_any_letters_and_blanks(serve: Serve) -> None:
    server = serve()
    wide = "\N{FULLWIDTH LATIN SMALL LETTER L}ocalhost"  # means localhost
    address = f"http://jörg:pä@{wide}:{server.port}/häuser x/%C3%A4?ort=Köln&a=%20#x"
    sink = Webhook(address, Recorder(Crowd()), limits=QUICK)
    visit(sink)
    sink.close()
    assert told(server.records())[:3] == VISIT
    path, headers, _ = server.requests[0]
    assert path == "/h%C3%A4user%20x/%C3%A4?ort=K%C3%B6ln&a=%20"
    assert headers["Host"] == f"localhost:{server.port}"
    assert headers["Authorization"] == f"Basic {base64.b64encode('jörg:pä'.encode()).decode()}"


@pytest.mark.parametrize(
    "address",
    [
        "", "hook", "ftp://host/s3cret", "http://", "https://joe:s3cret@/x", "http://h:99999/s3cret",
        "http://foo..bar/s3cret", f"http://{'a' * 70}.de/s3cret", "http://h/s3cret\udcff",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_without_being_told(address: str) -> None:
    with pytest.raises(SinkError, match="https://host/path") as caught:
        Webhook(address, Recorder(Crowd()))
    assert "s3cret" not in str(caught.value)


def test_the_end_of_a_run_sends_those_who_were_still_there(serve: Serve) -> None:
    server = serve()
    sink = hook(server.port)
    sink.write(None, result(0, [track(3)], {3: person()}))
    sink.close()
    assert ("person", "left", 3) in told(server.records())
    with pytest.raises(ValueError, match="after close"):
        sink.write(None, result(1))


def drips(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def continues(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def steers_the_terminal(connection: socket.socket) -> None:
    connection.sendall(b"\x1b]0;title\x07\x1b[2J\x1b[1;31mERROR: on fire\r\n\r\n")


@contextlib.contextmanager
def misbehaving(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[float]]]:
    """A server's port, and when each of its connections began."""
    came_s: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    came_s.append(time.monotonic())
                    connection.recv(65536)
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], came_s
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("answer", [drips, continues])
def test_a_server_that_never_comes_to_an_end_is_given_up(
    answer: Callable[[socket.socket], None], caplog: pytest.LogCaptureFixture
) -> None:
    limits = replace(QUICK, answer_s=0.3, close_s=5.0)
    before = threading.active_count()
    with misbehaving(answer) as (port, came_s):
        sink = hook(port, limits=limits)
        visit(sink)
        end_s = time.monotonic() + 20
        while len(came_s) < 3 and time.monotonic() < end_s:
            time.sleep(0.01)
        began_s = time.monotonic()
        sink.close()
        assert len(came_s) >= 3
        assert time.monotonic() - began_s < 3
    assert "no answer in time" in caplog.text
    end_s = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end_s:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_what_a_server_says_instead_of_http_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with misbehaving(steers_the_terminal) as (port, came_s):
        sink = hook(port)
        visit(sink)
        sink.close()
    assert came_s
    assert "is not HTTP" in caplog.text
    assert "\x1b" not in caplog.text and "fire" not in caplog.text


def test_log_lines_hold_no_codes_for_the_terminal() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "a\x1b[2Jb\x9bc\td\ne", (), None)
    assert PlainFormatter("%(message)s").format(record) == "a?[2Jb?c?d\ne"
