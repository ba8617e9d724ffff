"""Who looked this way, and how long: scripted heads of known truth."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import stream
from estimators.pose import head_poses
from people.attention import HELD_S, PITCH_DEG, YAW_DEG, Attention, Audience, wilson
from structures import HeadPose
from tests.assemblies import scripted as assembly_of
from tests.fakes import ListSource, ScriptedDetector, film
from tests.results import rows
from tests.test_pose import FACES, turned
from tracking.poses import GAP_S, PoseSmoother

Yaw = Callable[[float], float]

# Seconds and yaw: two looks of about 3 and 5 s, turns of 0.4 s, and a glance of 0.2 s.
TURNS = (
    (0.0, -60), (2.0, -60), (2.4, 0), (5.0, 10), (5.4, 60), (7.0, 60), (7.1, 0), (7.3, 0),
    (7.4, 60), (9.0, 55), (9.4, 5), (14.0, -10), (14.4, -60), (16.0, -60),
)  # fmt: skip


def scripted(time_s: float) -> float:
    return float(np.interp(time_s, *np.transpose(TURNS)))


def truth_s() -> float:
    """How long it is on this side of the middle of the bounds, without the glance."""
    times_s = np.arange(0, 16, 1e-3)
    here = np.abs(np.interp(times_s, *np.transpose(TURNS))) <= sum(YAW_DEG) / 2
    return 1e-3 * float((here & ~((times_s > 7) & (times_s < 7.4))).sum())


def attention(yaw: Yaw, seconds: float, fps: float, pitch: float = 0.0) -> Attention:
    """What a head gives that turns so, its poses exact and not smoothed."""
    seen = Attention()
    for i in range(round(seconds * fps) + 1):
        seen = seen.after(HeadPose(yaw(i / fps), pitch), i / fps)
    return seen


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_two_looks_last_as_long_as_they_did_at_any_frame_rate(fps: int) -> None:
    seen = attention(scripted, 16, fps)
    assert seen.attention_s == pytest.approx(truth_s(), abs=0.02 + 2 / fps)
    assert seen.known_s == pytest.approx(16)
    assert (seen.watched, seen.looking) == (True, False)


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_the_whole_way_from_noisy_landmarks_gives_the_same(fps: int) -> None:
    """Noise of 4 % of the distance of the eyes; the mean of ten heads."""
    rng, heads = np.random.default_rng(7), 10
    clean = np.stack([turned("mtcnn", scripted(i / fps), 0) for i in range(16 * fps + 1)])
    points = clean + rng.normal(0, 0.04 * 60, (len(clean), heads, 5, 2))
    poses = head_poses(points.reshape(-1, 5, 2).astype(np.float32), *FACES["mtcnn"][:2])
    smoother, looks = PoseSmoother(), dict.fromkeys(range(heads), Attention())
    for i in range(len(clean)):
        here = dict(enumerate(poses[i * heads : (i + 1) * heads]))
        known = {head: pose for head, pose in here.items() if pose is not None}
        for head, pose in smoother.update(known, i / fps).items():
            looks[head] = looks[head].after(pose, i / fps)
    seconds = [each.looked_s for each in looks.values()]
    assert np.mean(seconds) == pytest.approx(truth_s(), abs=0.3)
    assert max(seconds) - min(seconds) < 1.0


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_glance_is_no_look_and_a_blink_away_does_not_end_one(fps: int) -> None:
    def glance(time_s: float) -> float:
        return 0.0 if 1.0 <= time_s <= 1.2 else 60.0

    assert attention(glance, 3, fps).watched is False
    away = attention(lambda time_s: 60.0 - glance(time_s), 3, fps)
    assert away.attention_s == pytest.approx(3.0)


def test_between_the_bounds_nothing_changes() -> None:
    between = sum(YAW_DEG) / 2
    wobble = attention(lambda t: between + 4 * math.sin(9 * t), 5, 25)
    assert wobble.attention_s == 0.0
    begun = attention(lambda t: 0.0 if t < 1 else between + 4 * math.sin(9 * t), 5, 25)
    assert begun.attention_s == pytest.approx(5.0)


@pytest.mark.parametrize("pitch", [PITCH_DEG[1] + 1, -PITCH_DEG[1] - 1])
def test_who_looks_down_at_a_telephone_does_not_look_this_way(pitch: float) -> None:
    assert attention(lambda _: 0.0, 3, 25, pitch).watched is False
    assert attention(lambda _: 0.0, 3, 25, 0.6 * pitch).watched is True


def test_while_the_pose_is_not_known_nothing_is_counted() -> None:
    seen = attention(lambda _: 0.0, 2, 25)
    short = seen.after(HeadPose(0, 0), 2 + GAP_S / 2)
    assert short.looked_s == pytest.approx(2 + GAP_S / 2)
    long = seen.after(HeadPose(0, 0), 10.0)
    assert (long.looked_s, long.known_s, long.looking) == (2.0, 2.0, False)
    back = seen.after(HeadPose(0, 0), 1.0)
    assert (back.looked_s, back.looking) == (2.0, False), "a film that was sought back"


def test_too_short_a_time_says_nothing() -> None:
    assert (Attention().attention_s, Attention().watched) == (None, None)
    assert attention(lambda _: 0.0, HELD_S / 2, 25).watched is None


def test_the_measures_of_an_audience_are_those_of_its_people() -> None:
    looked, passed = attention(lambda _: 0.0, 3, 25), attention(lambda _: 80.0, 2, 25)
    audience = Audience.of([(looked, 4.0), (passed, 2.0), (passed, 6.0), (Attention(), 50.0)])
    low, high = wilson(1, 3)
    assert audience.as_json() == {
        "people": 3, "watchers": 1, "ratio": 0.3333, "low": low, "high": high,
        "attention_s": 3.0, "dwell_s": 4.0,
    }  # fmt: skip
    twice = audience.plus(audience).as_json()
    assert (twice["people"], twice["ratio"], twice["dwell_s"]) == (6, 0.3333, 4.0)


def test_nobody_has_no_ratio() -> None:
    assert set(Audience().as_json().values()) == {0, None}


def test_an_audience_in_fives_tells_nothing_of_one_person() -> None:
    told = Audience(14, 9, 31.5, 80.0).rounded(5).as_json()
    (low, _), (_, high) = wilson(5, 14), wilson(9, 10)
    assert told == {
        "people": 10, "watchers": 5, "ratio": None, "low": low, "high": high,
        "attention_s": None, "dwell_s": None,
    }  # fmt: skip


@pytest.mark.parametrize("people", range(5, 30))
def test_the_interval_of_an_audience_in_fives_holds_that_of_the_people(people: int) -> None:
    for watchers in range(people + 1):
        low, high = wilson(watchers, people)
        told = Audience(people, watchers).rounded(5).as_json()
        assert told["low"] <= low and high <= told["high"]


@pytest.mark.parametrize(("hits", "tries"), [(0, 1), (0, 12), (3, 7), (50, 200), (9, 9)])
def test_the_interval_holds_the_shares_that_a_test_does_not_reject(hits: int, tries: int) -> None:
    """By brute force: those at most 1.96 of their own standard deviations away."""
    shares = np.linspace(0, 1, 100_001)
    far = np.abs(hits / tries - shares) > 1.959964 * np.sqrt(shares * (1 - shares) / tries)
    kept = shares[~far]
    low, high = wilson(hits, tries)
    assert (low, high) == pytest.approx((kept.min(), kept.max()), abs=1e-4)


@pytest.mark.parametrize(("side", "told"), [(44.0, ("0.96", "true")), (20.0, ("", ""))])
def test_the_program_tells_who_looked_and_nothing_of_faces_too_small(
    side: float, told: tuple[str, str], tmp_path: Path
) -> None:
    def faces() -> ScriptedDetector:
        return ScriptedDetector([[[2.0, 2.0, 2 + side, 2 + side]]] * 25)

    source, table = ListSource(film(25)), tmp_path / "people.csv"
    factories = stream.Factories(assembly=assembly_of(faces), source=lambda *_, **__: source)
    arguments = ["--src", "film.mp4", "--no-window", "--attention", "--people", str(table)]
    assert stream.main(arguments, factories) == 0
    assert [(row["attention_s"], row["watched"]) for row in rows(table)] == [told]
