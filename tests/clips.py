"""Clips whose grey level is the number of the frame, and helpers to open them."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from errors import SourceError
from sources import Source
from sources.open import open_source
from structures import Image
from tests.fakes import grey


def level(number: int) -> int:
    return 20 + 3 * number


def number_of(image: Image) -> int:
    return round((float(image.mean()) - 20) / 3)


def numbered(count: int, size_wh: tuple[int, int] = (64, 48)) -> list[Image]:
    return [grey(level(number), size_wh) for number in range(count)]


def write_clip(
    path: Path,
    images: Sequence[Image],
    fps: Fraction = Fraction(25),
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv444p",
    options: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
) -> Path:
    """Write BGR images, at `times_ms` where given; `settings` are the codec's."""
    settings = dict(settings or {})
    if codec == "libx264":
        settings |= {"crf": "1", "preset": "ultrafast"}
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=settings)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000) if times_ms else 1 / fps
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = times_ms[index] if times_ms else index
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 44100), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def opening() -> Iterator[Callable[..., Source]]:
    """A fixture that opens sources, closes them, and checks that no thread is left behind."""
    threads_before = threading.active_count()
    sources: list[Source] = []

    def open_it(what: object, **options: Any) -> Source:
        sources.append(open_source(str(what), **options))
        return sources[-1]

    yield open_it
    for source in sources:
        source.close()
        source.close()
    assert threading.active_count() == threads_before


def problem_of(what: object, **options: Any) -> str:
    """The one line that a user reads when `what` cannot be opened."""
    with pytest.raises(SourceError) as caught:
        open_source(str(what), **options).close()
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, f"cause; remedy wanted, got {message}"
    return message


def paced(images: Iterable[Image]) -> Iterator[Image]:
    """The images, at a quick camera's pace."""
    pace = threading.Event()
    for image in images:
        pace.wait(0.002)
        yield image


def endless(images: Sequence[Image]) -> Iterator[Image]:
    """The images, then the last of them again and again, at a camera's pace."""
    return paced(itertools.chain(images, itertools.repeat(images[-1])))
