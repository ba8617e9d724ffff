"""Network streams: live or film, and failures that are named."""

import http.server
import itertools
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from errors import SourceLostError
from sources.live import LiveOptions
from sources.network import escape_user
from sources.open import open_source
from tests.clips import Open, number_of, numbered, opening, problem_of, write_clip

opened = pytest.fixture(opening)
Web = tuple[str, threading.Event]  # address, and what ends its live stream


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rtsp://host/cam", "rtsp://host/cam"),
        ("rtsp://host:554/path@2x?a=b@c", "rtsp://host:554/path@2x?a=b@c"),
        ("rtsp://[::1]:554/cam@1", "rtsp://[::1]:554/cam@1"),
        ("rtsp://bob@host", "rtsp://bob@host"),
        ("rtsp://bob:p%40ss@host/cam@1", "rtsp://bob:p%40ss@host/cam@1"),
        ("rtsp://bob:p@ss:w/rd@host:554/cam", "rtsp://bob:p%40ss%3Aw%2Frd@host:554/cam"),
        ("rtsp://b@x.org:p?s#s@[::1]/cam", "rtsp://b%40x.org:p%3Fs%23s@[::1]/cam"),
    ],
)
def test_passwords_may_be_typed_as_they_are(typed: str, meant: str) -> None:
    assert escape_user(typed) == meant


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """An http server on this machine: files of tmp_path, /live JPEGs, /half a film.

    /live/slow has 12 JPEGs a second.

    /ranges sends any part of a film, promises to stay connected, and closes; /chunks/NAME
    sends a file in chunks, so that its size is not stated.
    """
    stop = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/half"):
                data = (tmp_path / "clip.mp4").read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                return None
            if self.path.startswith("/ranges"):
                return self.send_range((tmp_path / "clip.mp4").read_bytes())
            if self.path.startswith("/chunks"):
                return self.send_chunks((tmp_path / Path(self.path).name).read_bytes())
            if not self.path.startswith("/live"):
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
            self.end_headers()
            for picture in itertools.cycle(numbered(20)):
                jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
                head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                if stop.wait(0.08 if "slow" in self.path else 0.01):
                    break
            return None

        def send_range(self, data: bytes) -> None:
            first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            self.protocol_version = "HTTP/1.1"
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - first))
            self.end_headers()
            self.wfile.write(data[first:])
            self.close_connection = True

        def send_chunks(self, data: bytes) -> None:
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (data[i : i + 5000] for i in range(0, len(data), 5000)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that server_close() joins them
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", stop
    stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_film_behind_an_http_address_is_read_like_a_file(tmp_path: Path, web: Web) -> None:
    write_clip(tmp_path / "clip.mp4", numbered(40), options={"movflags": "faststart"})
    source = open_source(f"{web[0]}/clip.mp4?token=secret")
    assert not source.is_live
    assert [number_of(frame.image) for frame in source] == list(range(40))
    assert "secret" not in source.name
    source.close()


def test_a_film_behind_an_http_address_that_disconnects_is_lost(
    tmp_path: Path, web: Web, opened: Open
) -> None:
    pictures = list(np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8))
    write_clip(tmp_path / "clip.mp4", pictures, options={"movflags": "faststart"})
    source = opened(f"{web[0]}/half.mp4")
    given = []
    with pytest.raises(SourceLostError, match="stopped sending"):
        for frame in source:
            given.append(frame.index)
    assert given == list(range(len(given)))
    assert 10 < len(given) < 30


@pytest.mark.parametrize("name", ["clip.mkv", "clip.h264"])
def test_a_film_behind_an_http_address_that_states_no_duration_ends(
    tmp_path: Path, web: Web, opened: Open, name: str
) -> None:
    options = {"live": "1"} if name.endswith("mkv") else {}
    clip = write_clip(tmp_path / name, numbered(40), options=options)
    with av.open(str(clip)) as container:
        assert not container.duration
    source = opened(f"{web[0]}/{name}")
    assert not source.is_live
    assert [number_of(frame.image) for frame in source] == list(range(40))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.mp4"])
@pytest.mark.parametrize("count", [100, pytest.param(800, marks=pytest.mark.slow)])
def test_a_film_sent_in_chunks_is_no_camera(
    tmp_path: Path, web: Web, opened: Open, name: str, count: int
) -> None:
    flags = {"mkv": {"live": "1"}, "mp4": {"movflags": "frag_keyframe+empty_moov"}}
    write_clip(tmp_path / name, numbered(20) * (count // 20), options=flags.get(name[5:], {}))
    source = opened(f"{web[0]}/chunks/{name}")
    assert not source.is_live
    assert len(list(source)) == count


def test_a_picture_behind_an_http_address_is_fetched_again_and_again(
    tmp_path: Path, web: Web, opened: Open
) -> None:
    cv2.imwrite(str(tmp_path / "now.jpg"), numbered(1)[0])
    source = opened(f"{web[0]}/now.jpg")
    assert source.is_live
    assert len(list(itertools.islice(source, 2))) == 2


def test_a_server_that_closes_unannounced_loses_no_frame(
    tmp_path: Path, web: Web, opened: Open
) -> None:
    """The index of this film is at its end: FFmpeg reads there first, then at the start."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)
    write_clip(tmp_path / "clip.mp4", list(noise), settings={"g": "10"})
    frames = list(opened(f"{web[0]}/ranges.mp4"))
    assert len(frames) == 60 and frames[0].time_s == 0


def test_a_stream_behind_an_http_address_is_live_and_lost_when_it_ends(
    web: Web,
) -> None:
    address, stop = web
    source = open_source(f"{address}/live", live=LiveOptions(reconnect=False))
    assert source.is_live
    frames = list(itertools.islice(source, 10))
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] - indices[0] - 9 == source.dropped
    stop.set()
    with pytest.raises(SourceLostError, match="stopped sending"):
        list(source)
    source.close()


def test_pictures_one_after_the_other_are_never_late(web: Web) -> None:
    """They have no clock: FFmpeg takes them for 25 a second, however many come."""
    source = open_source(f"{web[0]}/live/slow")
    frames = list(itertools.islice(source, 20))
    source.close()
    delays_s = [frame.time_s - (frame.arrived_s or 0) for frame in frames]
    assert delays_s == pytest.approx([delays_s[0]] * 20)


def test_what_is_wrong_with_an_address_is_named_without_its_secrets(
    web: Web, capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = "127.0.0.1:1/cam?token=hush"
    for address, cause in {
        f"{web[0]}/nothing.mp4": "has nothing at this path",
        f"rtsp://bob:p@ss:w/rd@{nobody}": "nothing listens",
        f"http://bob:hush@{nobody}": "nothing listens",
        f"RTSP://bob:hush@{nobody}": "nothing listens",
        "rtsp://bob:hush@camera.invalid/cam": "the host is not known",
        "rtsp://bob:hush@camera..invalid/cam": "the host is not known",
        f"http://bob:hush@{'a' * 70}.invalid/cam": "the host is not known",
    }.items():
        message = problem_of(address)
        assert cause in message
        for secret in ("bob", "p@ss", "w/rd", "hush"):
            assert secret not in message
    assert capfd.readouterr() == ("", "")


def test_a_server_with_sound_only_is_named_as_such() -> None:
    """It refuses to play nothing, as it was asked for pictures only."""
    sdp = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n"

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                head = {}
                while (each := self.rfile.readline().strip()) != b"":
                    key, _, value = each.partition(b": ")
                    head[key.lower()] = value
                method, body = line.split()[0], b""
                status = b"455 Method Not Valid" if method == b"PLAY" else b"200 OK"
                if method == b"DESCRIBE":
                    body = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n" % len(sdp)
                end = sdp if method == b"DESCRIBE" else b""
                about = b"RTSP/1.0 %s\r\nCSeq: %s\r\n" % (status, head[b"cseq"])
                self.wfile.write(about + body + b"\r\n" + end)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        problem = problem_of(f"rtsp://127.0.0.1:{server.server_address[1]}/sound")
        server.shutdown()
        thread.join()
    assert "no video at this path, sound at most" in problem
