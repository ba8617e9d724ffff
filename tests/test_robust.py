import numpy as np
import pytest

from tracking.robust import robust_mean


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
