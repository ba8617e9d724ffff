"""Where the page may be served, and the one line that tells what is wrong."""

import socket
import threading

import pytest

from errors import SinkError
from people.crowd import Crowd
from people.records import Recorder
from tests.web_parts import served
from web.access import is_loopback, page_address, parse_address
from web.view import WebView


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_a_host_is_optional_and_a_port_is_not(text: str, wanted: tuple[str, int]) -> None:
    assert parse_address(text) == wanted


@pytest.mark.parametrize("text", ["", "x", ":80", "host", "1:2:3", "70000", "::1", "-1", "a b:80"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SinkError, match=r"HOST.*got"):
        parse_address(text)


@pytest.mark.parametrize(
    ("address", "token", "told"),
    [
        ("host.invalid:8080", None, "not known"),
        ("0.0.0.0:0", None, "--token"),
        ("[::]:0", None, "--token"),
        ("0.0.0.0:0", "short", "at least 8"),
        ("127.0.0.1:0", "", "at least 8"),
        ("192.0.2.77:0", "long enough", "not an address of this machine"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    address: str, token: str | None, told: str
) -> None:
    threads = threading.active_count()
    with pytest.raises(SinkError, match=told) as caught:
        WebView(address, Recorder(Crowd()), token)
    assert "\n" not in str(caught.value)
    assert not token or token not in str(caught.value)
    assert threading.active_count() == threads


def test_a_port_in_use_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SinkError, match=f"{port}: the port is in use"):
            WebView(str(port), Recorder(Crowd()))


def test_the_port_is_free_again_after_closing() -> None:
    with served() as view:
        address = view.url.removeprefix("http://").rstrip("/")
    with served(address) as again:
        assert again.url == view.url


def test_the_address_of_all_interfaces_can_be_opened() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        url = page_address("0.0.0.0", server)
        port = server.getsockname()[1]
    assert "0.0.0.0" not in url
    assert url.endswith(f":{port}/")


def test_loopback_is_known_in_both_families() -> None:
    assert all(is_loopback(number) for number in ("127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(number) for number in ("0.0.0.0", "192.168.1.5", "::", "fe80::1%1"))
