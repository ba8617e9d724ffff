from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from outputs.recording.encoder import BY_LOAD, ColourConverter, Encoding, PresetChoice
from outputs.recording.h264 import H264File
from tests.recordings import grey, levels, shot, times_of

CALM, CROWDED = BY_LOAD


class Encoder:
    """Tells a choice of pictures at 25 a second."""

    def __init__(self, fixed: str | None = None) -> None:
        self.choice = PresetChoice(fixed)
        self.count = 0

    def work(self, seconds: int, busy: float, crowded: bool) -> str:
        """Take the share `busy` of each picture's time; returns the preset afterwards."""
        for _ in range(25 * seconds):
            began_s = self.count / 25
            self.choice.note(began_s, began_s + busy / 25, crowded)
            self.count += 1
        return self.choice.preset


def test_the_preset_is_the_slower_one_after_a_calm_while_and_the_quicker_as_soon_as_crowded() -> (
    None
):
    encoder = Encoder()
    assert encoder.work(10, 0.2, crowded=False) == CROWDED
    assert encoder.work(15, 0.2, crowded=False) == CALM
    assert encoder.work(3, 0.9, crowded=False) == CALM  # busy, but in time
    assert encoder.work(3, 0.9, crowded=True) == CROWDED
    assert encoder.work(10, 0.2, crowded=False) == CROWDED
    assert encoder.work(5, 0.6, crowded=False) == CROWDED  # no longer calm: counted again
    assert encoder.work(15, 0.2, crowded=False) == CROWDED
    assert encoder.work(10, 0.2, crowded=False) == CALM


def test_a_preset_that_was_asked_for_stays() -> None:
    encoder = Encoder("medium")
    assert encoder.work(60, 0.1, crowded=False) == "medium"
    assert encoder.work(60, 2.0, crowded=True) == "medium"


def written(path: Path, presets: Sequence[str]) -> tuple[H264File, int]:
    """A file whose preset changes each 30 pictures, and how many it was given."""
    file = H264File(path, (160, 90), Encoding(presets[0], 25, 25.0), 0.0)
    count = 0
    for preset in presets:
        for _ in range(30):
            file.write(shot(count, 0)[0], count / 25, 0, preset)
            count += 1
    file.finish()
    return file, count


def test_a_file_continues_with_another_preset_and_loses_nothing(tmp_path: Path) -> None:
    file, count = written(tmp_path / "out.mp4", [CROWDED, CALM, CROWDED])
    assert levels(file.path) == pytest.approx([grey(i) for i in range(count)], abs=3)
    assert times_of(file.path) == pytest.approx(np.arange(count) / 25, abs=0.001)


def test_a_preset_that_would_need_other_headers_is_not_gone_on_with(tmp_path: Path) -> None:
    file, count = written(tmp_path / "out.mp4", ["ultrafast", "slower"])
    assert len(levels(file.path)) == count


@pytest.mark.parametrize(
    ("bgr", "yuv"),  # by ITU-R BT.709, in 16..235
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 255), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((255, 0, 0), (32, 240, 118)),
    ],
)
def test_colours_are_converted_by_bt_709(
    bgr: tuple[int, int, int], yuv: tuple[int, int, int]
) -> None:
    frame = ColourConverter().convert(np.full((32, 48, 3), bgr, np.uint8))
    planes = frame.to_ndarray()
    got = planes[:32].mean(), planes[32:40].mean(), planes[40:].mean()
    assert got == pytest.approx(yuv, abs=1.5)


def test_a_picture_that_is_a_view_or_read_only_is_converted_as_its_copy_would_be() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (32, 80, 3), np.uint8)
    view = wide[:, 16:64]
    copy = view.copy()
    copy.flags.writeable = False
    converter = ColourConverter()
    want, got = converter.convert(copy).to_ndarray(), converter.convert(view).to_ndarray()
    assert np.array_equal(want, got)
