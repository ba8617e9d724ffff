import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import WeightsError
from structures import Estimates
from tests.fakes import ConstantEstimator
from training.judging.contenders import architecture_of, estimate_all, load, time_ms

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


class LevelEstimator(ConstantEstimator):
    """Tells the grey level of a chip as its age."""

    def estimate(self, chips: Any) -> Estimates:
        levels = chips[:, 0, 0, 0].astype(np.float32)
        return Estimates(levels, levels, levels / 255)


@pytest.mark.parametrize("suffix", ["keras", "onnx"])
@pytest.mark.parametrize("name", ["mobilenetv2", "ssrnet"])
def test_the_size_of_its_chips_tells_what_a_file_is(name: str, suffix: str) -> None:
    assert architecture_of(WEIGHTS / f"{name}_fairface.{suffix}") == name


def test_the_record_of_training_goes_before_the_size(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    shutil.copy(WEIGHTS / "ssrnet_fairface.onnx", path)
    record = path.with_suffix(".json")
    for text in ('{"settings": {"architecture": "new"}}', '{"settings": 3}', "torn"):
        record.write_text(text)
        assert architecture_of(path) == "ssrnet"
    record.write_text('{"settings": {"architecture": "mobilenetv2"}}')
    assert architecture_of(path) == "mobilenetv2"


def test_damaged_and_unknown_files_are_named(tmp_path: Path) -> None:
    for suffix in ("keras", "onnx"):
        path = tmp_path / f"torn.{suffix}"
        path.write_bytes(b"no network")
        with pytest.raises(WeightsError, match=rf"torn\.{suffix} is damaged"):
            architecture_of(path)
    with pytest.raises(WeightsError, match=r"no weights called 'x'; known: a, b"):
        architecture_of(Path("x"), ["a", "b"])


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(WEIGHTS / "ssrnet_fairface.onnx", tmp_path / folder / "net.onnx")
    paths = [str(tmp_path / folder / "net.onnx") for folder in ("one", "two")]
    assert [one.name for one in load([*paths, paths[0]], None)] == ["net", paths[1]]


def test_answers_come_in_the_order_of_the_faces() -> None:
    chips = np.repeat(np.arange(150, dtype=np.uint8), 3).reshape(150, 1, 1, 3)
    done: list[int] = []
    estimates = estimate_all(LevelEstimator(), chips, done.append)
    assert estimates.age_years.tolist() == list(range(150))
    assert sum(done) == 150
    assert len(estimate_all(LevelEstimator(), chips[:0])) == 0


def test_both_ways_an_answer_is_the_mean_of_a_chips_and_its_mirror_images() -> None:
    chips = np.full((70, 2, 2, 3), 40, np.uint8)
    chips[:, :, 1] = 60
    assert estimate_all(LevelEstimator(), chips).age_years.tolist() == [40] * 70
    assert estimate_all(LevelEstimator(), chips, both_ways=True).age_years.tolist() == [50] * 70


def test_a_network_that_tells_no_numbers_is_refused() -> None:
    with pytest.raises(WeightsError, match="NaN"):
        estimate_all(ConstantEstimator(age_years=float("nan")), np.zeros((3, 96, 96, 3), np.uint8))


def test_time_is_measured_at_the_batch_size_asked_for() -> None:
    estimator = ConstantEstimator()
    assert time_ms(estimator, np.zeros((3, 96, 96, 3), np.uint8), 8) > 0
    assert set(estimator.batches) == {8}
