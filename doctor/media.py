"""What comes in and goes out: display, codecs, cameras, files, addresses step by step."""

import argparse
import contextlib
import itertools
import re
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import av

from doctor.machine import INSTALL, read_text
from doctor.report import Finding, bad, of_error, ok, problem, warning
from errors import SinkError, SourceError, StreamError, redact
from files import check_apart, check_ours, check_writable, is_special
from outputs.full_events import is_full_events
from outputs.jsonl import is_events
from outputs.recording.encoder import USUAL_CRF, Encoding
from outputs.recording.h264 import H264File, is_recording
from outputs.recording.parts import part_path
from outputs.recording.sink import SUFFIXES
from outputs.recording.sound import ERRORS
from outputs.window import DisplayProbe
from people.hours_table import is_hours
from people.report.page import is_report
from people.table import is_table
from sources.decoding import Video, packets_of
from sources.network import escape_user, open_address
from sources.open import files_of, open_source
from sources.webcam import Capture, open_capture
from structures import Frame
from threads import call_with_deadline

_SYSFS = Path("/sys/class/video4linux")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
_RESOLVE_S, _CONNECT_S, _OPEN_S, _LOOK_S = 2.5, 2.5, 4.0, 4.0  # 13 s in all
_READ_S = 2.0
_RARE_KEY_FRAMES_S = 4.0  # after an interruption no picture comes for so long
_ITEM = "address"

_DATAGRAMS = ("udp", "rtp", "srt")  # nothing answers before the stream itself comes
# Whether a file is ours, the endings that a run takes, and whether it must be an ordinary file.
OUTPUTS: dict[str, tuple[Callable[[Path], bool], tuple[str, ...], bool]] = {
    "output": (is_recording, SUFFIXES, True),
    "events": (is_events, (), False),
    "events_full": (is_full_events, (".jsonl", ".gz"), True),
    "people": (is_table, (".csv",), False),
    "hours": (is_hours, (".csv",), False),
    "report": (is_report, (".html",), True),
}

OpenVideo = Callable[..., Video]


def display(wanted: bool, probe: Callable[[], str | None] | None = None) -> Iterator[Finding]:
    """Whether a window can be opened; `probe` returns what is wrong, or None."""
    if not wanted:
        yield ok("display", "not needed (--no-window)")
        return
    trouble = (probe or DisplayProbe().problem)()
    if trouble is None:
        yield ok("display", "a window can be opened")
    else:
        cause, _, remedy = trouble.rpartition(": ")
        yield warning("display", cause, remedy)


def frame_of(source: str, number: int = 0) -> Frame:
    """Frame `number` of a file; raises SourceError, or StopIteration where it has fewer."""
    with contextlib.closing(open_source(source)) as opened:
        return next(itertools.islice(opened, number, None))


def codecs(sample: Path) -> Iterator[Finding]:
    """Whether H.264 can be written and read."""
    try:
        frame = frame_of(str(sample))
        yield ok("decoding", f"H.264 by PyAV {av.__version__}: the sample's first picture")
    except StreamError as error:
        yield of_error("decoding", True, error)
        return
    image = frame.image[:360, :640]
    try:
        with tempfile.TemporaryDirectory() as folder:
            size_wh = image.shape[1], image.shape[0]
            encoding = Encoding("ultrafast", USUAL_CRF, 25.0)
            file = H264File(Path(folder) / "probe.mp4", size_wh, encoding, 0.0)
            file.write(image, 0.0, 0)
            file.finish()
    except (*ERRORS, ValueError) as error:  # ValueError: no such encoder
        yield problem("recording", f"H.264 cannot be written: {error}", INSTALL)
    else:
        yield ok("recording", "H.264 by x264")


def cameras(
    asked: Collection[int],
    open_camera: Callable[[int], Capture] = open_capture,
    devices: Path = Path("/dev"),
    names: Path = _SYSFS,
) -> Iterator[Finding]:
    """Whether the cameras of this machine open and deliver frames.

    Args:
        asked: those that are needed; their faults are problems, those of others warnings.
        open_camera: opens the camera of an index.
        devices: folder of the devices.
        names: folder with their names, on Linux.
    """
    found = sorted(
        int(match[1])
        for path in devices.glob("video*")
        if (match := re.fullmatch(r"video(\d+)", path.name))
    )
    if not found:
        if not asked:
            yield ok("cameras", "none is attached")
        else:  # 0 is also the default
            remedy = "plug one in, or give a file or an address; try --src sample"
            yield bad("cameras", max(asked) > 0, "none is attached", remedy)
        return
    for index in found:
        node = names / f"video{index}"
        name = f"{index}" + (f" ({text})" if (text := read_text(node / "name").strip()) else "")
        if index not in asked and read_text(node / "index").strip() not in ("", "0"):
            continue  # a camera's second node delivers no frames
        yield _camera(index, name, index in asked, open_camera)
    for index in sorted(set(asked).difference(found)):
        listed = ", ".join(map(str, found))
        yield problem("cameras", f"there is no camera {index}", f"choose of those here: {listed}")


def _camera(index: int, name: str, needed: bool, open_camera: Callable[[int], Capture]) -> Finding:
    start_s = time.perf_counter()
    try:
        with contextlib.closing(open_source(index, open_camera=open_camera)) as source:
            next(source)
            width, height = source.size_wh
            seconds = time.perf_counter() - start_s
            size = f"{width}x{height} at {source.fps:.0f} fps"
            return ok("cameras", f"{name}: {size}, first picture in {seconds:.1f} s")
    except StreamError as error:
        return of_error("cameras", needed, error)


def media_file(path: str) -> Iterator[Finding]:
    """Whether a file, folder or test pattern can be played."""
    try:
        with contextlib.closing(open_source(path)) as source:
            next(source)
            width, height = source.size_wh
            count = "" if source.frame_count is None else f", {source.frame_count} pictures"
            yield ok("source", f"{source.name}: {width}x{height} at {source.fps:.4g} fps{count}")
    except StreamError as error:
        yield of_error("source", True, error)


def outputs(options: argparse.Namespace, sources: Sequence[str]) -> Iterator[Finding]:
    """Whether each output that was asked for can be written; of films, without loss."""
    read = [files_of(source) for source in sources]
    chaos = any(source.startswith("chaos:") for source in sources)
    for name, (is_ours, suffixes, whole) in OUTPUTS.items():
        path = getattr(options, name, None)
        if not path or path == "-":
            continue
        flag = f"--{name.replace('_', '-')}"
        try:
            special = not whole and is_special(Path(path))
            check_writable(path, () if special else suffixes, whole)
            check_apart([path], [file for files in read for file in files])
            if all(read) and not chaos:  # what is live replaces nothing
                segments = name == "output" and bool(options.segment or options.record_on)
                check_ours(part_path(Path(path), 1, segments=segments), is_ours)
            yield ok("outputs", f"{flag} {path} can be written")
        except SinkError as error:
            yield problem("outputs", str(error), f"name another file for {flag}")


def address(text: str, open_it: OpenVideo = open_address) -> Iterator[Finding]:
    """Whether a camera answers, step by step; the first step that fails is the last.

    `text` is a URL; its user and password are not shown.
    """
    escaped, name = escape_user(text.strip()), redact(text.strip())
    scheme, host, port = name.partition("://")[0].lower(), None, None
    with contextlib.suppress(ValueError):
        parts = urlsplit(escaped)
        host, port = parts.hostname, parts.port or _PORTS.get(scheme)
    if scheme in _DATAGRAMS:
        yield from _stream(escaped, name, open_it)
        return
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
    options = {"rtsp_transport": "tcp"} if escaped.lower().startswith("rtsp") else {}
    start_s = time.monotonic()
    try:
        video = open_it(escaped, name, options=options, timeout_s=(_OPEN_S, _READ_S))
    except SourceError as error:
        yield of_error("stream", True, error)
        return
    with contextlib.closing(video):
        user = "user and password are accepted, " if re.search("://[^/?#@]+@", escaped) else ""
        codec = video.stream.codec_context.name
        seconds = time.monotonic() - start_s
        yield ok("stream", f"{user}opened in {seconds:.1f} s: {codec}, {video.fps:.4g} fps")
        yield from _pictures(video, start_s)


def _pictures(video: Video, start_s: float) -> Iterator[Finding]:
    """Read up to the first picture and two key frames."""
    video.stream.thread_type = "NONE"
    keys: list[float] = []
    size = ""
    until_s = time.monotonic() + _LOOK_S
    with contextlib.suppress(av.FFmpegError):  # disconnected: what came so far is reported
        for packet in packets_of(video.container, video.stream):
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
    """The size of the picture in a packet, empty where none can be decoded."""
    with contextlib.suppress(av.error.InvalidDataError):
        for picture in packet.decode():
            return f"{picture.width}x{picture.height}"
    return ""


def _key_frames(times_s: list[float]) -> Finding:
    if len(times_s) > 1 and times_s[1] - times_s[0] <= _RARE_KEY_FRAMES_S:
        return ok("key frames", f"every {times_s[1] - times_s[0]:.1f} s")
    remedy = "set the camera's key frame (I frame) interval to one or two seconds"
    return warning("key frames", f"more than {_RARE_KEY_FRAMES_S:g} s apart", remedy)
