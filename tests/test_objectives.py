from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from estimators.age import AGE_CLASSES
from structures import AGE_BINS
from tests import chip_sets
from training.chips import Chips
from training.fitting.objectives import balanced, convert_age, make_targets, nearest_classes
from training.fitting.settings import TrainingSettings

YEARS = np.arange(AGE_BINS)
Probs = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def ops() -> Any:
    return pytest.importorskip("keras").ops


def losses_of(
    settings: TrainingSettings, chips: Chips, probs: Probs, ops: Any, answers: Probs | None = None
) -> Probs:
    """The loss of each output for each row, the targets as they are, not as in a batch."""
    from training.fitting.objectives import losses

    functions, _ = losses(settings, answers is not None)
    arrays = make_targets(chips, settings, answers).arrays
    return {
        name: np.asarray(
            functions[name](ops.convert_to_tensor(arrays[name]), ops.convert_to_tensor(value))
        )
        for name, value in probs.items()
    }


def random_probs(count: int, widths: dict[str, int], seed: int = 0) -> Probs:
    rng = np.random.default_rng(seed)
    return {k: rng.dirichlet(np.ones(w), count).astype(np.float32) for k, w in widths.items()}


@pytest.mark.parametrize("age", ["expectation", "classes12", "classes7", "classes8"])
def test_a_range_costs_minus_the_logarithm_of_the_probability_of_its_years(
    ops: Any, age: str
) -> None:
    settings = TrainingSettings(age=age, distance_weight=0.0, range_weight=1.0)
    chips = chip_sets.chips(12)
    width = AGE_BINS if age == "expectation" else int(age.removeprefix("classes"))
    probs = random_probs(12, {"age": width})
    loss = losses_of(settings, chips, probs, ops)["age"]
    for i, row in enumerate(probs["age"]):
        low, high = chips.age_low[i], chips.age_high[i]
        if not low < high:
            continue
        total = 0.0  # year by year: a class' probability is spread over its years
        for k, p in enumerate(row):
            first, last = AGE_CLASSES[width][k] if width < AGE_BINS else (k, k)
            share = p / (last + 1 - first)
            total += sum(share for year in range(first, last + 1) if low <= year <= high)
        assert loss[i] == pytest.approx(-np.log(total), rel=1e-4)


def test_unknown_labels_cost_nothing(ops: Any) -> None:
    chips = chip_sets.chips(8)
    probs = random_probs(8, {"age": AGE_BINS, "gender": 2, "race": 5})
    loss = losses_of(TrainingSettings(), chips, probs, ops)
    assert np.isnan(chips.age_low[7])
    assert loss["age"][7] == loss["race"][7] == 0
    assert (loss["age"][:7] > 0).all()
    assert loss["gender"][7] > 0


def test_an_exact_age_is_learnt_as_a_gaussian_or_as_one_class(ops: Any) -> None:
    chips = chip_sets.chips(1)
    age = chips.age_low[0]
    probs = random_probs(1, {"age": AGE_BINS})
    mean = (probs["age"][0] * YEARS).sum()
    variance = (probs["age"][0] * YEARS**2).sum() - mean**2
    cross = -np.log(probs["age"][0, int(age)] + 1e-7)
    bell = np.exp(-0.5 * ((YEARS - age) / 2.0) ** 2)
    soft = -(bell / bell.sum() * np.log(probs["age"][0] + 1e-7)).sum()
    want = {
        "label_distribution": soft + 0.15 * abs(mean - age),
        "cross_entropy": cross + 0.15 * abs(mean - age),
        "mean_variance": cross + 0.2 * 0.5 * (mean - age) ** 2 + 0.05 * variance,
    }
    for kind, value in want.items():
        loss = losses_of(TrainingSettings(age_loss=kind), chips, probs, ops)["age"]
        assert loss[0] == pytest.approx(value, rel=1e-4)


def test_a_value_of_years_costs_decades_outside_the_range_and_the_teachers_pull(ops: Any) -> None:
    chips = chip_sets.chips(3)  # 15 exactly; 60..69; 10..19
    settings = TrainingSettings(architecture="ssrnet", age="ssr", ethnicity=False)
    years = {"age": np.array([[25], [65], [22]], np.float32)}
    plain = losses_of(settings, chips, years, ops)["age"]
    np.testing.assert_allclose(plain, [1.0, 0.0, 0.3], rtol=1e-5)
    ages = np.array([[90], [64], [15]], np.float32)
    taught = {"age": ages, "gender": np.full((3, 2), 0.5, np.float32)}
    loss = losses_of(settings, chips, years, ops, taught)["age"]
    # The teacher's 90 years become 18: three beyond the label.
    np.testing.assert_allclose(loss, [1.0 + 0.6, 0.025, 0.3 + 0.6], rtol=1e-5)


def test_a_teachers_share_of_the_loss_is_cross_entropy_with_its_answer(ops: Any) -> None:
    chips = chip_sets.chips(4)
    probs = random_probs(4, {"age": AGE_BINS, "gender": 2, "race": 5})
    answers = random_probs(4, {"age": AGE_BINS, "gender": 2, "race": 5}, seed=1)
    settings = TrainingSettings(teacher_weight=0.25)
    label = losses_of(settings, chips, probs, ops)
    both = losses_of(settings, chips, probs, ops, answers)
    for name in probs:
        cross = -(answers[name] * np.log(probs[name] + 1e-7)).sum(1)
        np.testing.assert_allclose(both[name], 0.75 * label[name] + 0.25 * cross, rtol=1e-4)


def test_weights_make_classes_alike_and_leave_the_mean_at_one() -> None:
    classes = np.array([0] * 16 + [1] * 4 + [-1] * 3)
    assert balanced(classes, 0.0).tolist() == [1.0] * 20 + [0.0] * 3
    for strength, ratio in ((0.5, 2.0), (1.0, 4.0)):
        weights = balanced(classes, strength)
        assert weights[16] / weights[0] == pytest.approx(ratio)
        assert weights[:20].mean() == pytest.approx(1)
        assert (weights[20:] == 0).all()


def test_in_a_batch_the_weights_of_each_output_add_up_to_its_rows() -> None:
    targets = make_targets(chip_sets.chips(16), TrainingSettings(weigh_gender=1.0, weigh_age=1.0))
    batch = targets.of(np.array([0, 2, 4, 7, 15]))
    for array in batch.values():
        assert array[:, 0].sum() == pytest.approx(5)
    nobody = targets.of(np.array([7, 15]))
    assert nobody["age"][:, 0].sum() == 0
    assert all(np.isfinite(array).all() for array in nobody.values())


def test_rare_decades_are_drawn_as_often_as_common_ones() -> None:
    chips = chip_sets.chips(20).take(np.array([0] * 18 + [1] * 2))
    for strength, share in ((0.5, 0.25), (1.0, 0.5)):
        chances = make_targets(chips, TrainingSettings(draw_by_age=strength)).chances
        assert chances is not None
        assert chances.sum() == pytest.approx(1)
        assert chances[18:].sum() == pytest.approx(share)


@pytest.mark.parametrize("count", AGE_CLASSES)
def test_every_year_belongs_to_its_class_or_the_nearest(count: int) -> None:
    member = nearest_classes(count)
    assert (member.sum(1) == 1).all()
    for k, (first, last) in enumerate(AGE_CLASSES[count]):
        assert (member[first : last + 1].argmax(1) == k).all()
    assert nearest_classes(8)[[3, 7, 14, 36]].argmax(1).tolist() == [0, 1, 2, 5]


def test_teachers_of_other_kinds_are_understood() -> None:
    years = np.zeros((1, AGE_BINS), np.float32)
    years[0, 30] = 1
    assert convert_age(years, 1).item() == 30
    assert convert_age(years, 12).argmax() == 5
    assert convert_age(np.array([[30.0]]), AGE_BINS).argmax() == 30
    classes = np.eye(12, dtype=np.float32)[[5]]
    expanded = convert_age(classes, AGE_BINS)
    assert expanded.sum() == pytest.approx(1)
    assert np.flatnonzero(expanded).tolist() == list(range(26, 33))


def test_ages_in_the_gap_between_two_classes_are_learnt_as_the_nearest() -> None:
    chips = chip_sets.chips(1)
    for low, high in ((7, 7), (14, 14), (7, 7.5)):
        odd = replace(
            chips, age_low=np.array([low], np.float32), age_high=np.array([high], np.float32)
        )
        settings = TrainingSettings(age="classes8", age_loss="cross_entropy")
        target = make_targets(odd, settings).arrays["age"][0, 4:]
        assert target.argmax() == (1 if low == 7 else 2)
        assert target.sum() == 1
