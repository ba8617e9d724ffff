"""Still pictures: one file, or a folder of them in natural order."""

import contextlib
import importlib
import logging
import os
import re
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import cv2
import numpy as np

from errors import SourceError
from files import stderr_is_apart
from sources.feed import NOMINAL_FPS, Feed
from sources.headers import picture_size
from structures import Frame, Image
from threads import ReadAhead

log = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    | {".avif", ".jp2", ".heic", ".heif"}
)
# Of a GIF in a folder the first frame counts; by itself it is a source like a film.
FOLDER_SUFFIXES = PICTURE_SUFFIXES | {".gif"}

PHOTOGRAPH_S = 2.0  # how long a photograph is shown
ALIKE = 30.0  # grey levels, see `resembles`
MOST_PIXELS = 200_000_000  # those of the largest phone cameras
LARGEST_SIDE = 32766  # pixels; OpenCV's warps use 16-bit coordinates

_lock = threading.Lock()
_inside = 0
_restore = contextlib.ExitStack()


@contextlib.contextmanager
def silent_opencv() -> Iterator[None]:
    """Silence OpenCV for a moment; in our programs the libraries that it uses, too.

    There what goes to descriptor 2 is lost meanwhile; Python's own lines have another one, see
    `files.ensure_stderr`. Several threads may do so at a time: the last one out restores it.
    """
    global _inside
    with _lock:
        if not _inside:
            logs = cv2.utils.logging
            _restore.callback(logs.setLogLevel, logs.setLogLevel(logs.LOG_LEVEL_SILENT))
            if stderr_is_apart.is_set():
                _restore.enter_context(_no_descriptor_2())
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore.close()


@contextlib.contextmanager
def _no_descriptor_2() -> Iterator[None]:
    """Discard what is written to descriptor 2: libpng and libjpeg print there."""
    try:
        before = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _is_heif(head: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is what telephones call HEIC."""
    return head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf")


def _decode_heif(path: Path, name: str) -> Image | None:
    """Return the image of a HEIC file, (H, W, 3) uint8 BGR, upright; None if it is damaged.

    Raises:
        SourceError: the package that decodes it is not installed.
    """
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise SourceError(
            f"{name} is a HEIC picture; `pip install pillow-heif`, or save it as JPEG"
        ) from error
    try:
        file = heif.open_heif(path, convert_hdr_to_8bit=True, bgr_mode=True)
        return np.ascontiguousarray(np.asarray(file)[..., :3], np.uint8)
    except (ValueError, RuntimeError, EOFError, SyntaxError, IndexError):
        return None


def load_picture(path: Path, name: str) -> Image:
    """Return the image at `path`, (H, W, 3) uint8 BGR, turned upright by its EXIF tag.

    Nothing is printed on stderr.

    Raises:
        SourceError: it cannot be read, or is larger than `LARGEST_SIDE` or `MOST_PIXELS`.
    """
    try:
        width, height = picture_size(path) or (0, 0)
        if width * height > MOST_PIXELS:  # decoding it would take gigabytes
            raise SourceError(
                f"{name} has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million; "
                "make it smaller"
            )
        data = np.fromfile(path, np.uint8)
        with silent_opencv():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if image is None and _is_heif(data[:12].tobytes()):
                image = _decode_heif(path, name)
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise SourceError(f"{name} is damaged or not a picture; open it elsewhere to check")
    if max(image.shape) > LARGEST_SIDE:
        raise SourceError(f"{name} is larger than {LARGEST_SIDE} pixels a side; make it smaller")
    return image


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts `p2.jpg` before `p10.jpg`."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures directly in `folder`, in natural order, without hidden files."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in FOLDER_SUFFIXES and not path.name.startswith(".")
        ),
        key=lambda path: (natural_key(path), path.name),
    )


def follows(path: Path, before: Path) -> bool:
    """Whether the names differ only in their last number, by one: film_007, film_008."""
    mine, its = (re.fullmatch(r"(.*?)(\d+)(\D*)", p.name, re.DOTALL) for p in (path, before))
    if mine is None or its is None:
        return False
    return (mine[1], mine[3], int(mine[2])) == (its[1], its[3], int(its[2]) + 1)


def resembles(image: Image, before: Image) -> bool:
    """Whether an image can be the next frame of a film: same size, similar content.

    Numbered photographs of one camera differ by 40 to 80 grey levels on average over a
    coarse grid; successive frames by less than 20.
    """
    if image.shape != before.shape:
        return False
    coarse = (
        cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA) for picture in (image, before)
    )
    return bool(cv2.absdiff(*coarse).mean() < ALIKE)


def open_picture(path: Path, name: str) -> Feed:
    """Open one picture as a source of one frame.

    Raises:
        SourceError: it cannot be read, or is too large.
    """
    load_picture(path, name)
    return _show([path], name, NOMINAL_FPS)


def open_folder(folder: Path, name: str, fps: float | None = None) -> Feed:
    """Open the pictures of a folder, in natural order.

    Pictures numbered in sequence that resemble one another are a film. Any other begins a
    new epoch, so that nobody is followed from one photograph into the next. Those that
    cannot be read are left out, logged and counted in `dropped`. Folders within it are not
    searched. `fps` is the nominal rate, None = 25.

    Raises:
        SourceError: it holds no picture, or none that can be read.
    """
    paths = list_pictures(folder)
    if not paths:
        known = ", ".join(sorted(FOLDER_SUFFIXES))
        raise SourceError(f"{name} holds no pictures; put some of these in: {known}")
    return _show(paths, name, fps or NOMINAL_FPS)


def _show(paths: list[Path], name: str, fps: float) -> Feed:
    album = _Album(paths, fps)
    return Feed(
        ReadAhead(album.frames, name="picture-reader"),
        name=name,
        fps=fps,
        frame_count=len(paths),
        count_dropped=lambda: album.skipped,
    )


class _Album:
    """The frames of a list of pictures; `skipped` counts those that cannot be read."""

    def __init__(self, paths: list[Path], fps: float) -> None:
        self.skipped = 0
        self._paths = paths
        self._fps = fps

    def frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the frames: a film's at its rate, photographs two seconds apart."""
        epoch, time_s = 0, 0.0
        before: tuple[int, Image] | None = None
        for index, image in self._readable():
            if before is not None:
                last, last_image = before
                film = follows(self._paths[index], self._paths[index - 1])
                film = film and resembles(image, last_image)
                epoch += not film
                time_s += (index - last) / self._fps if film else PHOTOGRAPH_S
            before = index, image
            yield Frame(image, index, time_s, epoch)

    def _readable(self) -> Iterator[tuple[int, Image]]:
        for index, path in enumerate(self._paths):
            try:
                image = load_picture(path, path.name)
            except SourceError as error:
                self.skipped += 1
                log.warning("left out: %s", error)
            else:
                yield index, image
