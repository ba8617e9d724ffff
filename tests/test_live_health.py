"""What a live source says of itself, and which pictures count as late; no clock runs here."""

import itertools
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from sources.live import Health, Patience
from sources.network import WINDOW_S, CatchUp, Lateness
from structures import SourceState
from tests.fakes import HASTY


def state(health: Health, now_s: float) -> SourceState:
    return health.status(now_s).state


def live_health() -> Health:
    health = Health(stale_s=1.0)
    health.opened(0.0, fps=25)
    health.picture(0.0)
    return health


def test_a_source_is_connecting_until_its_first_picture_and_then_live() -> None:
    health = Health(stale_s=1.0)
    assert state(health, 0) is SourceState.CONNECTING
    health.disconnected("nothing listens")
    assert health.status(1).detail == "nothing listens"
    health.opened(2.0, fps=25)
    assert state(health, 9.0) is SourceState.CONNECTING
    health.picture(9.0)
    assert (state(health, 9.9), health.reconnects) == (SourceState.LIVE, 0)


def test_a_source_is_stalled_when_its_newest_picture_is_a_second_old() -> None:
    health = live_health()
    assert state(health, 1.0) is SourceState.LIVE
    assert state(health, 1.1) is SourceState.STALLED
    assert health.status(5.0).detail == "no picture for 5 s"


def test_three_fresh_pictures_after_a_gap_make_it_live_again() -> None:
    health = live_health()
    for now_s in (2.0, 2.01, 2.02):  # the first was under way when the gap began
        health.picture(now_s)
        assert state(health, now_s) is SourceState.STALLED
    health.picture(2.03)
    assert state(health, 2.03) is SourceState.LIVE


def test_late_pictures_are_not_fresh_but_do_not_stall_a_source_that_is_live() -> None:
    health = live_health()
    health.picture(0.3, is_late=True)
    assert state(health, 0.3) is SourceState.LIVE
    for now_s in (2.0, 2.01, 2.02, 2.03, 2.04):
        health.picture(now_s, is_late=True)
    assert state(health, 2.04) is SourceState.STALLED


def test_three_pictures_after_a_reconnect_make_it_live_again() -> None:
    health = live_health()
    health.disconnected("stopped sending")
    assert state(health, 0.1) is SourceState.RECONNECTING
    health.opened(1.0, fps=25)
    for now_s in (1.1, 1.2):
        health.picture(now_s)
        assert state(health, now_s) is SourceState.RECONNECTING
    health.picture(1.3)
    assert (state(health, 1.3), health.reconnects) == (SourceState.LIVE, 1)


def test_a_source_is_connected_from_the_first_picture_of_a_connection_to_its_end() -> None:
    health = Health(stale_s=1.0)
    told = [health.status(0.0).connected]
    for begin_s in (0.0, 9.0):
        health.opened(begin_s, fps=25)
        told.append(health.status(begin_s).connected)
        health.picture(begin_s + 1)  # the second time it is not steady yet
        told.append(health.status(begin_s + 1).connected)
        told.append(health.status(begin_s + 5).connected)  # stalled
        health.disconnected("stopped sending")
        told.append(health.status(begin_s + 6).connected)
    assert told == [False, *2 * [False, True, True, False]]


def test_a_refusal_is_a_failure_until_a_connection_stands() -> None:
    health = live_health()
    health.disconnected("wrong password", refused=True)
    assert health.status(0.1).detail == "wrong password"
    assert state(health, 9.0) is SourceState.FAILED
    health.opened(10.0, fps=25)
    assert state(health, 10.0) is SourceState.RECONNECTING


def test_a_camera_of_one_picture_a_second_is_not_stalled_between_them() -> None:
    health = Health(stale_s=1.0)
    health.opened(0.0, fps=1)
    health.picture(0.0)
    assert state(health, 2.9) is SourceState.LIVE
    assert state(health, 3.1) is SourceState.STALLED


def lateness_of(pairs: Iterable[tuple[float | None, float]]) -> list[float]:
    lateness = Lateness()
    return [round(lateness.of(media_s, arrived_s), 3) for media_s, arrived_s in pairs]


def test_pictures_held_up_and_delivered_in_a_burst_are_late_by_as_much() -> None:
    before = [(i / 25, 100 + i / 25) for i in range(50)]
    burst = [(2 + i / 25, 103.5 + i / 1000) for i in range(38)]  # 1.5 s, and decoding
    after = [(3.52 + i / 25, 103.54 + i / 25) for i in range(10)]
    late = lateness_of([*before, *burst, *after])
    assert late[:50] == [0] * 50
    expected = [103.5 + i / 1000 - (102 + i / 25) for i in range(38)]
    assert late[50:88] == pytest.approx([s if s > 0.2 else 0 for s in expected], abs=0.002)
    assert late[88:] == [0] * 10


def test_unsteady_networks_and_drifting_clocks_make_nothing_late() -> None:
    jitter = [(i / 25, i / 25 + 0.1 * (i % 3) / 2) for i in range(500)]
    drift = [(i / 25, i / 25 * 1.001) for i in range(25 * 3600)]
    assert set(lateness_of(jitter)) == set(lateness_of(drift)) == {0}


def test_a_senders_clock_that_leaps_or_is_absent_makes_nothing_late_for_long() -> None:
    leap_back = [(i / 25 if i < 50 else (i - 50) / 25, i / 25) for i in range(100)]
    assert set(lateness_of(leap_back)) == {0}
    skipped = [(i / 25 if i < 50 else i / 25 - 1, i / 25) for i in range(300)]
    assert set(lateness_of(skipped)[50 + 25 * 5 + 26 :]) == {0}
    assert lateness_of([(None, 1.0), (None, 9.0)]) == [0, 0]


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.8])
def test_a_senders_clock_that_is_slow_makes_nothing_late_after_twenty_seconds(rate: float) -> None:
    late = lateness_of((i / 25 * rate, 100 + i / 25) for i in range(25 * 600))
    assert set(late[25 * 26 :]) == {0}
    assert max(late) <= WINDOW_S * (1 - rate) + 0.04


def test_a_clock_that_goes_right_again_tells_what_is_late() -> None:
    slow = [(i / 50, 100 + i / 25) for i in range(25 * 60)]
    right = [(30 + i / 25, 160 + i / 25) for i in range(150)]
    held_up = [(36.0, 167.0)]
    assert lateness_of([*slow, *right, *held_up])[-1] == 1.0


def test_a_clock_that_stands_still_keeps_five_seconds_of_frames() -> None:
    lateness = Lateness()
    for i in range(20_000):
        lateness.of(1.0, i / 25)
    assert len(lateness._seen) <= WINDOW_S * 25 + 1


def test_waiting_grows_to_two_seconds_at_first_and_to_thirty_after_many_failures() -> None:
    waits = list(itertools.islice(Patience().waits_s(), 80))
    assert 0.375 <= waits[0] <= 0.5
    assert 1.5 <= min(waits[5:60]) < max(waits[5:60]) <= 2.0
    assert len(set(waits[10:60])) > 40, "no two programs ask in the same rhythm"
    assert 22 <= min(waits[70:]) <= max(waits[70:]) <= 30
    assert next(HASTY.waits_s()) <= HASTY.retry_s


def decoder_of_skips() -> Any:
    return SimpleNamespace(skip_frame="DEFAULT")


def test_late_pictures_are_left_out_but_for_one_now_and_then() -> None:
    catch_up = CatchUp(decoder_of_skips())

    def leaves_out(media_s: float, is_key: bool, now_s: float) -> bool:
        return catch_up.leaves_out(catch_up.late_s(media_s, is_key, now_s), now_s)

    assert not leaves_out(0.0, True, 10.0)
    # A second's hold-up, then pictures of 40 ms that take 10 ms each.
    left_out = [leaves_out(0.04 * i, False, 11.0 + 0.01 * i) for i in range(1, 31)]
    assert left_out == [False] + [True] * 25 + [False] * 4, "the last four are barely late"


def test_a_decoder_that_stays_behind_does_key_frames_only_until_it_has_caught_up() -> None:
    decoder = decoder_of_skips()
    catch_up = CatchUp(decoder)
    for i in range(40):  # every picture takes twice the time that it lasts
        catch_up.late_s(0.04 * i, i == 0, 0.08 * i)
    assert decoder.skip_frame == "NONKEY"
    catch_up.late_s(4.0, False, 4.0)
    assert decoder.skip_frame == "NONKEY", "it has no picture that this one could refer to"
    catch_up.late_s(5.0, True, 5.0)
    assert decoder.skip_frame == "DEFAULT"
