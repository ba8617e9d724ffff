"""A network camera, step by step: host, port, stream, picture, key frames."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import av

from doctor.report import Finding, of_error, ok, problem, warning
from errors import SourceError, redact
from sources.decoding import Video, open_video
from sources.network import escape_user
from threads import call_with_deadline

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
_RESOLVE_S, _CONNECT_S, _OPEN_S, _LOOK_S = 2.5, 2.5, 4.0, 4.0  # 13 s in all
_READ_S = 2.0
_RARE_KEY_FRAMES_S = 4.0  # after a break there is no picture for so long
_ITEM = "address"

OpenVideo = Callable[..., Video]


def address(text: str, open_it: OpenVideo = open_video) -> Iterator[Finding]:
    """Whether a camera answers, step by step; the first step that fails is the last.

    Args:
        text: URL, with user and password where there are any; neither is told.
        open_it: as `sources.decoding.open_video`.
    """
    escaped, name = escape_user(text.strip()), redact(text.strip())
    parts = urlsplit(escaped)
    try:
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        host = port = None
    if not host:
        example = "write it as rtsp://host:554/path"
        yield problem(_ITEM, f"{name} names no host and port", example)
        return
    for step in (_host(host), _port(host, port)):
        finding = next(step, None)
        if finding is not None:
            yield finding
            if finding.remedy:
                return
    yield from _stream(escaped, name, open_it)


def _host(host: str) -> Iterator[Finding]:
    try:
        found = call_with_deadline(
            lambda: socket.getaddrinfo(host, None), _RESOLVE_S, lambda late: None
        )
    except TimeoutError:
        remedy = "check the network and its name server, or give the camera's number"
        yield problem("host", f"no name server answers for {host}", remedy)
    except (OSError, UnicodeError):
        yield problem("host", f"{host} is not known", "check its name and the network")
    else:
        numbers = sorted({str(entry[4][0]) for entry in found})
        yield ok("host", f"{host} is {', '.join(numbers)}")


def _port(host: str, port: int | None) -> Iterator[Finding]:
    """Try to connect by TCP; nothing where the address has no such port."""
    if port is None:
        return
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except ConnectionRefusedError:
        remedy = "is the camera's service switched on, is the port right?"
        yield problem("port", f"nothing listens at port {port} of {host}", remedy)
    except OSError as error:  # a TimeoutError is one
        reason = error.strerror or "no answer"
        remedy = "is the camera on, is the address right, does a firewall block it?"
        yield problem("port", f"port {port} of {host}: {reason.lower()}", remedy)
    else:
        yield ok("port", f"{port} of {host} answers")


def _stream(escaped: str, name: str, open_it: OpenVideo) -> Iterator[Finding]:
    options = {"rtsp_transport": "tcp"} if escaped.lower().startswith("rtsp") else None
    start_s = time.monotonic()
    try:
        video = open_it(escaped, name, options=options, timeout_s=(_OPEN_S, _READ_S))
    except SourceError as error:
        yield of_error("stream", True, error)
        return
    with contextlib.closing(video):
        user = "user and password are accepted, " if "@" in escaped else ""
        codec = video.stream.codec_context.name
        seconds = time.monotonic() - start_s
        yield ok("stream", f"{user}opened in {seconds:.1f} s: {codec}, {video.fps:.4g} fps")
        yield from _pictures(video, start_s)


def _pictures(video: Video, start_s: float) -> Iterator[Finding]:
    """Read on for the first picture and two key frames."""
    video.stream.thread_type = "NONE"
    keys: list[float] = []
    size = ""
    until_s = time.monotonic() + _LOOK_S
    with contextlib.suppress(av.FFmpegError):  # broke off: what there was is told
        for packet in video.container.demux(video.stream):
            if packet.is_keyframe and packet.pts is not None and packet.time_base is not None:
                keys.append(float(packet.pts * packet.time_base))
            if not size and (size := _size(packet)):
                yield ok(
                    "picture", f"{size}, the first {time.monotonic() - start_s:.1f} s after asking"
                )
            if (size and len(keys) > 1) or time.monotonic() > until_s:
                break
    if not size:
        remedy = "restart the camera; look at the stream in another player"
        yield problem("picture", f"none came within {_LOOK_S:g} s", remedy)
    elif not video.has_end:
        yield _key_frames(keys)


def _size(packet: av.Packet) -> str:
    """The size of the picture in a packet, empty where there is none that can be decoded."""
    with contextlib.suppress(av.error.InvalidDataError):
        for picture in packet.decode():
            return f"{picture.width}x{picture.height}"
    return ""


def _key_frames(times_s: list[float]) -> Finding:
    if len(times_s) > 1 and times_s[1] - times_s[0] <= _RARE_KEY_FRAMES_S:
        return ok("key frames", f"every {times_s[1] - times_s[0]:.1f} s")
    remedy = "set the camera's key frame (I frame) interval to one or two seconds"
    return warning("key frames", f"more than {_RARE_KEY_FRAMES_S:g} s apart", remedy)
