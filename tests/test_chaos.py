import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from errors import SourceError
from sources.chaos import Limits, Script, open_chaos
from sources.live import LiveFeed, LiveOptions, Patience
from sources.open import open_source
from structures import Frame, SourceState
from tests.clips import level, number_of, numbered, write_clip

Opener = Callable[..., LiveFeed]

HASTY = Patience(stale_s=0.1, silence_s=0.3, retry_s=0.02, retry_soon_s=0.05, retry_late_s=0.05)
LIMITS = Limits(open_s=0.2, read_s=0.2)
SAFETY_S = 10.0  # only ever reached by a test that fails


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty numbered pictures at 100 a second."""
    return write_clip(
        tmp_path_factory.mktemp("chaos") / "clip.mp4", numbered(50), fps=Fraction(100)
    )


@pytest.fixture
def opened() -> Iterator[Opener]:
    sources = []

    def open_it(text: str) -> LiveFeed:
        sources.append(open_chaos(text, LiveOptions(patience=HASTY), LIMITS))
        return sources[-1]

    yield open_it
    for source in sources:
        source.close()


def frames_until(
    source: LiveFeed, enough: Callable[[list[Frame], list[SourceState]], bool]
) -> tuple[list[Frame], list[SourceState]]:
    """Frames and states until `enough(frames, states)`, or too long."""
    frames: list[Frame] = []
    states: list[SourceState] = []
    end_s = time.monotonic() + SAFETY_S
    while not enough(frames, states) and time.monotonic() < end_s:
        if (frame := source.take(0.01)) is not None:
            frames.append(frame)
        states.append(source.status.state)
    return frames, states


def test_without_faults_it_is_the_film_again_and_again_as_a_live_source(
    clip: Path, opened: Opener
) -> None:
    source = opened(f"chaos:{clip}")
    assert source.is_live
    assert source.name == f"chaos:{clip}"
    frames, _ = frames_until(source, lambda f, s: len(f) > 60)
    assert {frame.epoch for frame in frames} == {0}
    assert number_of(frames[0].image) < 20
    assert all(frame.arrived_s is not None for frame in frames)


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("freeze=0.15@0.2", SourceState.STALLED),
        ("lose=0.3@0.2", SourceState.RECONNECTING),
        ("refuse=0.3@0.2", SourceState.FAILED),
    ],
)
def test_each_fault_is_seen_as_its_state_and_is_got_over(
    clip: Path, opened: Opener, fault: str, state: SourceState
) -> None:
    source = opened(f"chaos:{clip}?{fault}")
    _, states = frames_until(source, lambda f, s: state in s and s[-1] is SourceState.LIVE)
    assert state in states
    assert states[-1] is SourceState.LIVE


def test_breaking_off_begins_a_new_epoch(clip: Path, opened: Opener) -> None:
    source = opened(f"chaos:{clip}?end=0.2")
    frames, _ = frames_until(source, lambda f, s: bool(f) and f[-1].epoch > 0)
    assert frames[-1].epoch == 1
    assert source.status.reconnects == 1


def test_a_change_of_size_begins_a_new_epoch_without_a_reconnect(
    clip: Path, opened: Opener
) -> None:
    source = opened(f"chaos:{clip}?resize=0.2")
    frames, _ = frames_until(source, lambda f, s: bool(f) and f[-1].epoch > 0)
    assert frames[0].size_wh == (64, 48)
    assert frames[-1].size_wh == (32, 24)
    assert source.status.reconnects == 0


def test_pictures_are_damaged_as_often_as_was_asked_for(clip: Path, opened: Opener) -> None:
    frames, _ = frames_until(opened(f"chaos:{clip}?corrupt=1"), lambda f, s: len(f) > 5)
    assert all(np.ptp(frame.image.mean(axis=(1, 2))) <= level(1) - level(0) for frame in frames)


def test_the_same_seed_loses_the_same_pictures() -> None:
    script = Script.parse("drop=0.5&seed=3&freeze=5@10,2@30&every=60")
    assert (script.drop, script.seed, len(script.freeze)) == (0.5, 3, 2)
    assert script.left_s(script.freeze, 12.0) == 3.0
    assert script.left_s(script.freeze, 91.0) == 1.0, "the script restarted"
    assert script.left_s(script.freeze, 20.0) == 0.0


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("chaos:nowhere.mp4", "no such file"),
        ("chaos:{clip}?melt=1", "unknown fault 'melt'"),
        ("chaos:{clip}?freeze=1", "not understood"),
        ("chaos:{clip}?drop=2", "not understood"),
        ("chaos:", "chaos:"),
    ],
)
def test_what_is_not_understood_is_named(clip: Path, address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(address.replace("{clip}", str(clip))).close()
