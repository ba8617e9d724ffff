"""What strangers send: nothing of it breaks the page, fills the log or gives the token away."""

import asyncio
import datetime
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from errors import SinkError
from people.crowd import Crowd
from people.records import Recorder
from tests.web_parts import ask, served
from web.access import Guesses, tls_context
from web.view import WebView

TOKEN = "hunter2hunter2"
HOST = "Host: 127.0.0.1"
FORM = "Content-Type: application/x-www-form-urlencoded"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def view() -> Iterator[WebView]:
    with served(token=TOKEN) as view:
        yield view


def raw(view: WebView, sent: str) -> bytes:
    """The whole answer to what is no request that a library would send."""
    port = int(view.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(sent.encode("latin-1"))
        one.shutdown(socket.SHUT_WR)
        one.settimeout(5)
        answer = b""
        try:
            while data := one.recv(65536):
                answer += data
        except OSError:
            pass
        return answer


def post(path: str, kind: str, body: str, *more: str) -> str:
    head = [f"POST {path} HTTP/1.1", HOST, kind, f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "Connection: close", "", body])


def get(path: str, *headers: str, version: str = "1.1") -> str:
    return "\r\n".join([f"GET {path} HTTP/{version}", HOST, *headers, "Connection: close", "", ""])


MULTIPART = "Content-Type: multipart/form-data"
LET_IN = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
BAD = {
    "multipart without boundary": post("/login", MULTIPART, "--x\r\nfoo"),
    "multipart broken": post("/login", f"{MULTIPART}; boundary=x", f"--x\r\n{TOKEN}"),
    "form of no charset": post("/login", f"{FORM}; charset=nope", f"token={TOKEN}"),
    "form not UTF-8": post("/login", FORM, "token=\xff\xfe"),
    "form of too many fields": post("/login", FORM, "a=b&" * 100),
    "form too large": post("/login", FORM, "a" * 100_000),
    "form broken by chunks": f"POST /login HTTP/1.1\r\n{HOST}\r\n{FORM}\r\n"
    f"Transfer-Encoding: chunked\r\n\r\nzz{TOKEN}\r\n",
    "no kind of content": post("/login", "Content-Type: ;;=;", "x"),
    "form packed badly": post("/login", FORM, TOKEN, "Content-Encoding: gzip"),
    "origin broken": post("/login", FORM, "token=x", "Origin: http://[::1"),
    "offer of no charset": post("/offer", f"{JSON}; charset=nope", "{}", LET_IN),
    "offer too deep": post("/offer", JSON, "[" * 60_000, LET_IN),
    "offer not JSON": post("/offer", JSON, f"{TOKEN}", LET_IN),
    "control character": get("/", f"{LET_IN}\x01"),
    "address too long": get(f"/?token={TOKEN}&x={'a' * 9000}"),
    "no version": get(f"/?token={TOKEN}", version="9.9"),
    "blank in the address": get(f"/?token={TOKEN} b"),
    "NUL in the address": get(f"/?token={TOKEN}\x00"),
    "cookie broken": get("/", f"Cookie: x={TOKEN}\x01"),
    "header too long": get("/", LET_IN + "a" * 9000),
    "header folded": get("/", "Authorization: Bearer", f" {TOKEN}"),
    "expects something": get("/style.css", f"Expect: {TOKEN}"),
    "address of another kind": get(f"http://[::1/?token={TOKEN}"),
    "method of no kind": f"{TOKEN} / HTTP/1.1\r\n{HOST}\r\n\r\n",
    "method not allowed": f"PUT /login HTTP/1.1\r\n{HOST}\r\nContent-Length: 0\r\n\r\n",
    "TLS to a page without": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    + "\0" * 50
    + "\r\n\r\n",
    "both lengths": f"POST /login HTTP/1.1\r\n{HOST}\r\nContent-Length: 5\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_requests_are_refused_without_a_word(
    view: WebView, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    answer = raw(view, BAD[name])
    assert answer == b"" or answer.split()[1][:1] == b"4", answer[:300]
    assert TOKEN.encode() not in answer
    assert b"aiohttp" not in answer and b"Python" not in answer
    assert caplog.text + "".join(capfd.readouterr()) == ""


def test_a_right_token_in_the_address_bar_leaves_it_at_once(view: WebView) -> None:
    page = {"Accept": "text/html"}
    for path, wanted in (
        (f"?token={TOKEN}", "/"),
        (f"?token={TOKEN}&camera=a+b", "/?camera=a+b"),
        (f"snapshot.jpg?token={TOKEN}", "/snapshot.jpg"),
        (f"/evil.example?token={TOKEN}", "/evil.example"),
    ):
        status, headers, _ = ask(view, path, headers=page)
        assert (status, headers["Location"]) == (303, wanted)
        assert "Max-Age=" in headers["Set-Cookie"] and "Secure" not in headers["Set-Cookie"]
    assert ask(view, f"state.json?token={TOKEN}")[0] == 200  # programs follow no redirects


def test_a_cookie_is_valid_for_a_month_and_renewed_in_its_second_half(
    view: WebView, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = ask(view, f"?token={TOKEN}")[1]
    name, _, value = headers["Set-Cookie"].partition(";")[0].partition("=")
    now_s = time.time()
    for days, status, renewed in ((1, 200, False), (20, 200, True), (31, 401, False)):
        monkeypatch.setattr(time, "time", lambda days=days: now_s + days * 24 * 3600)
        got, headers, _ = ask(view, "state.json", cookies={name: value})
        assert (got, "Set-Cookie" in headers) == (status, renewed)
    monkeypatch.undo()
    later = str(int(value.partition(".")[0]) + 1) + value[value.index(".") :]
    assert ask(view, "state.json", cookies={name: later})[0] == 401


GUESSES = {
    "form": ("login", "POST", {"data": {"token": "wrong"}}),
    "address": ("state.json?token=wrong", "GET", {}),
    "header": ("state.json", "GET", {"headers": {"Authorization": "Bearer wrong"}}),
    "cookie": ("state.json", "GET", {"headers": {"Cookie": "faces_PORT=1.abc"}}),
}


@pytest.mark.parametrize("door", GUESSES)
def test_wrong_tokens_are_slowed_down_at_every_door_and_right_ones_never(door: str) -> None:
    path, method, more = GUESSES[door]

    async def go(view: WebView) -> tuple[int, float]:
        port = view.url.rstrip("/").rpartition(":")[2]
        headers = {k: v.replace("PORT", port) for k, v in dict(more.get("headers", {})).items()}
        options = {**more, "headers": headers, "allow_redirects": False}
        async with aiohttp.ClientSession() as session:

            async def guess() -> None:
                async with session.request(method, view.url + path, **options):  # type: ignore[arg-type]
                    answered.append(path)

            answered: list[str] = []
            tasks = [asyncio.ensure_future(guess()) for _ in range(30)]
            await asyncio.sleep(1.5)
            began_s = time.monotonic()
            async with session.get(view.url + "state.json", headers=BEARER) as right:
                assert right.status == 200
            took_s = time.monotonic() - began_s
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return len(answered), took_s

    with served(token=TOKEN) as view:
        answered, took_s = asyncio.run(go(view))
    assert answered <= 13
    assert took_s < 1.0


def test_guesses_from_many_addresses_are_slowed_down_in_total() -> None:
    async def go() -> list[BaseException | None]:
        guesses = Guesses(longest_s=0.2)
        calls = (guesses.slow_down(f"192.0.2.{i}") for i in range(60))
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(go())
    assert sum(answer is None for answer in answers) <= 32
    assert all(isinstance(a, web.HTTPTooManyRequests) for a in answers if a is not None)


@pytest.mark.slow
def test_behind_a_proxy_each_client_has_its_own_pace() -> None:
    def times(view: WebView, client: str, count: int) -> float:
        began_s = time.monotonic()
        for _ in range(count):
            headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": f"203.0.113.1, {client}"}
            ask(view, "state.json", headers={**headers, "Host": "faces.example"})
        return time.monotonic() - began_s

    with served(token=TOKEN, behind_proxy=True) as view:
        assert times(view, "198.51.100.7", 11) > 0.5
        assert times(view, "198.51.100.8", 1) < 0.5
        secure = {**BEARER, "X-Forwarded-Proto": "https"}
        assert "Secure" in ask(view, f"?token={TOKEN}", headers=secure)[1]["Set-Cookie"]
    with served(token=TOKEN) as view:  # nobody is believed who was not asked for
        headers = {"Authorization": "Bearer wrong"}
        began_s = time.monotonic()
        for i in range(11):
            ask(view, "state.json", headers={**headers, "X-Forwarded-For": f"192.0.2.{i}"})
        assert time.monotonic() - began_s > 0.5


def test_a_page_behind_a_proxy_needs_a_token() -> None:
    with pytest.raises(SinkError, match="--token"):
        WebView("0", Recorder(Crowd()), behind_proxy=True)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])


def test_a_page_with_a_certificate_is_served_by_https_only(certificate: tuple[str, str]) -> None:
    with served(token=TOKEN, tls=certificate) as view:
        assert view.url.startswith("https://127.0.0.1:")
        status, headers, _ = ask(view, f"?token={TOKEN}", ssl=False)
        assert status == 303 and "Secure" in headers["Set-Cookie"]
        assert ask(view, "state.json", headers=BEARER, ssl=False)[0] == 200
        assert raw(view, get("/"))[:4] != b"HTTP"


def test_files_that_are_no_certificate_are_refused_in_one_line(
    certificate: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("nothing")
    for files in (("nowhere", "x"), (str(tmp_path / "x"),) * 2, certificate[::-1]):
        with pytest.raises(SinkError, match="--tls") as caught:
            tls_context(*files)
        assert "\n" not in str(caught.value)
    assert isinstance(tls_context(*certificate), ssl.SSLContext)
