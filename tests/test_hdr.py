"""Films of high dynamic range look as their makers saw them, not grey."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sources.hdr import HLG, PQ, to_standard
from structures import Image
from tests.clips import Open, opening, write_clip

opened = pytest.fixture(opening)

# Linear BT.709 to linear BT.2020 by BT.2087, for R, G, B.
TO_BT2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
LUMINANCE = [0.2627, 0.6780, 0.0593]
COLOURS = [(120, 150, 200), (40, 60, 90), (255, 255, 255), (230, 90, 60), (60, 200, 80)]


def patches() -> Image:
    """Five colours side by side: skin, dark skin, white, blue and green."""
    return np.repeat(np.repeat(np.array([COLOURS], np.uint8), 16, axis=1), 48, axis=0)


def hdr(image: Image, transfer: int) -> Image:
    """A BGR image as the codes of PQ or HLG in BT.2020, its white at 203 cd/m2."""
    light = (image[..., ::-1] / 255.0) ** 2.4 @ np.array(TO_BT2020).T * 203
    codes = pq(light) if transfer == PQ else hlg(light)
    return np.round(255 * codes[..., ::-1]).astype(np.uint8)


def pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (light / 10_000) ** (2610 / 16384)
    code = (3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)
    return np.asarray(code ** (2523 / 32))


def hlg(light: NDArray[np.float64]) -> NDArray[np.float64]:
    shown = light / 1000
    scene = shown * (shown @ np.array(LUMINANCE))[..., None] ** (1 / 1.2 - 1)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_colours_come_back_and_brighter_than_white_is_white(transfer: int) -> None:
    back = to_standard(hdr(patches(), transfer), transfer, 9)
    assert back.dtype == np.uint8 and back.shape == patches().shape
    assert np.abs(back.astype(int) - patches()).max() <= 6  # 8 bit hold HDR in coarse steps
    lights = np.full((2, 2, 3), 255, np.uint8)
    assert to_standard(lights, transfer, 9).min() == 255
    assert to_standard(np.zeros_like(lights), transfer, 9).max() == 0


@pytest.mark.parametrize(
    ("tag", "transfer"), [("smpte2084", PQ), ("arib-std-b67", HLG), ("bt709", None)]
)
def test_only_a_film_tagged_so_is_changed(
    tmp_path: Path, opened: Open, tag: str, transfer: int | None
) -> None:
    stored = hdr(patches(), transfer or PQ)
    tags = f"colorprim=bt2020:transfer={tag}:colormatrix=smpte170m"
    clip = write_clip(tmp_path / "clip.mp4", [stored] * 3, settings={"x264-params": tags})
    wanted = stored if transfer is None else patches()
    for frame in opened(clip):
        differences = np.abs(frame.image.astype(int) - wanted)[:, 6::16]  # off the edges
        assert differences.max() <= 10


@pytest.mark.data
def test_the_face_in_pq_has_the_colours_of_the_sample(cases_dir: Path, opened: Open) -> None:
    image = next(f.image for f in opened(cases_dir / "hdr_pq_face.mp4") if f.time_s >= 1)
    assert image.mean((0, 1)) == pytest.approx([88, 101, 114], abs=1.5)
    assert image.std((0, 1)) == pytest.approx([36, 37, 39], abs=1.5)
    assert cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 1].mean() == pytest.approx(80, abs=2)
