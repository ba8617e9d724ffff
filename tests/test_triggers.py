"""What starts a clip of `--record-on`, and how long it goes on; without files."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from people.crowd import Crowd
from people.records import Recorder
from people.triggers import AFTER_S, BEFORE_S, LONGEST_S, Clip, Moment, Watch, parse_triggers
from structures import FrameResult, HeadPose, Image
from tests.results import result, track, with_state
from tests.test_records import check
from tests.walks import DOOR, DOWN, HALL, Place, hidden, straight

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Watcher:
    """A sink that notes the clips of its frames."""

    wants_picture = closed = False

    def __init__(self, triggers: str, crowd: Crowd | None = None) -> None:
        self.watch = Watch(parse_triggers(triggers), Recorder(crowd or Crowd(attention=True)))
        self.clips: list[Clip] = []
        self.times: dict[Clip, list[float]] = {}

    def write(self, picture: Image | None, result: FrameResult) -> None:
        time_s = result.frame.time_s
        clip = self.watch.look(result, NOON + timedelta(seconds=time_s))
        if clip is not None:
            self.times.setdefault(clip, []).append(time_s)
            self.clips = list(self.times)

    refresh = write

    def close(self) -> None:
        self.watch.end()

    def watch_all(self, results: Iterable[FrameResult]) -> "Watcher":
        for one in results:
            self.write(None, one)
        self.close()
        return self

    @property
    def spans(self) -> list[tuple[float, float]]:
        """The first and the last frame's time of each clip, without what is before it."""
        return [(times[0], times[-1]) for times in self.times.values()]

    @property
    def told(self) -> list[list[tuple[str, float, float, list[int]]]]:
        """The triggers of each clip's record."""
        return [
            [(t["trigger"], t["begin_s"], t["end_s"], t["ids"]) for t in clip.told["triggers"]]
            for clip in self.clips
        ]


def in_view(*spans: tuple[float, float], end_s: float = 60.0, fps: int = 5) -> list[FrameResult]:
    """Frames in which somebody is in view at these times, each span another person."""
    results = []
    for i in range(round(end_s * fps)):
        there = [n for n, (a, b) in enumerate(spans, start=1) if a <= i / fps < b]
        results.append(result(i, [track(n) for n in there], time_s=i / fps))
    return results


def test_a_clip_lasts_from_the_trigger_to_ten_seconds_after_it() -> None:
    watcher = Watcher("person").watch_all(in_view((20, 22)))
    assert watcher.spans[0] == pytest.approx((20.0, 21.8 + AFTER_S), abs=0.2)
    assert len(watcher.clips) == 1
    assert watcher.told == [[("person", 20.0, 21.8, [1])]]


def test_what_happens_meanwhile_prolongs_the_clip() -> None:
    watcher = Watcher("person").watch_all(in_view((20, 21), (28, 29), (45, 46)))
    assert [begin for begin, _ in watcher.spans] == [20.0, 45.0]
    assert watcher.spans[0][1] == pytest.approx(28.8 + AFTER_S, abs=0.2)
    assert watcher.told[0] == [("person", 20.0, 20.8, [1]), ("person", 28.0, 28.8, [2])]
    assert [person["id"] for person in watcher.clips[0].told["people"]] == [1, 2]


def test_people_are_told_who_were_there_shortly_before_and_whether_they_left() -> None:
    place = Place(HALL)
    watcher = Watcher("zone:hall", place.crowd)
    place.sinks.append(watcher)
    aside = straight((0, 40, 40), (1, 40, 40))  # is gone before the other one comes
    place.watch({1: aside, 2: straight((2, 320, 240), (30, 320, 240))}, seconds=15)
    watcher.close()
    people = watcher.clips[0].told["people"]
    assert [(each["id"], each["left"]) for each in people] == [(1, True), (2, True)]
    assert people[1]["zones"]["hall"] == pytest.approx(13, abs=0.2)


@pytest.mark.parametrize("fps", [5, 25])
def test_a_zone_triggers_as_long_as_somebody_is_in_it_and_a_line_as_it_is_crossed(fps: int) -> None:
    place = Place(DOOR, HALL)  # DOWN is at y = 100 + 75 t: in the hall to 3.5 s, at the door at 1.9
    watchers = [Watcher(name, place.crowd) for name in ("zone:hall", "line:door", "zone:door")]
    place.sinks += watchers
    place.watch({3: DOWN}, fps=fps, seconds=20)
    for watcher in watchers:
        watcher.close()
    (_, begin, end, ids), *more = watchers[0].told[0]
    assert (ids, more) == ([3], [])
    assert begin == pytest.approx(20 / 75 + 0.2, abs=1.5 / fps)
    assert 3.4 < end < 5.3  # a stay ends after a second outside, or with the visit
    (name, begin, end, ids), *more = watchers[1].told[0]
    assert (name, ids, more) == ("line:door", [3], [])
    assert begin == end == pytest.approx((140 + 15) / 75, abs=1.5 / fps)
    assert not watchers[2].clips  # there is no zone of that name


def test_nobody_crosses_a_line_by_being_beyond_it() -> None:
    place = Place(DOOR)
    watcher = Watcher("line:door", place.crowd)
    place.sinks.append(watcher)
    place.watch({1: straight((0, 320, 300), (5, 320, 400)), 2: hidden(DOWN, 0, 2.5)}, seconds=5)
    assert not watcher.clips


def looking(*spans: tuple[float, float], end_s: float = 40.0) -> list[FrameResult]:
    """One person, always there, who turns to the camera at these times."""
    results = []
    for i in range(round(end_s * 10)):
        here = any(begin <= i / 10 < end for begin, end in spans)
        pose = HeadPose(0.0 if here else 60.0, 0.0)
        results.append(replace(result(i, [track(1)], time_s=i / 10), poses={1: pose}))
    return results


def test_attention_triggers_once_it_was_long_enough_and_while_it_goes_on() -> None:
    watcher = Watcher("attention>3s").watch_all(looking((2, 4), (6, 9)))
    ((name, begin, end, ids),) = watcher.told[0]
    assert (name, ids) == ("attention>3s", [1])
    assert (begin, end) == pytest.approx((7.1, 9.3), abs=0.2)
    assert not Watcher("attention>5.5s").watch_all(looking((2, 4), (6, 9))).clips


def test_a_lost_camera_ends_the_clip() -> None:
    frames = in_view((20, 40))
    watcher = Watcher("person")
    for one in frames[:110]:
        watcher.write(None, one)
    assert watcher.watch.look(with_state(frames[109], "stalled"), NOON) is watcher.clips[0]
    unsteady = with_state(frames[109], "reconnecting", connected=True)
    assert watcher.watch.look(unsteady, NOON) is watcher.clips[0]
    assert watcher.watch.look(with_state(frames[109], "reconnecting"), NOON) is None
    assert watcher.told == [[("person", 20.0, 21.8, [1])]]
    for one in frames[150:]:
        watcher.write(None, one)
    assert watcher.spans[1][0] == 30.0 and not watcher.clips[1].goes_on


def test_another_clip_goes_on_after_an_hour() -> None:
    frames = [result(i, [track(1)], time_s=5.0 * i) for i in range(1000)]
    watcher = Watcher("person").watch_all(frames)
    assert watcher.spans == [(0.0, LONGEST_S - 5), (LONGEST_S, 4995.0)]
    assert [clip.goes_on for clip in watcher.clips] == [False, True]


def test_a_clock_that_is_set_back_and_another_size_end_the_clip() -> None:
    early = [result(i, [track(1)], time_s=100 + i / 5) for i in range(10)]
    late = [result(i, [track(2)], time_s=i / 5, epoch=1) for i in range(10)]
    assert Watcher("person").watch_all([*early, *late]).spans == [(100.0, 101.8), (0.0, 1.8)]
    place = Place()
    watcher = Watcher("person", place.crowd)
    place.sinks.append(watcher)
    place.watch({1: DOWN}, seconds=2).watch({2: DOWN}, seconds=2, epoch=1, size_wh=(320, 240))
    assert len(watcher.clips) == 2 and not watcher.clips[1].goes_on


def test_the_record_is_what_the_schema_says() -> None:
    watcher = Watcher("person,attention>3s").watch_all(looking((2, 9)))
    begin, end = (Moment(s, NOON + timedelta(seconds=s)) for s in (0.0, 21.9))
    record = check(watcher.clips[0].record("cam-001.mp4", begin, end))
    assert list(record)[:6] == ["schema", "type", "run", "camera", "utc", "file"]
    assert record["end_utc"] == "2026-01-31T12:00:21.900+00:00"
    assert BEFORE_S == AFTER_S == 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("person", ["person"]),
        ("zone:door, line:way-in ,attention>3s", ["zone:door", "line:way-in", "attention>3s"]),
        ("attention>0.5s,attention>2m", ["attention>0.5s", "attention>120s"]),
    ],
)
def test_triggers_are_read_as_they_are_told(text: str, told: list[str]) -> None:
    assert [str(trigger) for trigger in parse_triggers(text)] == told


@pytest.mark.parametrize(
    "text", ["", "person,", "zone", "zone:", "zone:a b", "attention>3", "attention>s", "face"]
)
def test_what_is_no_trigger_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"want person, zone:NAME, line:NAME or attention>3s"):
        parse_triggers(text)
