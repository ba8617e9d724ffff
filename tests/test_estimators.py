import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Never

import cv2
import numpy as np
import pytest

from engines.pieces import Pending
from errors import WeightsError
from estimators import ChipEstimator, Estimator, estimate_both_ways, make_estimator, weights
from estimators.age import AGE_CLASSES, decode_age
from structures import Estimates, Image
from tests.fakes import ConstantEstimator

ROOT = Path(__file__).resolve().parent.parent


def random_chips(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


@pytest.fixture(scope="module")
def mobilenet() -> Estimator:
    return make_estimator("mobilenetv2", engine="openvino")


def test_expected_age_and_spread_are_the_moments_of_the_distribution() -> None:
    probs = np.zeros((2, 101), np.float32)
    probs[0, 40] = 1
    probs[1, [20, 30]] = 0.25, 0.75
    years, spread = decode_age(probs, spread_scale=2)
    np.testing.assert_allclose(years, [40, 27.5])
    np.testing.assert_allclose(spread, [0, 2 * np.sqrt(0.25 * 0.75) * 10], atol=1e-4)


def test_a_single_valued_age_head_keeps_its_years_and_takes_the_measured_spread() -> None:
    years, spread = decode_age(np.array([[33.5]], np.float32), spread_scale=7)
    assert (years[0], spread[0]) == (33.5, 7)


def test_an_age_head_of_any_other_width_is_refused() -> None:
    with pytest.raises(ValueError, match="got"):
        decode_age(np.zeros((1, 13), np.float32), 1)


@pytest.mark.parametrize("classes", AGE_CLASSES)
def test_age_classes_give_the_moments_of_the_years_in_them(classes: int) -> None:
    rng = np.random.default_rng(classes)
    probs = rng.dirichlet(np.ones(classes), 3).astype(np.float32)
    years, spread = decode_age(probs, spread_scale=2)
    for row, year, width in zip(probs, years, spread, strict=True):
        picks = rng.choice(classes, 40_000, p=row / row.sum())
        ages = rng.integers(*(np.array(AGE_CLASSES[classes])[picks] + [0, 1]).T)
        assert year == pytest.approx(ages.mean(), abs=0.6)
        assert width == pytest.approx(2 * ages.std(), rel=0.03)


def test_a_sure_age_class_is_its_middle() -> None:
    sure = np.eye(8, dtype=np.float32)
    np.testing.assert_allclose(
        decode_age(sure, 1)[0], [1, 5, 10.5, 17.5, 28.5, 40.5, 50.5, 80], atol=1e-4
    )


def test_the_spread_is_scaled_by_told_age_linearly_between_and_flat_beyond() -> None:
    told = np.array([[5], [20], [30], [90]], np.float32)
    _, spread = decode_age(told, ((10.0, 2.0), (30.0, 4.0)))
    np.testing.assert_allclose(spread, [2, 3, 4, 4])
    assert spread.dtype == np.float32


def test_both_ways_is_the_mean_of_a_chip_and_its_mirror_image() -> None:
    class Lefts(ConstantEstimator):
        """Says what the chip's left edge is."""

        def estimate(self, chips: Image) -> Estimates:
            left = chips[:, 0, 0, 0].astype(np.float32)
            self.batches.append(len(chips))
            ten = np.float32(10)
            return Estimates(
                left, left / ten, left / ten / ten, np.repeat(left[:, None] / 500, 5, 1)
            )

    chips = np.zeros((2, 96, 96, 3), np.uint8)
    chips[:, :, :48], chips[:, :, 48:] = 40, 60
    chips[1] += 10
    before, estimator = chips.copy(), Lefts()
    told = estimate_both_ways(estimator, chips)
    np.testing.assert_allclose(told.age_years, [50, 60])
    np.testing.assert_allclose(told.age_spread_years, [5, 6])
    np.testing.assert_allclose(told.female_prob, [0.5, 0.6])
    assert told.ethnicity_probs is not None
    np.testing.assert_allclose(told.ethnicity_probs[1], 0.12)
    assert estimator.batches == [4]
    assert (chips == before).all()
    assert len(estimate_both_ways(ConstantEstimator(), chips[:0])) == 0


def test_a_batch_gives_what_its_chips_give_one_by_one(mobilenet: Estimator) -> None:
    chips = random_chips(8, mobilenet.input_size)
    together = mobilenet.estimate(chips)
    for i in range(8):
        alone = mobilenet.estimate(chips[i : i + 1])
        for field in ("age_years", "age_spread_years", "female_prob", "ethnicity_probs"):
            got, want = getattr(together, field)[i], getattr(alone, field)[0]
            np.testing.assert_allclose(got, want, atol=1e-3)


def test_no_chips_give_no_estimates(mobilenet: Estimator) -> None:
    none = mobilenet.estimate(random_chips(0, mobilenet.input_size))
    assert len(none) == 0 and none.ethnicity_probs is not None
    assert none.ethnicity_probs.shape == (0, 5)


def test_chips_of_the_wrong_size_or_type_are_refused(mobilenet: Estimator) -> None:
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size + 1))
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size).astype(np.float32))


def test_the_default_path_imports_no_tensorflow() -> None:
    code = (
        "import sys; from estimators import ChipEstimator, Estimator, make_estimator;"
        "make_estimator('mobilenetv2', engine='openvino');"
        "assert not {'tensorflow', 'keras', 'dlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_weights_without_an_int8_file_name_the_remedy() -> None:
    with pytest.raises(WeightsError, match="choose another --precision"):
        make_estimator("ssrnet", precision="int8", device="cpu")


def test_an_estimator_may_be_shared_by_threads() -> None:
    estimator = make_estimator("mobilenetv2", engine="openvino", threads=1)
    chips = random_chips(2, estimator.input_size)
    chips[1] //= 6
    alone = [estimator.estimate(chips[k : k + 1]) for k in (0, 1)]

    def is_own(k: int) -> bool:
        again = estimator.estimate(chips[k : k + 1])
        return bool(np.allclose(again.age_years, alone[k].age_years, atol=1e-3))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_own, [0, 1] * 150))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"mobilenetv2, ssrnet, .*, got 'resnet'"):
        make_estimator("resnet")
    with pytest.raises(ValueError, match="openvino, onnxruntime, tensorflow, got 'tpu'"):
        make_estimator("mobilenetv2", engine="tpu")
    with pytest.raises(WeightsError, match="known: mobilenetv2_fairface"):
        make_estimator("mobilenetv2", "nonsense")


def test_a_network_without_the_needed_heads_is_refused() -> None:
    class Wrong:
        name, device, precision, input_size = "wrong", "cpu", "float32", 8

        def submit(self, chips: Image) -> Pending:
            return lambda: {"age": np.zeros((len(chips), 12), np.float32)}

    with pytest.raises(WeightsError, match="--weights"):
        ChipEstimator(Wrong(), 1.0)


def test_a_network_that_fails_when_it_runs_is_refused() -> None:
    class Failing:
        name, device, precision, input_size = "failing", "cpu", "float32", 8

        def submit(self, chips: Image) -> Never:
            raise RuntimeError("three\nlong\nlines")

    with pytest.raises(WeightsError, match="failing cannot run these weights"):
        ChipEstimator(Failing(), 1.0)


@pytest.mark.slow
def test_the_network_built_from_code_is_the_one_that_is_shipped() -> None:
    keras = pytest.importorskip("keras")
    from estimators.networks.heads import Heads
    from estimators.networks.mobilenetv2 import build

    shipped = keras.models.load_model(weights.WEIGHTS_DIR / "mobilenetv2_fairface.keras")
    built = build(Heads(age_blur=3))
    built.set_weights(shipped.get_weights())
    chips = random_chips(2, 96).astype(np.float32)
    for name, value in shipped.predict_on_batch(chips).items():
        np.testing.assert_allclose(built.predict_on_batch(chips)[name], value, atol=1e-6)


@pytest.mark.data
def test_known_faces_are_described_as_labelled(data_dir: Path, mobilenet: Estimator) -> None:
    files = sorted((data_dir / "raw" / "fairface" / "train").glob("*.jpg"))[:40]
    pictures = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    size = mobilenet.input_size
    chips = np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in pictures])
    rows = (data_dir / "raw" / "fairface" / "fairface_label_train.csv").read_text().splitlines()
    labels = {row.split(",")[0]: row.split(",")[2] for row in rows}
    female = np.array([labels[f"train/{f.name}"] == "Female" for f in files])
    agreement = ((mobilenet.estimate(chips).female_prob > 0.5) == female).mean()
    assert agreement > 0.85
