import math
from collections.abc import Sequence

import numpy as np
import pytest

from structures import Estimates, Gender, Smoothed
from tracking.smoothing import (
    EVERY_S,
    MEMORY_S,
    NOISE_SHARE,
    SETTLED_S,
    SYSTEMATIC_SHARE,
    TrackSmoother,
    robust_mean,
)

ONE = np.ones(1, np.float32)
FPS = 25.0
MEMORY = round(MEMORY_S * FPS)  # frames


def one(
    age: float = 40.0,
    female: float = 0.5,
    spread: float = 7.0,
    ethnicity: Sequence[float] | None = None,
) -> Estimates:
    ages, spreads, females = (np.array([value], np.float32) for value in (age, spread, female))
    ethnicities = None if ethnicity is None else np.array([ethnicity], np.float32)
    return Estimates(ages, spreads, females, ethnicities)


Values = Sequence[float] | np.ndarray | None


def answer_of(smoother: TrackSmoother, track_id: int) -> Smoothed:
    answer = smoother.current(track_id)
    assert answer is not None
    return answer


def follow(
    ages: Values = None,
    females: Values = None,
    weights: Values = None,
    spread: float = 7.0,
    smoother: TrackSmoother | None = None,
    fps: float = FPS,
) -> list[Smoothed]:
    """Feed one estimate per frame to track 1; return what was believed after each."""
    smoother = smoother or TrackSmoother()
    n = max(len(values) for values in (ages, females) if values is not None)
    columns = (
        np.full(n, usual) if values is None else values
        for values, usual in ((ages, 40.0), (females, 0.5), (weights, 1.0))
    )
    believed = []
    for index, (age, female, weight) in enumerate(zip(*columns, strict=True)):
        smoother.update([1], one(age, female, spread), np.array([weight], np.float32), index / fps)
        believed.append(answer_of(smoother, 1))
    return believed


def noisy(n: int, mean: float = 40.0, deviation: float = 4.0, seed: int = 0) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0, deviation, n)


def test_a_single_estimate_is_reported_as_it_is_with_its_own_spread() -> None:
    (answer,) = follow([33.0])
    assert answer.age_years == pytest.approx(33)
    assert answer.age_uncertainty_years == pytest.approx(7)
    assert (answer.samples, answer.converged) == (1, False)


def test_a_poor_look_is_less_certain_than_a_good_one() -> None:
    (poor,) = follow([33.0], weights=[0.25])
    want = math.hypot(SYSTEMATIC_SHARE * 7, NOISE_SHARE * 7 / 0.5)
    assert poor.age_uncertainty_years == pytest.approx(want, rel=1e-3)


def test_the_answer_says_how_much_its_looks_weighed_on_average() -> None:
    weights = [0.4] * 50 + [0.8] * 50
    answers = follow([40.0] * 100, weights=weights)
    assert answers[49].evidence == pytest.approx(0.4, abs=0.01)
    assert answers[-1].evidence == pytest.approx(0.6, abs=0.02)


def test_uncertainty_shrinks_with_evidence_to_a_floor_and_not_below() -> None:
    believed = [answer.age_uncertainty_years for answer in follow(np.full(1000, 40.0))]
    assert (np.diff(believed[:MEMORY]) < 0).all()
    assert SYSTEMATIC_SHARE * 7 < believed[-1] < (SYSTEMATIC_SHARE + 0.01) * 7


def test_looks_far_apart_are_worth_more_than_as_many_in_a_row() -> None:
    smoother = TrackSmoother()
    for look in range(5):
        smoother.update([1, 2], two(40.0, 40.0), np.ones(2, np.float32), look / FPS)
    together = answer_of(smoother, 1).age_uncertainty_years
    smoother = TrackSmoother()
    for look in range(5):
        smoother.update([1], one(), ONE, 4.0 * look)
    apart = answer_of(smoother, 1).age_uncertainty_years
    noise = 7 * NOISE_SHARE
    assert apart == pytest.approx(math.hypot(7 * SYSTEMATIC_SHARE, noise / math.sqrt(5)), rel=1e-3)
    assert together**2 - apart**2 > noise**2 / 2


def two(first: float, second: float) -> Estimates:
    ages = np.array([first, second], np.float32)
    return Estimates(ages, np.full(2, 7, np.float32), np.full(2, 0.5, np.float32))


@pytest.mark.slow
def test_the_shown_age_rarely_changes_after_a_second_of_independent_noise() -> None:
    changes = []
    for seed in range(20):
        shown = [round(answer.age_years) for answer in follow(noisy(275, seed=seed))]
        changes.append(np.count_nonzero(np.diff(shown[25:])))
        assert abs(shown[-1] - 40) <= 3
        assert np.ptp(shown[25:]) <= 2
    assert np.mean(changes) <= 0.5  # in ten seconds; the raw ages change 9 times in 10 frames


def test_a_blurred_frame_hardly_moves_the_age() -> None:
    ages = noisy(60)
    spoilt = np.insert(ages, 40, 90.0)
    plain, hit = follow(ages), follow(spoilt)
    assert abs(hit[40].age_years - plain[39].age_years) < 0.5


def test_a_wrong_start_is_outvoted_within_a_few_frames() -> None:
    believed = follow(np.concatenate([np.full(3, 70.0), noisy(40, mean=30, deviation=2)]))
    assert abs(believed[9].age_years - 30) < 3
    assert abs(believed[-1].age_years - 30) < 2


def test_another_person_on_the_same_track_is_believed_once_memory_is_mostly_theirs() -> None:
    smoother = TrackSmoother()
    ages = np.concatenate([noisy(100, mean=60), noisy(MEMORY, mean=25, seed=1)])
    believed = follow(ages, smoother=smoother)
    assert abs(believed[99].age_years - 60) < 3
    assert abs(believed[-1].age_years - 25) < 3


def test_ages_that_scatter_more_than_the_model_admits_are_less_certain() -> None:
    calm, wild = follow(noisy(60, deviation=2)), follow(noisy(60, deviation=9))
    assert wild[-1].age_uncertainty_years > calm[-1].age_uncertainty_years + 0.3


def test_evidence_that_alternates_around_a_half_never_gives_a_label() -> None:
    believed = follow(females=np.tile([0.45, 0.55], 500))
    assert {answer.gender for answer in believed} == {Gender.UNSURE}


def test_honest_evidence_settles_within_few_samples() -> None:
    believed = follow(females=np.full(10, 0.89))
    assert believed[0].gender is Gender.UNSURE
    assert [a.gender for a in believed].index(Gender.FEMALE) < 8
    assert follow(females=[0.95])[-1].gender is Gender.FEMALE
    assert follow(females=[0.05])[-1].gender is Gender.MALE


def test_gender_is_even_handed() -> None:
    females = np.random.default_rng(8).beta(4, 2, 100)
    swapped = {Gender.FEMALE: Gender.MALE, Gender.MALE: Gender.FEMALE, Gender.UNSURE: Gender.UNSURE}
    for answer, mirror in zip(follow(females=females), follow(females=1 - females), strict=True):
        assert answer.female_prob == pytest.approx(1 - mirror.female_prob, abs=1e-6)
        assert answer.gender is swapped[mirror.gender]


def test_a_label_stands_until_the_other_side_passes_its_own_bar() -> None:
    believed = follow(females=np.concatenate([np.full(30, 0.9), np.full(200, 0.08)]))
    labels = [answer.gender for answer in believed]
    turn = labels.index(Gender.MALE)
    assert set(labels[:turn]) == {Gender.FEMALE}
    assert set(labels[turn:]) == {Gender.MALE}
    assert believed[turn - 1].female_prob < 0.2  # long past a half, and still the old label
    assert believed[turn].female_prob <= 0.15


def test_several_later_looks_turn_a_label_that_a_few_first_ones_set() -> None:
    believed = follow(females=np.concatenate([np.full(5, 0.95), np.full(60, 0.05)]))
    labels = [answer.gender for answer in believed]
    assert labels[4] is Gender.FEMALE
    assert labels.index(Gender.MALE) < 50  # within two seconds


def test_a_gender_that_is_wrong_all_the_time_grows_no_surer() -> None:
    believed = [answer.female_prob for answer in follow(females=np.full(300, 0.9))]
    assert believed[-1] == pytest.approx(believed[50], abs=0.03)
    assert believed[-1] < 0.95


def test_certain_probabilities_are_bounded_so_that_belief_can_turn() -> None:
    believed = follow(females=np.concatenate([np.ones(100), np.zeros(300)]))
    assert believed[99].female_prob < 0.993
    assert believed[-1].gender is Gender.MALE


def test_a_good_look_moves_gender_more_than_a_poor_one() -> None:
    good, poor = (follow(females=[0.8], weights=[w])[0].female_prob for w in (1.0, 0.1))
    assert 0.5 < poor < good < 0.8


def test_ethnicity_is_the_mean_weighted_by_evidence_or_none() -> None:
    smoother = TrackSmoother()
    first, second = [0.6, 0.1, 0.1, 0.1, 0.1], [0.2, 0.5, 0.1, 0.1, 0.1]
    smoother.update([1], one(ethnicity=first), ONE, 0)
    smoother.update([1], one(ethnicity=second), ONE * np.float32(0.25), EVERY_S)
    got = answer_of(smoother, 1).ethnicity_probs
    assert got is not None
    np.testing.assert_allclose(got, np.average([first, second], axis=0, weights=[4, 1]), rtol=1e-5)
    assert got.dtype == np.float32
    assert follow([40.0])[0].ethnicity_probs is None


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_converged_track_is_due_every_fifth_of_a_second_at_any_number_of_frames(
    fps: int,
) -> None:
    smoother = TrackSmoother()
    frames = 60 * fps
    for index, age in enumerate(noisy(frames)):
        if smoother.is_due(1, index / fps, least_gap_s=0.12):
            smoother.update([1], one(age, 0.95), ONE, index / fps)
    assert answer_of(smoother, 1).converged
    assert smoother.estimates_made + smoother.estimates_saved == frames
    assert answer_of(smoother, 1).samples == smoother.estimates_made
    assert 60 / EVERY_S <= smoother.estimates_made <= 60 / EVERY_S + 25


def test_five_and_sixty_frames_a_second_give_the_same_answer() -> None:
    """The noise is that of a film: an AR(1) process in time, which any camera samples."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=60 * 20)
    noise = np.zeros(len(steps))
    kept = math.exp(-1 / 60 / 0.48)
    for index in range(1, len(steps)):
        noise[index] = kept * noise[index - 1] + math.sqrt(1 - kept**2) * steps[index]
    fast, slow = (
        follow(40 + 3 * noise[::every], 1 / (1 + np.exp(-2.5 - noise[::every])), fps=60 / every)
        for every in (1, 12)
    )
    for second in (2, 5, 19):
        one, other = fast[60 * second], slow[5 * second]
        assert one.age_years == pytest.approx(other.age_years, abs=1)
        assert one.female_prob == pytest.approx(other.female_prob, abs=0.02)
        uncertain = one.age_uncertainty_years, other.age_uncertainty_years
        assert uncertain[0] == pytest.approx(uncertain[1], rel=0.01)
    assert [a.gender for a in fast[::12]][5:] == [a.gender for a in slow][5:]


def test_a_converged_track_is_due_again_at_once_when_estimates_disagree() -> None:
    smoother = TrackSmoother()
    assert follow(noisy(64), np.full(64, 0.95), smoother=smoother)[-1].converged
    assert not smoother.is_due(1, 64 / FPS)
    for index in range(70, 95, 5):
        smoother.update([1], one(70.0, 0.95), ONE, index / FPS)
    assert not answer_of(smoother, 1).converged
    assert smoother.is_due(1, 91 / FPS)


def test_a_gender_that_turns_is_not_converged() -> None:
    believed = follow(females=np.concatenate([np.full(64, 0.9), np.full(200, 0.2)]))
    between = [a for a in believed[64:] if 0.2 < a.female_prob < 0.8]
    assert believed[63].converged
    assert between
    assert not any(answer.converged for answer in between)


def test_a_face_that_stays_undecided_counts_as_converged_after_some_seconds() -> None:
    settled = round(SETTLED_S * FPS)
    believed = follow(noisy(settled + 10), np.full(settled + 10, 0.5))
    assert not any(answer.converged for answer in believed[: settled - 1])
    assert believed[-1].converged


def test_an_unknown_track_is_due_and_a_time_that_went_back_makes_all_due() -> None:
    smoother = TrackSmoother()
    assert smoother.is_due(5, 0)
    follow(noisy(64), np.full(64, 0.95), smoother=smoother)
    assert smoother.is_due(1, 0.12)


def test_tracks_in_one_batch_do_not_touch_each_other() -> None:
    together, alone = TrackSmoother(), TrackSmoother()
    for index, (a, b) in enumerate(zip(noisy(30), noisy(30, 20, seed=1), strict=True)):
        together.update([1, 2], two(a, b), np.array([1, 0.5], np.float32), index / FPS)
        alone.update([2], one(b), ONE * np.float32(0.5), index / FPS)
    assert answer_of(together, 2).age_years == answer_of(alone, 2).age_years
    assert answer_of(together, 1).age_years > 35


def test_forgetting_keeps_the_named_tracks_and_invents_none() -> None:
    smoother = TrackSmoother()
    smoother.update([1, 2], two(30.0, 50.0), np.ones(2, np.float32), 0)
    smoother.forget_except({2, 9})
    assert smoother.current(1) is None
    assert answer_of(smoother, 2).age_years == 50
    assert smoother.current(9) is None


def test_no_estimates_change_nothing_and_weight_zero_is_passed_over() -> None:
    smoother = TrackSmoother()
    nothing = np.zeros(0, np.float32)
    smoother.update([], Estimates(nothing, nothing, nothing), nothing, 0)
    smoother.update([1], one(), ONE * 0, 0)
    assert smoother.current(1) is None
    assert smoother.is_due(1, 1)


@pytest.mark.parametrize(
    "ids, estimates, weights",
    [
        ([1, 2], one(), ONE),
        ([1], one(), np.ones(2, np.float32)),
        ([1], one(), ONE * 2),
        ([1], one(), -ONE),
        ([1], one(), ONE * np.nan),
        ([1], one(age=np.nan), ONE),
        ([1], one(spread=np.inf), ONE),
        ([1], one(female=np.nan), ONE),
        ([1], one(ethnicity=[np.nan] * 5), ONE),
    ],
)
def test_values_that_do_not_fit_are_refused_and_nothing_is_taken_in(
    ids: list[int], estimates: Estimates, weights: np.ndarray
) -> None:
    smoother = TrackSmoother()
    with pytest.raises(ValueError, match="got"):
        smoother.update(ids, estimates, weights, 0)
    assert smoother.current(1) is None
    assert smoother.estimates_made == 0


def test_an_overconfident_model_is_not_believed() -> None:
    assert follow([40.0], spread=0.0)[0].age_uncertainty_years == pytest.approx(2)


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        TrackSmoother(every_s=0)


def test_the_robust_mean_of_clean_data_is_close_to_the_weighted_mean() -> None:
    rng = np.random.default_rng(6)
    values, weights = rng.normal(40, 4, 200), rng.uniform(0.2, 1, 200)
    mean, kept = robust_mean(values, np.full(200, 4.0), weights)
    assert mean == pytest.approx(np.average(values, weights=weights), abs=0.2)
    assert kept.mean() > 0.8


def test_the_robust_mean_solves_its_estimating_equation_and_ignores_gross_errors() -> None:
    values = np.concatenate([np.random.default_rng(7).normal(40, 4, 50), np.full(20, 90.0)])
    scales, weights = np.full(70, 4.0), np.ones(70)
    mean, kept = robust_mean(values, scales, weights)
    distance = (values - mean) / (4.685 * scales)
    psi = np.where(abs(distance) < 1, distance * (1 - distance**2) ** 2, 0)
    assert abs(psi.sum()) < 0.05
    assert not kept[50:].any()


@pytest.mark.parametrize("later", [-1000, 100_000])  # on another camera; after an hour
def test_what_is_known_of_somebody_who_left_goes_on_under_a_new_clock(later: int) -> None:
    smoother = TrackSmoother()
    before = follow(ages=noisy(60), females=[0.9] * 60, smoother=smoother)[-1]
    known = smoother.release(1)
    assert smoother.current(1) is None
    smoother.resume(5, known, later)
    assert answer_of(smoother, 5) == before
    assert smoother.is_due(5, later)
    smoother.update([5], one(age=60.0, female=0.3), ONE, later)
    after = answer_of(smoother, 5)
    assert (after.samples, after.gender) == (61, before.gender)
    assert abs(after.age_years - before.age_years) < 4  # of 20 years that one look would move


def test_nothing_is_known_of_somebody_unseen() -> None:
    smoother = TrackSmoother()
    smoother.resume(1, smoother.release(1), 0)
    assert smoother.current(1) is None
