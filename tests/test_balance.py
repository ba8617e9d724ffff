import json
from pathlib import Path

import numpy as np
import pytest

from estimators.networks.heads import Heads, add_heads
from tests.chip_sets import write_set
from training.balance import (
    STRENGTHS,
    banded_error_years,
    best_strength,
    main,
    prior_of,
    rebalanced,
)

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

AGES = np.arange(101)


def believer_in_youth(true_ages: np.ndarray) -> np.ndarray:
    """What Bayes' rule gives where people of 25 are far more common than others."""
    prior = np.exp(-0.5 * ((AGES - 25) / 15) ** 2) + 1e-3
    likelihood = np.exp(-0.5 * ((AGES - true_ages[:, None]) / 8) ** 2)
    probs = likelihood * prior
    return probs / probs.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("head", "reason"), [("classes7", "7 age classes"), ("ssr", "no Keras")])
def test_what_cannot_be_balanced_is_one_line(
    head: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_network(tmp_path / "net.keras", head)
    write_set(tmp_path, "small", 16)
    command = [str(tmp_path / "net.keras"), "--data", str(tmp_path), "--sets", "small"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_faces_of_unknown_age_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_network(tmp_path / "net.keras", "expectation")
    write_set(tmp_path, "small", 40)
    (tmp_path / "net.json").write_text('{"settings": {"sets": ["a"]}}')
    assert main([str(tmp_path / "net.keras"), "--data", str(tmp_path), "--sets", "small"]) == 0
    record = json.loads((tmp_path / "net.json").read_text())
    assert record == {"settings": {"sets": ["a"]}, "learnt_from": ["a", "small"]}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(STRENGTHS) and sum("<- chosen" in line for line in lines) == 1


def save_network(path: Path, head: str) -> None:
    keras = pytest.importorskip("keras")
    rgb = keras.Input((16, 16, 3), name="rgb")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(rgb))
    keras.Model(rgb, add_heads(flat, Heads(age=head))).save(path)


def test_dividing_by_the_prior_is_what_subtracting_its_logarithm_from_the_logits_is() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 101))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    prior = prior_of(probs)
    shifted = np.exp(logits - 0.4 * np.log(prior))
    want = shifted / shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rebalanced(probs, prior, 0.4), want)
    assert prior.sum() == pytest.approx(1)


def test_old_people_who_were_seen_too_young_are_seen_better() -> None:
    rng = np.random.default_rng(1)
    ages = np.concatenate([rng.normal(25, 8, 900).clip(0, 100), rng.uniform(50, 90, 100)])
    probs = believer_in_youth(ages)
    strength, errors = best_strength(probs, ages, ages)
    assert strength > 0
    assert min(errors) < 0.9 * errors[0]
    after = rebalanced(probs, prior_of(probs), strength) @ AGES
    old = ages > 50
    assert np.abs(after - ages)[old].mean() < np.abs(probs @ AGES - ages)[old].mean()


def test_the_error_counts_each_age_band_alike_and_nothing_within_a_range() -> None:
    probs = np.zeros((3, 101))
    probs[[0, 1, 2], [20, 20, 60]] = 1
    low, high = np.array([20.0, 25.0, 70.0]), np.array([29.0, 29.0, 100.0])
    assert banded_error_years(probs, low, high) == pytest.approx((0 + 5) / 2 / 2 + 10 / 2)
