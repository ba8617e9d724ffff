"""Reading the clock in a camera's pictures, and noting how old they are."""

import numpy as np
import pytest

from benchmarks import latency
from benchmarks.latency import Stopwatch, ages_table, frame_age_s, shown_ms
from structures import Frame, FrameResult, Image


def clock_picture(ms: int, width: int = 640) -> Image:
    """What the server's clock draws, see `tests/rtsp_server.py`."""
    image = np.full((360, width, 3), 0x60, np.uint8)
    block = width // 32
    image[:32] = 0x10
    for bit in range(32):
        if ms >> (31 - bit) & 1:
            image[:32, bit * block : (bit + 1) * block] = 0xEB
    return image


@pytest.mark.parametrize("width", [640, 1366])
@pytest.mark.parametrize("ms", [0, 1, 123_456_789, 0xFFFFFFFF])
def test_the_clock_is_read_bit_by_bit(ms: int, width: int) -> None:
    assert shown_ms(clock_picture(ms, width)) == ms


def test_an_age_goes_on_where_the_clock_starts_anew() -> None:
    assert frame_age_s(clock_picture(0xFFFFFFF6), 2**32 / 1000 + 0.030) == pytest.approx(0.040)


def test_the_first_second_is_left_out_and_then_the_time_is_up() -> None:
    now_s = 1000.0
    watch = Stopwatch(seconds=2.0, clock=lambda: now_s)
    result = FrameResult(Frame(clock_picture(1_001_480), 0, 0.0, arrived_s=1001.49))
    watch.write(None, result)
    assert watch.shown_ms == []
    now_s = 1001.5
    watch.write(None, result)
    assert watch.decoded_ms == pytest.approx([10])
    assert watch.shown_ms == pytest.approx([20])
    assert not watch.closed
    now_s = 1002.5
    assert watch.closed
    assert ages_table(watch).count("|") == 20


@pytest.mark.slow
def test_a_source_without_a_clock_is_one_line_with_the_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert latency.main(["samples/sample.mp4", "--seconds", "2"]) == 2
    said = capsys.readouterr().err
    assert "shows no clock" in said
    assert said.count("\n") == 1
