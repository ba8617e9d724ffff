"""Clips whose grey level tells the number of the picture, and helpers to open them."""

import itertools
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from errors import SourceError
from sources.open import open_source
from tests.fakes import grey


def level(number: int) -> int:
    return 20 + 3 * number


def number_of(image) -> int:
    return round((float(image.mean()) - 20) / 3)


def numbered(count: int, size_wh=(64, 48)):
    return [grey(level(number), size_wh) for number in range(count)]


def write_clip(
    path: Path,
    pictures,
    fps=Fraction(25),
    times_ms=None,
    codec="libx264",
    pixels="yuv444p",
    options=None,
    settings=None,
) -> Path:
    """Write BGR pictures, at `times_ms` where given; `settings` are the codec's."""
    settings = dict(settings or {})
    if codec == "libx264":
        settings |= {"crf": "1", "preset": "ultrafast"}
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=settings)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000) if times_ms else 1 / fps
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
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


def opening():
    """A fixture that opens sources, closes them, and checks that no thread is left behind."""
    threads_before = threading.active_count()
    sources = []

    def open_it(what, **options):
        sources.append(open_source(str(what), **options))
        return sources[-1]

    yield open_it
    for source in sources:
        source.close()
        source.close()
    assert threading.active_count() == threads_before


def problem_of(what, **options) -> str:
    """The one line that a user reads when `what` cannot be opened."""
    with pytest.raises(SourceError) as caught:
        open_source(str(what), **options).close()
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, f"cause; remedy wanted, got {message}"
    return message


def paced(pictures):
    """The pictures, at a quick camera's pace."""
    pace = threading.Event()
    for picture in pictures:
        pace.wait(0.002)
        yield picture


def endless(pictures):
    """The pictures, then the last of them again and again, at a camera's pace."""
    return paced(itertools.chain(pictures, itertools.repeat(pictures[-1])))
