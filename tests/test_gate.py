"""Who may connect: strangers who flood the page or never finish keep nobody out."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from program.options import RepeatLimit
from tests.web_parts import ask, served
from web.gate import ADDRESSES, LIMITS, Gate, GateLimits, Pace, neighbour
from web.view import WebView

TOKEN = "a secret of the test"


def connect(view: WebView, source: str = "127.0.0.1") -> socket.socket:
    port = int(view.url.rstrip("/").rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), 5, (source, 0))


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def is_closed(one: socket.socket, wait_s: float) -> bool:
    """Whether the other side ends the connection within `wait_s`."""
    one.settimeout(wait_s)
    try:
        return one.recv(1000) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.fixture
def crowd_of_sockets() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nt",
        b"GET /style.css HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\nt",
    ],
    ids=["nothing", "half a head", "half a body", "half a body that nobody reads"],
)
def test_who_sends_no_whole_request_is_cut_off(sent: bytes) -> None:
    with served(token=TOKEN, limits=GateLimits(request_s=0.3)) as view, connect(view) as one:
        one.sendall(sent)
        began_s = time.monotonic()
        while not is_closed(one, 5.0):  # there may be an answer before
            assert time.monotonic() < began_s + 5


def test_a_trickle_does_not_prolong_the_time() -> None:
    with served(token=TOKEN, limits=GateLimits(request_s=0.5)) as view, connect(view) as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        began_s = time.monotonic()
        while not is_closed(one, 0.05):
            with contextlib.suppress(OSError):
                one.sendall(b"X-a: b\r\n")
            assert time.monotonic() < began_s + 5


def test_a_flood_from_one_address_leaves_descriptors_and_the_page(
    crowd_of_sockets: contextlib.ExitStack,
) -> None:
    with served(token=TOKEN) as view:
        before = descriptors()
        sockets = [crowd_of_sockets.enter_context(connect(view)) for _ in range(90)]
        assert ask(view, "healthz", headers={"Authorization": f"Bearer {TOKEN}"})[0] in (200, 503)
        ours = descriptors() - before - len(sockets)
        assert ours <= LIMITS.per_address + 1


def test_many_addresses_together_leave_the_page(crowd_of_sockets: contextlib.ExitStack) -> None:
    with served(token=TOKEN) as view:
        before = descriptors()
        for host in range(2, 6):
            for _ in range(LIMITS.per_address):
                crowd_of_sockets.enter_context(connect(view, f"127.0.0.{host}"))
        assert ask(view, "state.json", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        ours = descriptors() - before - 4 * LIMITS.per_address
        assert ours <= LIMITS.total + 1


def test_who_shows_the_token_is_not_sent_away_for_a_flood(
    crowd_of_sockets: contextlib.ExitStack,
) -> None:
    with served(token=TOKEN) as view, connect(view) as one:
        get = f"GET /state.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        get = get.replace("Host: x", "Host: 127.0.0.1")
        one.sendall(get.encode())
        assert b"200 OK" in one.recv(65536)
        for _ in range(LIMITS.per_address + 20):
            crowd_of_sockets.enter_context(connect(view))
        time.sleep(0.2)
        one.sendall(get.encode())
        assert b"200 OK" in one.recv(65536)


def test_a_low_limit_of_the_system_leaves_descriptors_for_everything_else() -> None:
    with socket.socket() as one:
        assert [Gate(one, descriptors=n)._total for n in (64, 200, 1024)] == [8, 72, 128]
        low = Gate(one, descriptors=32)
        assert not low._has_room(one, "192.0.2.1")


def test_a_pace_holds_for_each_key_and_forgets_nobody_who_has_to_wait() -> None:
    pace = Pace(1.0, 3)
    assert [pace.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, None]
    assert pace.take("b") == 0.0
    wait_s = pace.take("a", 5.0)
    assert wait_s is not None and 0.5 < wait_s <= 1.0
    for number in range(2 * ADDRESSES):
        pace.take(str(number))
    assert len(pace._next_s) <= ADDRESSES
    assert pace.take("a") is None


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4%1", "2001:db8:1:2::/64"),
        ("nonsense", ""),
    ],
)
def test_a_machine_counts_once(number: str, wanted: str) -> None:
    assert neighbour(number) == wanted


def test_the_same_message_comes_twenty_times_a_minute_and_then_as_a_number() -> None:
    now_s = [0.0]
    limit = RepeatLimit(20, lambda: now_s[0])
    make = logging.LogRecord

    def passes(text: str, *values: object) -> logging.LogRecord | None:
        record = make("x", logging.WARNING, "", 0, text, values, None)
        return record if limit.filter(record) else None

    assert sum(passes("%d", i) is not None for i in range(1000)) == 20
    assert sum(passes(f"{i}") is not None for i in range(5000)) <= 120 + 20
    now_s[0] = 61.0
    last = passes("%d", 7)
    assert last is not None and "messages left out" in last.getMessage()
