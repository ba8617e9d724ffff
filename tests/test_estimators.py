import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import estimators
from errors import EngineError, WeightsError
from estimators import engines, make_estimator, weights
from estimators.age import decode_age
from estimators.chip_estimator import ChipEstimator

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(weights.read_manifest()["models"])


def random_chips(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


@pytest.fixture(scope="module")
def mobilenet():
    return make_estimator("mobilenetv2", engine="openvino")


def test_expected_age_and_spread_are_the_moments_of_the_distribution():
    probs = np.zeros((2, 101), np.float32)
    probs[0, 40] = 1
    probs[1, [20, 30]] = 0.25, 0.75
    years, spread = decode_age(probs, spread_scale=2)
    np.testing.assert_allclose(years, [40, 27.5])
    np.testing.assert_allclose(spread, [0, 2 * np.sqrt(0.25 * 0.75) * 10], atol=1e-4)


def test_a_single_valued_age_head_keeps_its_years_and_takes_the_measured_spread():
    years, spread = decode_age(np.array([[33.5]], np.float32), spread_scale=7)
    assert (years[0], spread[0]) == (33.5, 7)


def test_an_age_head_of_any_other_width_is_refused():
    with pytest.raises(ValueError, match="got"):
        decode_age(np.zeros((1, 12), np.float32), 1)


def test_a_batch_gives_what_its_chips_give_one_by_one(mobilenet):
    chips = random_chips(8, mobilenet.input_size)
    together = mobilenet.estimate(chips)
    for i in range(8):
        alone = mobilenet.estimate(chips[i : i + 1])
        for field in ("age_years", "age_spread_years", "female_prob", "ethnicity_probs"):
            got, want = getattr(together, field)[i], getattr(alone, field)[0]
            np.testing.assert_allclose(got, want, atol=1e-3)


def test_no_chips_give_no_estimates(mobilenet):
    none = mobilenet.estimate(random_chips(0, mobilenet.input_size))
    assert len(none) == 0
    assert none.ethnicity_probs.shape == (0, 5)


def test_chips_of_the_wrong_size_or_type_are_refused(mobilenet):
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size + 1))
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_file_has_the_hash_terms_and_card_of_the_manifest(name):
    entry = weights.read_manifest()["models"][name]
    chosen = weights.find_weights(name, entry["architecture"])
    for file_format in ("keras", "onnx"):
        assert chosen.path(file_format).is_file()
    assert chosen.terms
    assert (weights.WEIGHTS_DIR / entry["card"]).is_file()


def test_every_architecture_of_the_menu_has_default_weights():
    for name in estimators.ARCHITECTURES:
        assert weights.find_weights(None, name).architecture == name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_openvino_and_tensorflow_agree_on_every_shipped_model(name):
    pytest.importorskip("tensorflow")
    entry = weights.read_manifest()["models"][name]
    chosen = weights.find_weights(name, entry["architecture"])
    light, heavy = engines.OpenVinoEngine(chosen), engines.TensorFlowEngine(chosen)
    chips = random_chips(4, light.input_size)
    expected = heavy(chips)
    for output, value in light(chips).items():
        np.testing.assert_allclose(value, expected[output], atol=1e-4 * max(1, value.max()))


def test_the_default_path_imports_no_tensorflow():
    code = (
        "import sys; from estimators import make_estimator;"
        "make_estimator('mobilenetv2', engine='openvino');"
        "assert not {'tensorflow', 'keras', 'dlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_auto_takes_the_cpu_engine_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(engines, "_has_gpu", lambda: False)
    chosen = weights.find_weights(None, "mobilenetv2")
    assert engines.make_engine("auto", chosen).name == "openvino"


def test_an_engine_that_is_not_installed_names_the_remedy(monkeypatch):
    monkeypatch.setattr(engines, "_installed", lambda package: False)
    with pytest.raises(EngineError, match="pip install"):
        engines.make_engine("tensorflow", weights.find_weights(None, "mobilenetv2"))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="mobilenetv2, ssrnet, got 'resnet'"):
        make_estimator("resnet")
    with pytest.raises(ValueError, match="openvino, tensorflow, got 'tpu'"):
        make_estimator("mobilenetv2", engine="tpu")
    with pytest.raises(WeightsError, match="known: mobilenetv2_fairface"):
        make_estimator("mobilenetv2", "nonsense")


def test_weights_of_another_architecture_are_refused():
    with pytest.raises(WeightsError, match="--estimator mobilenetv2"):
        make_estimator("ssrnet", "mobilenetv2_fairface")


def test_a_missing_file_is_named():
    with pytest.raises(WeightsError, match="does not exist"):
        make_estimator("mobilenetv2", "nowhere.onnx")


def test_a_damaged_shipped_file_is_refused(tmp_path, monkeypatch):
    shutil_copy = (weights.WEIGHTS_DIR / "mobilenetv2_fairface.onnx").read_bytes()
    (tmp_path / "mobilenetv2_fairface.onnx").write_bytes(shutil_copy[:-1] + b"x")
    monkeypatch.setattr(weights, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(WeightsError, match="damaged"):
        make_estimator("mobilenetv2", engine="openvino")


def test_a_file_of_ones_own_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"this is text")
    with pytest.raises(WeightsError, match="not a network"):
        make_estimator("mobilenetv2", str(path), engine="openvino")


def test_a_manifest_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text("{")
    with pytest.raises(WeightsError, match="restore"):
        weights.read_manifest(path)
    assert json.loads(weights.MANIFEST.read_text())["defaults"]


def test_a_network_without_the_needed_heads_is_refused():
    class Wrong:
        name = "wrong"
        input_size = 8

        def __call__(self, chips):
            return {"age": np.zeros((len(chips), 12), np.float32)}

    with pytest.raises(WeightsError, match="--weights"):
        ChipEstimator(Wrong(), 1.0)


@pytest.mark.slow
def test_the_network_built_from_code_is_the_one_that_is_shipped():
    keras = pytest.importorskip("keras")
    from estimators.mobilenetv2 import build

    shipped = keras.models.load_model(weights.WEIGHTS_DIR / "mobilenetv2_fairface.keras")
    built = build()
    built.set_weights(shipped.get_weights())
    chips = random_chips(2, 96).astype(np.float32)
    for name, value in shipped.predict_on_batch(chips).items():
        np.testing.assert_allclose(built.predict_on_batch(chips)[name], value, atol=1e-6)


@pytest.mark.data
def test_known_faces_are_described_as_labelled(data_dir, mobilenet):
    files = sorted((data_dir / "raw" / "fairface" / "train").glob("*.jpg"))[:40]
    pictures = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    size = mobilenet.input_size
    chips = np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in pictures])
    rows = (data_dir / "raw" / "fairface" / "fairface_label_train.csv").read_text().splitlines()
    labels = {row.split(",")[0]: row.split(",")[2] for row in rows}
    female = np.array([labels[f"train/{f.name}"] == "Female" for f in files])
    agreement = ((mobilenet.estimate(chips).female_prob > 0.5) == female).mean()
    assert agreement > 0.85
