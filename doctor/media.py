"""What comes in and goes out: display, codecs, cameras, files."""

import argparse
import contextlib
import itertools
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av

from doctor.machine import INSTALL
from doctor.report import Finding, bad, of_error, ok, problem, warning
from errors import SinkError, StreamError
from files import check_writable, refuse_overwriting
from outputs.recording.h264 import USUAL_CRF, Encoding, H264File
from outputs.recording.sound import ERRORS
from outputs.window import DisplayProbe
from sources.open import open_source
from sources.webcam import Capture, open_capture
from structures import Frame

_SYSFS = Path("/sys/class/video4linux")


def display(wanted: bool, probe: Callable[[], str | None] | None = None) -> Iterator[Finding]:
    """Whether a window can be opened.

    Args:
        wanted: False with --no-window.
        probe: gives what is wrong, or None.
    """
    if not wanted:
        yield ok("display", "not needed (--no-window)")
        return
    trouble = (probe or DisplayProbe().problem)()
    if trouble is None:
        yield ok("display", "a window can be opened")
    else:
        cause, _, remedy = trouble.rpartition(": ")
        yield warning("display", cause, remedy)


def picture_of(source: str, number: int = 0) -> Frame:
    """Picture `number` of a file. Raises SourceError; StopIteration where it has fewer."""
    with contextlib.closing(open_source(source)) as opened:
        return next(itertools.islice(opened, number, None))


def codecs(sample: Path) -> Iterator[Finding]:
    """Whether H.264 can be written and read."""
    try:
        frame = picture_of(str(sample))
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
    asked: int | None,
    open_camera: Callable[[int], Capture] = open_capture,
    devices: Path = Path("/dev"),
    names: Path = _SYSFS,
) -> Iterator[Finding]:
    """Whether the cameras of this machine open and give pictures.

    Args:
        asked: the one that is wanted; its faults are problems, those of others warnings.
        open_camera: gives the capture of an index.
        devices: folder of the devices.
        names: folder that says what they are; Linux has it.
    """
    found = sorted(
        int(match[1])
        for path in devices.glob("video*")
        if (match := re.fullmatch(r"video(\d+)", path.name))
    )
    if not found:
        if asked is None:
            yield ok("cameras", "none is attached")
        else:  # 0 is also what stands where nothing was asked for
            remedy = "plug one in, or give a file or an address; try --src sample"
            yield bad("cameras", asked > 0, "none is attached", remedy)
        return
    for index in found:
        node = names / f"video{index}"
        name = f"{index}" + (f" ({text})" if (text := _line(node / "name")) else "")
        if index != asked and _line(node / "index") not in ("", "0"):
            continue  # a camera's second node gives no pictures
        yield _camera(index, name, index == asked, open_camera)
    if asked is not None and asked not in found:
        listed = ", ".join(map(str, found))
        yield problem("cameras", f"there is no camera {asked}", f"choose of those here: {listed}")


def _line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


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
    """Whether each output that was asked for can be made where it should go."""
    for name in ("output", "events", "people"):
        path = getattr(options, name, None)
        if not path or path == "-":
            continue
        try:
            check_writable(path)
            for source in sources:
                refuse_overwriting(path, source)
            yield ok("outputs", f"--{name} {path} can be written")
        except SinkError as error:
            yield problem("outputs", str(error), f"name another file for --{name}")
