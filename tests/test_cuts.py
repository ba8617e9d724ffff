from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from structures import Frame, Image
from tracking.cuts import CutFinder
from tracking.thumbnail import thumbnail_of

SIZE_WH = 640, 360


def scene(seed: int, size_wh: tuple[int, int] = SIZE_WH, detail: int = 12) -> Image:
    """A picture with structure, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 230, (detail, detail * 16 // 9, 3)).astype(np.float32)
    image = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def noisy(image: Image, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def epochs(images: Iterable[Image], finder: CutFinder | None = None) -> list[int]:
    """The epoch of each image, as 25 frames a second."""
    finder = finder or CutFinder()
    return [finder.mark(Frame(image, i, i / 25)).epoch for i, image in enumerate(images)]


@pytest.mark.parametrize(
    "size_wh",
    [pytest.param((1920, 1080), marks=pytest.mark.slow), (640, 360), (176, 144), (40, 30)],
)
def test_a_hard_cut_begins_a_new_epoch_whatever_the_size(size_wh: tuple[int, int]) -> None:
    shots = [noisy(scene(seed, size_wh), i) for seed in (1, 2, 1) for i in range(4)]
    assert epochs(shots) == [0] * 4 + [1] * 4 + [2] * 4


def test_a_cut_between_pictures_of_other_brightness_is_one() -> None:
    assert epochs([scene(1), scene(1), scene(2) // 4, scene(2) // 4]) == [0, 0, 1, 1]


def test_fading_out_and_in_is_no_cut_and_fading_into_another_scene_is_one() -> None:
    down, up = np.linspace(1, 0, 12), np.linspace(0, 1, 12)
    out = [noisy((scene(1) * gain).astype(np.uint8), i) for i, gain in enumerate(down)]
    back, other = (
        [noisy((scene(seed) * gain).astype(np.uint8), i) for i, gain in enumerate(up)]
        for seed in (1, 2)
    )
    assert set(epochs(out + back)) == {0}
    after = epochs(out + other)
    assert after[:12] == [0] * 12 and after[-1] == 1


def test_a_dissolve_is_no_cut() -> None:
    one, other = scene(1).astype(np.float32), scene(2).astype(np.float32)
    mixed = [(one * (1 - t) + other * t).astype(np.uint8) for t in np.linspace(0, 1, 25)]
    assert set(epochs(mixed)) == {0}


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("gain", [2.6, 5.0, 40.0])
def test_a_flash_is_no_cut(frames: int, gain: float) -> None:
    calm = [noisy(scene(1), i) for i in range(5)]
    bright = [np.clip(scene(1) * gain, 0, 255).astype(np.uint8)] * frames
    assert set(epochs([*calm, *bright, *calm])) == {0}


@pytest.mark.parametrize("step_px", [5, 30, 60])
def test_a_camera_that_shakes_or_sweeps_makes_no_cut(step_px: int) -> None:
    wide = scene(3, (2560, 360))
    sweep = [wide[:, x : x + 640] for x in range(0, 1800, step_px)]
    shake = [wide[:, x : x + 640] for x in (100, 100 + step_px, 100, 100 + step_px)]
    assert set(epochs(sweep)) == set(epochs(shake)) == {0}


def test_somebody_who_walks_close_by_a_fixed_camera_makes_no_cut() -> None:
    def passing(x: int) -> Image:
        image = scene(4)
        image[40:, max(x, 0) : max(x + 260, 0)] = (40, 60, 90)
        return image

    assert set(epochs([passing(x) for x in range(-260, 640, 180)])) == {0}


def test_breaks_of_the_source_stay_and_are_never_cuts_too() -> None:
    finder = CutFinder()
    frames = [Frame(scene(i // 2), i, i / 25, epoch=i // 2) for i in range(6)]
    assert [finder.mark(frame).epoch for frame in frames] == [0, 0, 1, 1, 2, 2]
    cut = finder.mark(Frame(scene(9), 6, 0.24, epoch=2))
    assert cut.epoch == 3
    assert finder.mark(Frame(scene(8), 7, 0.28, epoch=3)).epoch == 4


def test_a_frame_gets_its_epoch_and_its_thumbnail_and_stays_as_it_was() -> None:
    finder = CutFinder()
    first, second = Frame(scene(1), 4, 0.5), Frame(scene(2), 7, 0.62, arrived_s=3.0)
    assert finder.mark(first).epoch == 0
    marked = finder.mark(second)
    assert marked.epoch == 1
    assert marked.thumbnail is not None
    np.testing.assert_array_equal(marked.thumbnail, thumbnail_of(second))
    assert (marked.index, marked.time_s, marked.arrived_s) == (7, 0.62, 3.0)
    assert marked.image.base is second.image.base


def test_a_clock_that_is_set_back_begins_a_new_epoch_and_its_jitter_does_not() -> None:
    finder = CutFinder()
    times_s = [5.0, 5.04, 4.9, 5.2, 0.0, 0.04]
    marked = [finder.mark(Frame(scene(1), i, time_s)) for i, time_s in enumerate(times_s)]
    assert [frame.epoch for frame in marked] == [0, 0, 0, 0, 1, 1]
