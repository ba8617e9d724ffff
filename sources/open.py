"""Opens whatever `--src` may name."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from errors import SourceError, redact
from sources import Source
from sources.chaos import open_chaos, split_chaos
from sources.files import find_path, open_file, open_test_pattern
from sources.headers import picture_size
from sources.live import LiveOptions
from sources.network import open_stream
from sources.photographs import PICTURE_SUFFIXES, list_pictures, open_folder, open_picture
from sources.webcam import Capture, open_capture, open_webcam

_USUAL = LiveOptions()
_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp")
_FILMS = ("http", "https")
_OPTIONAL = ("srt",)  # not built into PyAV's own FFmpeg, which says so when it is opened


def open_source(
    text: str | int,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    open_camera: Callable[[int], Capture] = open_capture,
    live: LiveOptions = _USUAL,
) -> Source:
    """Open a source by its name; a failure is reported within 5 s.

    A camera that answers in time may take longer to send its first frame.

    Args:
        text: one of
            `0`, `1`, `/dev/video0`: a camera of this machine;
            a path: a video, a picture, or a folder of pictures;
            an address (rtsp, rtmp, http, udp ...): a network stream;
            `test:[WIDTHxHEIGHT][@FPS][,duration=SECONDS]`: a generated moving pattern;
            `chaos:FILE?FAULTS`: a video played as a camera with faults, see `chaos`.
        width: requested of cameras, pixels.
        height: requested of cameras, pixels.
        fps: requested of cameras; nominal rate of a folder of pictures. Else without effect.
        open_camera: returns the capture of a camera index.
        live: what to do with cameras and network streams that fail.

    Raises:
        SourceError: it cannot be opened, or holds nothing that can be shown.
        ValueError: `width`, `height` or `fps` is not positive.
    """
    for option, value in {"width": width, "height": height, "fps": fps}.items():
        if value is not None and value <= 0:
            raise ValueError(f"{option} must be positive, got {value}")
    text = _as_named(str(text))
    name = "".join(c if c.isprintable() else "?" for c in redact(text))
    if not text:
        raise SourceError("the source has no name; give a camera number, a path or an address")
    if (index := camera_index(text)) is not None:
        return open_webcam(
            index, live, width=width, height=height, fps=fps, open_camera=open_camera
        )
    if text.startswith("test:"):
        return open_test_pattern(text)
    if text.startswith("chaos:"):
        return open_chaos(text, live)
    if address := re.fullmatch(r"([A-Za-z][\w+.-]*)(://.*)", text, re.DOTALL):
        scheme = address[1].lower()  # FFmpeg knows no RTSP://
        if scheme not in _SCHEMES + _OPTIONAL:
            raise SourceError(f"{name}: unknown kind of address; known: {', '.join(_SCHEMES)}")
        return open_stream(scheme + address[2], name, live)
    return _open_path(text, name, fps)


def camera_index(text: str) -> int | None:
    """The number of the webcam that `open_source(text)` opens, None where it opens no webcam."""
    found = re.fullmatch(r"(?:/dev/video)?(\d{1,3})", text.strip())
    return int(found[1]) if found else None


def is_camera(text: str) -> bool:
    """Whether `open_source(text)` opens a webcam or a stream, known without opening it.

    What is behind http:// may be a film: only its source knows (`Source.is_live`).
    """
    scheme, address, _ = text.strip().partition("://")
    if address:
        return scheme.lower() in (*_SCHEMES, *_OPTIONAL) and scheme.lower() not in _FILMS
    return camera_index(text) is not None


def files_of(text: str) -> list[Path]:
    """The files that `open_source(text)` reads; none for cameras, addresses and what is missing."""
    text = _as_named(text)
    is_file = camera_index(text) is None and not text.startswith("test:") and "://" not in text
    if not text or not is_file:
        return []
    if text.startswith("chaos:"):
        text = split_chaos(text)[0]
    try:
        path = find_path(text, text)
        return list_pictures(path) if path.is_dir() else [path]
    except (SourceError, OSError):
        return []


def _open_path(text: str, name: str, fps: float | None) -> Source:
    path = find_path(text, name)
    if path.is_dir():
        return open_folder(path, name, fps)
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        return open_file(path, name)
    try:
        return open_picture(path, name)
    except SourceError:
        if not _is_picture(path):  # perhaps a film with a picture's name
            with contextlib.suppress(SourceError):
                return open_file(path, name)
        raise


def _is_picture(path: Path) -> bool:
    """Whether its first bytes are a picture's, or cannot be read."""
    try:
        return picture_size(path) is not None
    except OSError:
        return True


def _as_named(text: str) -> str:
    """Return `text` without the blanks around it, unless a file is called so."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # it cannot be a path
        if Path(text).expanduser().exists():
            return text
    return text.strip()
