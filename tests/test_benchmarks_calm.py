from pathlib import Path

import numpy as np
import pytest

from benchmarks import calm, looks
from benchmarks.looks import Looks
from tests import chip_sets
from tests.fakes import ConstantEstimator

NAN = float("nan")


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def looks_of(ages: np.ndarray, females: np.ndarray, age: float, female: float) -> Looks:
    n = len(ages)
    labels = (np.full(n, age, np.float32), np.full(n, age, np.float32))
    spreads = np.full_like(ages, 6)
    weights = np.ones_like(ages)
    return Looks(
        ages, spreads, females, weights, *labels, np.full(n, female, np.float32), np.zeros(0)
    )


def test_older_programs_keep_the_last_frames_or_the_first_for_ever() -> None:
    ages = column(10, 20, 30, 40)
    females = column(0.2, 0.4, 0.9, 0.9)
    last = calm.mean_of_last(2, ages, females)
    np.testing.assert_allclose(last.ages[:, 0], [10, 15, 25, 35])
    assert last.labels[:, 0].tolist() == [-1, -1, 1, 1]
    first = calm.first_kept(2, ages, females)
    np.testing.assert_allclose(first.ages[:, 0], [10, 15, 15, 15])
    np.testing.assert_allclose(first.females[:, 0], [0.2, 0.3, 0.3, 0.3])


def test_jitter_is_measured_about_the_truth() -> None:
    ages = column(38, 42, 44, 46)
    told = calm.Told(ages, column(0.4, 0.6, 0.9, 0.9), np.array([[0], [1], [1], [-1]]), {})
    times_s = np.linspace(0, 60, 4, dtype=np.float64)
    seen = looks_of(ages.T, ages.T / 100, 40, 1)
    cells = calm.jitter_row(told, seen, times_s)
    assert cells[0] == f"{np.mean([2, 2, 4, 6]):.2f}"
    assert cells[1] == f"{np.std([2, 2, 4, 6], ddof=1):.2f}"
    assert cells[2:] == ["4.0", "3.0", "2.00", "20.00"]


def test_a_label_is_judged_by_what_it_states() -> None:
    females = np.array([[0.97, 0.97, 0.6, 0.1]], np.float32)
    told = calm.Told(females * 0, females, np.array([[1, 1, 0, -1]]), {})
    seen = looks_of(np.zeros((4, 1), np.float32), females.T, 30, 1)
    seen.female[:] = [1, 0, 1, 0]
    cells = calm.gender_row(told, seen, 0)
    assert cells == ["25.0", "66.7", f"{100 * np.mean([0.97, 0.97, 0.9]):.1f}", "25.0"]


def test_the_interval_is_judged_after_one_eight_and_many_looks() -> None:
    times_s = np.arange(int(calm.SECONDS * calm.FPS)) / calm.FPS
    ages = np.full((len(times_s), 2), 40, np.float32)
    told = calm.smoothed(times_s, ages, ages * 0 + 6, ages * 0 + 0.97, ages * 0 + 1)
    assert np.isfinite(told.intervals[104][0]).all()
    seen = looks_of(ages[:2].T, ages[:2].T, 47, 1)
    seen.low[1] = seen.high[1] = 41
    assert calm.coverage_cells(told, seen, 0, 99) == ["0.500 / 1.000"] * 3 + ["2"]


def test_looks_at_a_set_are_made_once_and_begin_with_both_ways(tmp_path: Path) -> None:
    estimator = ConstantEstimator()

    def make() -> list[Looks]:
        return looks.looks_at_set(estimator, chip_sets.chips(6), 4)

    first, again = (looks.kept(tmp_path / "out", "some", "key", make)[0] for _ in range(2))
    assert first.ages.shape == (6, 4)
    assert sum(estimator.batches) == 6 * 4
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for file in (tmp_path / "out").iterdir():
        file.write_bytes(file.read_bytes()[:-9])  # damaged: made again
    damaged = looks.kept(tmp_path / "out", "some", "key", make)[0]
    np.testing.assert_array_equal(damaged.ages, first.ages)
    assert sum(estimator.batches) == 2 * 6 * 4
    played, times_s = calm.play(first)
    assert played.ages.shape == (len(times_s), 6)


def test_without_the_data_what_is_missing_is_said_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--estimator", "ssrnet"]
    assert calm.main([*where, "--sets", "utkface", "fgnet"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("| faces | way | tMAE")
    assert "utkface left out" in captured.err and "fgnet left out" in captured.err
    assert "talking_head_long.mp4 left out: no such file" in captured.err
    assert "Traceback" not in captured.err
