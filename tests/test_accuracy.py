import numpy as np
import pytest

from estimators.age import AGE_CLASSES
from structures import Estimates
from tests.evaluations import answers, chips_of, faces
from training.chips import nearest_class
from training.judging.accuracy import (
    Ratio,
    age_classes,
    calibration_error,
    class_ratios,
    confusion,
    ratios,
    reliability,
    signed_years,
    weighted_auc,
    weighted_median,
)
from training.labels import Face


def value(ratio: Ratio) -> float:
    return float(ratio.top.sum() / ratio.bottom.sum())


def test_figures_agree_with_counting_face_by_face() -> None:
    some = faces(200)
    chips = chips_of(some)
    told = answers(chips)
    exact, ranged, gender, sure, race = [], [], [], [], []
    for i, face in enumerate(some):
        years = float(told.age_years[i])
        if face.age and face.age[0] == face.age[1]:
            exact.append((years - face.age[0], float(told.age_spread_years[i])))
        elif face.age:
            low, high = face.age
            ranged.append(years - low if years < low else years - high if years > high else 0.0)
        if face.female is not None:
            gender.append((told.female_prob[i] > 0.5) == face.female)
            sure.append(float(max(told.female_prob[i], 1 - told.female_prob[i])))
        if face.ethnicity is not None and told.ethnicity_probs is not None:
            race.append(int(told.ethnicity_probs[i].argmax()) == face.ethnicity)
    errors = np.array([error for error, _ in exact])
    spreads = np.array([spread for _, spread in exact])
    parts = ratios(chips, told)
    wanted = {
        "mae_years": np.abs(errors).mean(),
        "bias_years": errors.mean(),
        "cs5": (np.abs(errors) <= 5).mean(),
        "spread_1": (np.abs(errors) <= spreads).mean(),
        "spread_2": (np.abs(errors) <= 2 * spreads).mean(),
        "outside_years": np.abs(ranged).mean(),
        "outside_bias_years": np.mean(ranged),
        "inside": np.mean(np.array(ranged) == 0),
        "gender": np.mean(gender),
        "gender_too_sure": np.mean(sure) - np.mean(gender),
        "ethnicity": np.mean(race),
    }
    assert {name: value(part) for name, part in parts.items()} == pytest.approx(wanted, rel=1e-5)


def test_faces_without_labels_change_nothing() -> None:
    some = faces(50)
    chips, bare = chips_of(some), chips_of([Face(f"x{i}.png") for i in range(9)])
    told, more = answers(chips), answers(bare, seed=1)
    both = chips_of(some + [Face(f"x{i}.png") for i in range(9)])
    joined = Estimates(
        *(
            np.concatenate([getattr(told, name), getattr(more, name)])
            for name in Estimates.__slots__
        )
    )
    for name, part in ratios(chips, told, tuple(AGE_CLASSES)).items():
        assert value(ratios(both, joined, tuple(AGE_CLASSES))[name]) == value(part), name
    assert np.isfinite(np.stack([p.top for p in ratios(both, joined).values()])).all()


def test_an_age_is_too_old_by_what_lies_above_its_range() -> None:
    chips = chips_of([Face("a", (20, 29)), Face("b", (20, 29)), Face("c", (40, 40)), Face("d")])
    years = np.array([18, 35, 38.5, 50], np.float32)
    told = Estimates(years, years, years / np.float32(100))
    assert signed_years(chips, told)[:3].tolist() == [-2, 6, -1.5]
    assert np.isnan(signed_years(chips, told)[3])


@pytest.mark.parametrize("count", AGE_CLASSES)
def test_an_age_belongs_to_the_class_that_holds_it_or_lies_nearest(count: int) -> None:
    ranges = AGE_CLASSES[count]
    years = np.arange(0, 117)
    for age, found in zip(years, nearest_class(years.astype(np.float32), ranges), strict=True):
        inside = [i for i, (low, high) in enumerate(ranges) if low <= age <= high]
        if inside:
            assert [found] == inside
        else:
            apart = [min(abs(age - low), abs(age - high)) for low, high in ranges]
            assert apart[found] == min(apart)


def test_a_label_across_classes_or_in_a_gap_is_of_no_class() -> None:
    labels = [(20, 29), (19, 25), (25, 26), (70, 100), (71, 116), (3, 3)]
    chips = chips_of([Face("x", label) for label in labels] + [Face("y")])
    told = answers(chips)
    assert age_classes(chips, told, 7)[0].tolist() == [2, -1, 2, 6, 6, 0, -1]
    assert age_classes(chips, told, 12)[0].tolist() == [-1, 4, -1, -1, 11, 0, -1]
    assert age_classes(chips, told, 8)[0].tolist() == [-1, -1, 4, 7, 7, -1, -1]
    fractions = chips_of([Face("x", (years, years)) for years in (9.6, 3.5, 59.9)])
    told = answers(fractions)
    assert [age_classes(fractions, told, 7)[0].tolist()] == [[0, 0, 5]]
    assert [age_classes(fractions, told, 12)[0].tolist()] == [[2, 0, 9]]


def test_precision_recall_and_f1_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(-1, 4, 300), rng.integers(0, 4, 300)
    pairs = [(t, g) for t, g in zip(truth, guess, strict=True) if t >= 0]
    parts = class_ratios(truth, guess, 4)
    counts = confusion(truth, guess, 4)
    for i in range(4):
        hits = sum(t == g == i for t, g in pairs)
        precision = hits / sum(g == i for _, g in pairs)
        recall = hits / sum(t == i for t, _ in pairs)
        assert value(parts[f"precision {i}"]) == pytest.approx(precision)
        assert value(parts[f"recall {i}"]) == pytest.approx(recall)
        f1 = 2 * precision * recall / (precision + recall)
        assert value(parts[f"f1 {i}"]) == pytest.approx(f1)
        assert [pairs.count((i, j)) for j in range(4)] == counts[i].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told, truth = rng.integers(0, 6, 40) / 5, rng.random(40) < 0.4  # many ties
    weights = rng.integers(0, 4, (3, 40)).astype(float)
    areas = weighted_auc(told, truth, weights)
    for area, times in zip(areas, weights, strict=True):
        often = times.astype(int)
        scores, so = np.repeat(told, often), np.repeat(truth, often)
        pairs = [(a > b) + (a == b) / 2 for a in scores[so] for b in scores[~so]]
        assert area == pytest.approx(np.mean(pairs))
    assert np.isnan(weighted_auc(told, np.ones(40, bool), weights)).all()
    assert np.isnan(weighted_auc(told[:0], truth[:0], weights[:, :0])).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_weighted_median_is_that_of_repeated_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, 21).astype(float)
    weights = rng.integers(0, 3, (4, 21)).astype(float)
    wanted = [np.median(np.repeat(values, times)) for times in weights.astype(int)]
    assert weighted_median(values, weights) == pytest.approx(wanted)
    assert np.isnan(weighted_median(values, np.zeros((1, 21)))).all()


def test_a_probability_that_means_what_it_says_is_calibrated() -> None:
    told = np.repeat([0.25, 0.75], 40)
    truth = np.tile([1.0, 0, 0, 0], 10).tolist() + np.tile([1.0, 1, 1, 0], 10).tolist()
    bins = reliability(told, np.array(truth))
    assert bins == [(0.25, 0.25, 40), (0.75, 0.75, 40)]
    assert calibration_error(bins) == 0
    wrong = reliability(np.array([0.9, 0.9, 1.0, 0.5]), np.array([0.0, 1, 1, np.nan]))
    assert wrong == [pytest.approx((14 / 15, 2 / 3, 3))]
    assert np.isnan(calibration_error([]))
