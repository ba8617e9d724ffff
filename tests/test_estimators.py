import json
import subprocess
import sys
from pathlib import Path
from typing import Never

import cv2
import numpy as np
import pytest

import estimators
from engines import running as engines
from engines.choose import ON_CPU, Way
from errors import EngineError, WeightsError
from estimators import make_estimator, weights
from estimators.age import AGE_CLASSES, decode_age
from estimators.chip_estimator import ChipEstimator
from training.tools.export import export
from training.tools.manifest import update_manifest

ROOT = Path(__file__).resolve().parent.parent
MODELS = weights.read_manifest()["models"]
NAMES = sorted(MODELS)
# The heads of facenet take vectors: test_facenet.py has them.
FOR_CHIPS = [name for name in NAMES if MODELS[name]["architecture"] != "facenet"]


def random_chips(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


@pytest.fixture(scope="module")
def mobilenet():
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
def test_age_classes_give_the_moments_of_the_years_in_them(classes) -> None:
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


def test_a_batch_gives_what_its_chips_give_one_by_one(mobilenet) -> None:
    chips = random_chips(8, mobilenet.input_size)
    together = mobilenet.estimate(chips)
    for i in range(8):
        alone = mobilenet.estimate(chips[i : i + 1])
        for field in ("age_years", "age_spread_years", "female_prob", "ethnicity_probs"):
            got, want = getattr(together, field)[i], getattr(alone, field)[0]
            np.testing.assert_allclose(got, want, atol=1e-3)


def test_no_chips_give_no_estimates(mobilenet) -> None:
    none = mobilenet.estimate(random_chips(0, mobilenet.input_size))
    assert len(none) == 0
    assert none.ethnicity_probs.shape == (0, 5)


def test_chips_of_the_wrong_size_or_type_are_refused(mobilenet) -> None:
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size + 1))
    with pytest.raises(ValueError, match="got"):
        mobilenet.estimate(random_chips(1, mobilenet.input_size).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_file_has_the_hash_terms_and_card_of_the_manifest(name) -> None:
    entry = weights.read_manifest()["models"][name]
    chosen = weights.find_weights(name, entry["architecture"])
    for file_format in ("keras", "onnx"):
        assert chosen.path(file_format).is_file()
    assert chosen.terms
    assert (weights.WEIGHTS_DIR / entry["card"]).is_file()


def test_an_architecture_of_the_menu_has_default_weights_or_asks_for_ones_own() -> None:
    for name in estimators.ARCHITECTURES:
        if name in weights.read_manifest()["defaults"]:
            assert weights.find_weights(None, name).architecture == name
        else:
            with pytest.raises(WeightsError, match=f"with {name}; give your own with --weights"):
                weights.find_weights(None, name)


@pytest.mark.parametrize("name", FOR_CHIPS)
def test_openvino_and_onnx_runtime_agree_on_every_shipped_model(name) -> None:
    pytest.importorskip("onnxruntime")
    chosen = weights.find_weights(name, weights.read_manifest()["models"][name]["architecture"])
    one, other = engines.OpenVinoEngine(chosen), engines.OnnxRuntimeEngine(chosen)
    assert_same_outputs(one, other, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOR_CHIPS)
def test_openvino_and_tensorflow_agree_on_every_shipped_model(name) -> None:
    chosen = weights.find_weights(name, weights.read_manifest()["models"][name]["architecture"])
    assert_same_outputs(engines.OpenVinoEngine(chosen), tensorflow_engine(chosen), 1e-4)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_int8_moves_probabilities_by_little(engine: str) -> None:
    pytest.importorskip(engine)
    chosen = weights.find_weights(None, "mobilenetv2")
    exact = engines.make_engine(engine, chosen, 0, "cpu", "float32")
    assert_same_outputs(engines.make_engine(engine, chosen, 0, "cpu", "int8"), exact, 0.15)


def test_padded_pieces_give_what_the_whole_batch_gives() -> None:
    pytest.importorskip("onnxruntime")
    chosen = weights.find_weights(None, "mobilenetv2")
    padded = engines.OnnxRuntimeEngine(chosen, pad=True)
    assert_same_outputs(padded, engines.OnnxRuntimeEngine(chosen), 1e-5, chips=5)


@pytest.mark.slow
def test_no_batch_length_is_traced_twice() -> None:
    engine = tensorflow_engine(weights.find_weights(None, "ssrnet"), pad=True)
    collect = [engine.submit(random_chips(n, engine.input_size)) for n in (1, 3, 8, 600)]
    assert [len(each()["age"]) for each in collect] == [1, 3, 8, 600]
    assert engine._forward.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mobilenetv2", "ssrnet"])
def test_half_precision_moves_probabilities_by_little(architecture: str) -> None:
    chosen = weights.find_weights(None, architecture)
    half = tensorflow_engine(chosen, precision="float16", pad=True)
    assert_same_outputs(half, tensorflow_engine(chosen), 0.01, chips=5)


def tensorflow_engine(chosen, **settings):
    pytest.importorskip("tensorflow")
    from engines.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(chosen, **settings)


def assert_same_outputs(one, other, tolerance, chips=4) -> None:
    """Probabilities within `tolerance`; a single value within as much of its size."""
    images = random_chips(chips, one.input_size)
    expected = other.submit(images)()
    for output, value in one.submit(images)().items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(
            value, expected[output], rtol=0, atol=tolerance * max(1, expected[output].max())
        )


def test_the_default_path_imports_no_tensorflow() -> None:
    code = (
        "import sys; from estimators import make_estimator;"
        "make_estimator('mobilenetv2', engine='openvino');"
        "assert not {'tensorflow', 'keras', 'dlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_precision_that_the_engine_has_not_is_refused(device: str) -> None:
    with pytest.raises(EngineError, match=r"--precision float32$|--precision float32 or float16$"):
        engines.choose_precision(Way("tensorflow", device), "int8")
    with pytest.raises(ValueError, match="got 'int4'"):
        make_estimator("mobilenetv2", precision="int4")


def test_only_gpus_compute_in_half_precision_by_themselves() -> None:
    assert engines.choose_precision(Way("tensorflow", "gpu"), "auto") == "float16"
    for way in (ON_CPU, Way("tensorflow", "cpu"), Way("onnxruntime", "gpu")):
        assert engines.choose_precision(way, "auto") == "float32"


def test_weights_without_an_int8_file_name_the_remedy() -> None:
    with pytest.raises(WeightsError, match="choose another --precision"):
        make_estimator("ssrnet", precision="int8", device="cpu")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"mobilenetv2, ssrnet, .*, got 'resnet'"):
        make_estimator("resnet")
    with pytest.raises(ValueError, match="openvino, onnxruntime, tensorflow, got 'tpu'"):
        make_estimator("mobilenetv2", engine="tpu")
    with pytest.raises(WeightsError, match="known: mobilenetv2_fairface"):
        make_estimator("mobilenetv2", "nonsense")


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsError, match="--estimator mobilenetv2"):
        make_estimator("ssrnet", "mobilenetv2_fairface")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        make_estimator("mobilenetv2", "nowhere.onnx")
    with pytest.raises(WeightsError, match="cannot be read: File name too long"):
        make_estimator("mobilenetv2", f"{'x' * 300}.onnx")


def test_ones_own_file_has_the_spread_that_was_measured_beside_it(tmp_path: Path) -> None:
    own = tmp_path / "mine.onnx"
    own.touch()
    shipped = weights.find_weights(None, "ssrnet").spread_scale
    assert weights.find_weights(str(own), "ssrnet").spread_scale == shipped
    assert weights.find_weights(str(own), "inceptionv3").spread_scale == 1
    for text, scale in (('{"spread_scale": 1.7}', 1.7), ("{}", 1), ("no json", 1)):
        own.with_suffix(".json").write_text(text)
        assert weights.find_weights(str(own), "inceptionv3").spread_scale == scale


def test_a_file_of_ones_own_may_be_spelt_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "M.ONNX"
    path.write_bytes((weights.WEIGHTS_DIR / "ssrnet_fairface.onnx").read_bytes())
    assert weights.find_weights(str(path), "ssrnet").path("onnx") == path
    assert make_estimator("ssrnet", str(path), engine="openvino").input_size == 64


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that fails to read")
def test_a_shipped_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mobilenetv2_fairface.onnx").symlink_to("/proc/self/mem")
    monkeypatch.setattr(weights, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(WeightsError, match=r"fairface\.onnx cannot be read: "):
        make_estimator("mobilenetv2", engine="openvino")


def test_a_damaged_shipped_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil_copy = (weights.WEIGHTS_DIR / "mobilenetv2_fairface.onnx").read_bytes()
    (tmp_path / "mobilenetv2_fairface.onnx").write_bytes(shutil_copy[:-1] + b"x")
    monkeypatch.setattr(weights, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(WeightsError, match="damaged"):
        make_estimator("mobilenetv2", engine="openvino")


@pytest.mark.parametrize("content", [b"this is text", b""])
def test_a_file_of_ones_own_that_is_no_network_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a network"):
        make_estimator("mobilenetv2", str(path), engine="openvino")
    assert capfd.readouterr().err == ""


def onnx_file(path: Path, shape: list[int | None] | None) -> Path:
    """A network with an input of `shape`, None = any, whose heads are what a chip's row sums to."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["rgb"], ["age"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("ReduceMean", ["rgb"], ["gender"], axes=[1, 2, 3], keepdims=0),
        ],
        "sums",
        [helper.make_tensor_value_info("rgb", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in ("age", "gender")],
    )
    versions = [helper.make_opsetid("", 13)]
    path.write_bytes(helper.make_model(graph, opset_imports=versions).SerializeToString())
    return path


@pytest.mark.parametrize(
    "shape",
    [[None, 32, 32, 1], [4, 32, 32, 3], [None, 3, 32, 32], [None, 32, 48, 3], [None] * 4, None],
)
def test_a_network_that_takes_no_chips_is_refused_in_one_line(tmp_path: Path, shape) -> None:
    path = onnx_file(tmp_path / "mine.onnx", shape)
    with pytest.raises(WeightsError, match=r"mine\.onnx(: want one input of| is not a)") as caught:
        make_estimator("mobilenetv2", str(path), engine="openvino")
    assert "\n" not in str(caught.value)


def test_a_network_for_chips_whose_heads_are_no_rows_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "mine.onnx", [None, 32, 32, 3])
    with pytest.raises(WeightsError, match="have the outputs"):
        make_estimator("mobilenetv2", str(path), engine="openvino")


def test_only_inputs_of_any_number_of_square_chips_fit() -> None:
    path = Path("mine.onnx")
    assert engines.chip_side([(None, 32, 32, 3)], path) == 32
    for shapes in ([], [()], [(None, 32, 32, 3)] * 2, [(None, 32, 32)], [(1, 32, 32, 3)]):
        with pytest.raises(WeightsError, match="got"):
            engines.chip_side(shapes, path)


def test_a_manifest_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{")
    with pytest.raises(WeightsError, match="restore"):
        weights.read_manifest(path)
    assert json.loads(weights.MANIFEST.read_text())["defaults"]


def test_a_network_without_the_needed_heads_is_refused() -> None:
    class Wrong:
        name = "wrong"
        input_size = 8

        def submit(self, chips):
            return lambda: {"age": np.zeros((len(chips), 12), np.float32)}

    with pytest.raises(WeightsError, match="--weights"):
        ChipEstimator(Wrong(), 1.0)


def test_a_network_that_fails_when_it_runs_is_refused() -> None:
    class Failing:
        name = "failing"
        input_size = 8

        def submit(self, chips) -> Never:
            raise RuntimeError("three\nlong\nlines")

    with pytest.raises(WeightsError, match="failing cannot run these weights"):
        ChipEstimator(Failing(), 1.0)


def test_the_manifest_takes_the_hashes_of_its_own_files_only(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    entry = {"files": {"keras": {"file": "a.keras", "sha256": "old"}}}
    manifest.write_text(json.dumps({"models": {"onnx_only": {"files": {}}, "a": entry}}))
    before = manifest.read_text()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        (folder / "a.keras").write_text(folder.name)
        (folder / "a.onnx").touch()
    elsewhere = tmp_path / "elsewhere" / "a.keras"
    assert not update_manifest(
        "keras", elsewhere, {"onnx": elsewhere.with_suffix(".onnx")}, manifest
    )
    assert manifest.read_text() == before
    own = tmp_path / "elsewhere" / ".." / "a.keras"
    assert update_manifest("keras", own, {"onnx": own.with_suffix(".onnx")}, manifest)
    files = weights.read_manifest(manifest)["models"]["a"]["files"]
    assert files["keras"]["sha256"] == weights.file_sha256(tmp_path / "a.keras")
    assert files["onnx"]["sha256"] == weights.file_sha256(tmp_path / "a.onnx")


@pytest.mark.slow
def test_a_failed_export_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    rgb = keras.Input((8, 8, 3))
    age = keras.layers.Flatten()(keras.ops.erfinv(rgb / 300))  # which ONNX does not have
    path = tmp_path / "odd.keras"
    keras.Model(rgb, {"age": age}).save(path)
    with pytest.raises(WeightsError, match="cannot"):
        export(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_keras_models_that_are_none_of_ours_are_refused_by_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    grey, rgb = keras.Input((8, 8, 1)), keras.Input((8, 8, 3))
    flatten = keras.layers.Flatten()
    models = {
        "grey": keras.Model(grey, {"age": flatten(grey)}),
        "nameless": keras.Model(rgb, flatten(rgb)),
        "sequential": keras.Sequential([keras.Input((8, 8, 3)), flatten]),
    }
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        with pytest.raises(WeightsError, match=rf"{name}\.keras: want"):
            make_estimator("ssrnet", str(tmp_path / f"{name}.keras"), engine="tensorflow")


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
def test_known_faces_are_described_as_labelled(data_dir: Path, mobilenet) -> None:
    files = sorted((data_dir / "raw" / "fairface" / "train").glob("*.jpg"))[:40]
    pictures = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in files]
    size = mobilenet.input_size
    chips = np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in pictures])
    rows = (data_dir / "raw" / "fairface" / "fairface_label_train.csv").read_text().splitlines()
    labels = {row.split(",")[0]: row.split(",")[2] for row in rows}
    female = np.array([labels[f"train/{f.name}"] == "Female" for f in files])
    agreement = ((mobilenet.estimate(chips).female_prob > 0.5) == female).mean()
    assert agreement > 0.85
