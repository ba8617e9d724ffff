import itertools
from collections.abc import Sequence

import pytest

from program.load import LADDER, Effort, LoadControl


def levels(
    control: LoadControl, latencies_ms: Sequence[float], start_s: float = 0.0, fps: float = 25.0
) -> list[int]:
    """The step of the ladder after each frame of the given ages."""
    steps = []
    for index, latency_ms in enumerate(latencies_ms):
        control.note(latency_ms, start_s + index / fps)
        steps.append(LADDER.index(control.effort))
    return steps


def test_each_step_saves_more_and_says_what() -> None:
    assert LADDER[0] == Effort() and not LADDER[0].label
    for before, after in itertools.pairwise(LADDER):
        assert after.search_s >= before.search_s
        assert after.estimate_gap_s >= before.estimate_gap_s
        assert after.coarse >= before.coarse
        assert after.label


def test_frames_in_time_change_nothing() -> None:
    assert set(levels(LoadControl(150), [100] * 500)) == {0}


def test_one_late_frame_changes_nothing() -> None:
    assert set(levels(LoadControl(150), ([60] * 14 + [400]) * 20)) == {0}


def test_late_frames_cut_back_step_by_step_down_to_the_last() -> None:
    steps = levels(LoadControl(150), [300] * 400)
    assert steps[0] == 1
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(steps))
    assert steps[-1] == len(LADDER) - 1


def test_what_was_cut_back_is_given_back_once_there_has_been_room() -> None:
    control = LoadControl(150)
    levels(control, [300] * 100)
    assert levels(control, [50] * 1500, start_s=4.0)[-1] == 0


def test_between_room_and_limit_it_stays_as_it_is() -> None:
    control = LoadControl(150)
    (step,) = levels(control, [300])
    assert set(levels(control, [120] * 500, start_s=1.0)) == {step}


def test_giving_back_what_is_still_needed_is_tried_ever_less_often() -> None:
    control, now_s, tries = LoadControl(150), 0.0, []
    for _ in range(6000):
        latency_ms = 300 if LADDER.index(control.effort) == 0 else 50
        before = control.effort
        control.note(latency_ms, now_s)
        if before != LADDER[0] and control.effort == LADDER[0]:
            tries.append(now_s)
        now_s += 0.04
    waits = [b - a for a, b in itertools.pairwise(tries)]
    assert len(waits) >= 2
    assert all(b > 1.5 * a for a, b in itertools.pairwise(waits))


def test_a_limit_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        LoadControl(0)
