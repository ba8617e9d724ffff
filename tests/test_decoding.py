"""Films whose pixels or times need care before they are what their maker meant."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from sources import Source
from structures import Image
from tests.clips import opening, with_matrix, write_clip

Open = Callable[[Path], Source]


@pytest.fixture
def opened() -> Iterator[Open]:
    yield from opening()


def quadrants(size_wh: tuple[int, int] = (64, 48)) -> Image:
    """Dark grey, blue, green and red, from the upper left corner row by row."""
    width, height = size_wh
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 2, width // 2 :] = (200, 40, 40)
    image[height // 2 :, : width // 2] = (40, 200, 40)
    image[height // 2 :, width // 2 :] = (40, 40, 200)
    return image


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-1, 0, 0, 1), quadrants()[:, ::-1]),
        ((1, 0, 0, -1), quadrants()[::-1]),
        ((0, 1, 1, 0), quadrants().swapaxes(0, 1)),
        ((0, -1, -1, 0), quadrants()[::-1, ::-1].swapaxes(0, 1)),
        ((0, 0, 0, 0), quadrants()),
    ],
)
def test_a_mirrored_film_is_shown_as_it_was_seen(
    tmp_path: Path, opened: Open, matrix: tuple[int, int, int, int], expected: Image
) -> None:
    source = opened(with_matrix(write_clip(tmp_path / "clip.mp4", [quadrants()] * 3), matrix))
    assert source.size_wh == (expected.shape[1], expected.shape[0])
    for frame in source:
        assert np.abs(frame.image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("aspect", "size_wh"),
    [("2:1", (128, 48)), ("16:11", (93, 48)), ("1:2", (64, 96)), ("1:100", (64, 48))],
)
def test_pixels_that_are_not_square_are_made_so(
    tmp_path: Path, opened: Open, aspect: str, size_wh: tuple[int, int]
) -> None:
    settings = {"x264-params": "sar=" + aspect.replace(":", "/")}
    clip = write_clip(tmp_path / "clip.mp4", [quadrants()] * 3, settings=settings)
    source = opened(clip)
    assert source.size_wh == size_wh
    image = next(source).image.astype(int)
    height, width = image.shape[:2]
    for x, y in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        wanted = quadrants()[round(48 * y), round(64 * x)].astype(int)
        assert np.abs(image[round(height * y), round(width * x)] - wanted).max() < 8


def test_of_several_streams_of_pictures_the_default_one_is_shown(
    tmp_path: Path, opened: Open
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", 25) for _ in range(2)]
        for stream, (width, height) in zip(streams, [(64, 48), (96, 64)], strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        streams[1].disposition = av.stream.Disposition.default
        for _ in range(10):
            for stream in streams:
                picture = quadrants((stream.width, stream.height))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        for stream in streams:
            container.mux(stream.encode(None))
    source = opened(path)
    assert source.size_wh == (96, 64)
    assert len(list(source)) == 10
