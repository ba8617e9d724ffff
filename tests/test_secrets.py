"""No output holds the secrets of an address: every byte that a run writes is looked at."""

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import stream
from program.cameras import SAMPLE
from tests.assemblies import scripted
from tests.fakes import ScriptedDetector
from tests.test_mqtt import Broker, Listener
from tests.test_webhook import Server

SOURCE_SECRETS = ("j0e", "s3cr@t", "s3cr%40t", "t0ken", base64.b64encode(b"j0e:s3cr@t").decode())
SINK_SECRETS = ("hu5h", "h00k", "wr0ng")
FACE = [10.0, 8.0, 40.0, 44.0]


@pytest.fixture
def camera() -> Iterator[int]:
    """A web server that hands out the sample to those who know the password."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            want = base64.b64encode(b"j0e:s3cr@t").decode()
            if self.headers.get("Authorization") != f"Basic {want}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = SAMPLE.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the program has seen enough

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def a_face_for_a_moment() -> ScriptedDetector:
    """A face in the first frames, and nobody afterwards."""
    return ScriptedDetector([[FACE]] * 8)


QUICK = stream.Factories(assembly=scripted(a_face_for_a_moment))


def address(port: int, password: str = "s3cr@t") -> str:
    return f"http://j0e:{password}@127.0.0.1:{port}/film.mp4?token=t0ken"


def all_bytes(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> bytes:
    """Names and contents of all files, what was printed and what was logged."""
    parts = [caplog.text.encode(), *(text.encode() for text in capfd.readouterr())]
    for path in folder.rglob("*"):
        parts.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            parts.append(path.read_bytes())
    return b"\0".join(parts)


def hold_no(secrets: Iterable[str], data: bytes) -> None:
    assert [secret for secret in secrets if secret.encode() in data] == []


@pytest.mark.parametrize("privacy", [[], ["--blur"], ["--anonymous"]])
def test_a_run_writes_no_secret_anywhere(
    privacy: list[str],
    camera: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(0)
    monkeypatch.setenv("WEBHOOK_SECRET", "hu5h")
    hook = Server()
    files = ["--output", str(tmp_path / "o.mp4"), "--events", str(tmp_path / "o.jsonl")]
    if "--anonymous" not in privacy:
        files += ["--people", str(tmp_path / "o.csv")]
    target = ["--webhook", f"http://h00k:h00k@127.0.0.1:{hook.port}/h00k"]
    run = ["--src", address(camera), "--no-window", "--max-frames", "30", "--verbose", *privacy]
    assert stream.main([*run, *files, *target], QUICK) == 0
    hook.close()
    posted = b"\0".join(body for _, _, body in hook.requests)
    assert b'"type":"aggregate"' in posted
    hold_no([*SOURCE_SECRETS, *SINK_SECRETS], all_bytes(tmp_path, capfd, caplog) + posted)


@pytest.mark.mqtt
def test_a_run_publishes_no_secret(
    camera: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    broker_folder, out = tmp_path / "broker", tmp_path / "out"
    broker_folder.mkdir()
    out.mkdir()
    broker = Broker(broker_folder)
    listener = Listener(broker)
    try:
        run = ["--src", address(camera), "--no-window", "--max-frames", "30", "--verbose"]
        assert stream.main([*run, "--mqtt", broker.address()], QUICK) == 0
        listener.wait_for(lambda heard: heard.state() == "offline")
    finally:
        listener.close()
        broker.kill()
    heard = json.dumps(listener.heard).encode()
    assert b'"left"' in heard
    hold_no([*SOURCE_SECRETS, "joe", "s3cr@t:/"], all_bytes(out, capfd, caplog) + heard)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--src", "{wrong}"],
        ["--src", "sample", "--webhook", "ftp://h00k:hu5h@host/h00k"],
        ["--src", "sample", "--mqtt", "mqtt://wr0ng:hu5h@host:99999"],
        ["--src", "sample", "--mqtt", "mqtt://wr0ng:hu5h@host/#"],
        ["--src", "sample", "--webhook-secret", "hu5h", "--people", "{tmp}/o.csv", "--anonymous"],
        ["--src", "sample", "--webhook-secret", "hu5h", "--blur", "hu5h:x@y"],
    ],
)
def test_a_run_that_is_refused_says_so_in_one_line_without_secrets(
    arguments: list[str],
    camera: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    filled = [a.format(wrong=address(camera, "wr0ng"), tmp=tmp_path) for a in arguments]
    code: object
    try:
        code = stream.main(["--no-window", *filled], QUICK)
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    shown = all_bytes(tmp_path, capfd, caplog)
    assert shown.count(b"\n") == 1
    hold_no([*SOURCE_SECRETS, *SINK_SECRETS], shown)
