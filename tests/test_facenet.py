import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors import make_detector
from engines.choose import Way
from engines.running import OnnxRuntimeEngine, OpenVinoEngine
from engines.starting import compile_for_cpu, open_session
from errors import WeightsError
from estimators import facenet, make_estimator
from estimators.crops import align
from estimators.embedders import FileEmbedder, make_embedder, scaled
from estimators.facenet import FaceNetEngine, Heads, embedding_weights
from estimators.weights import find_weights, read_manifest
from tests import facenets
from training.chips import load_chips, shrink
from training.tools import facenet_convert
from training.tools.frozen_graph import OnnxWriter, Translator

pytest.importorskip("onnx")


MODELS = read_manifest()["models"]
HEADS = sorted(name for name in MODELS if MODELS[name]["architecture"] == "facenet")


def random_chips(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The tiny network in the place of FaceNet's."""
    path = facenets.write_network(tmp_path / "cache" / "network.onnx")
    monkeypatch.setattr(facenet, "NETWORK", path)
    return path


@pytest.fixture
def heads(tmp_path: Path):
    return facenets.write_heads(tmp_path / "heads.onnx", "features", facenets.FEATURES)


def small_graph():
    """What a frozen graph may hold, as OpenVINO has it; its input is the operation `entry`."""
    from openvino import Model, opset13

    rng = np.random.default_rng(0)
    chips = opset13.parameter([1, 9, 9, 4], np.float32)
    entry = opset13.transpose(chips, np.array([0, 3, 1, 2]))
    kernel = rng.standard_normal((6, 4, 3, 3)).astype(np.float32)
    x = opset13.convolution(entry, kernel, [2, 2], [0, 0], [0, 0], [1, 1])
    x = opset13.add(x, rng.standard_normal((1, 6, 1, 1)).astype(np.float32))
    branch = opset13.relu(x)
    wide = opset13.convolution(
        branch, rng.standard_normal((3, 6, 1, 3)).astype(np.float32), [1, 1], [0, 1], [0, 1], [1, 1]
    )
    joined = opset13.concat([branch, wide], 1)
    y = opset13.convolution(
        joined, rng.standard_normal((6, 9, 1, 1)).astype(np.float32), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    y = opset13.multiply(
        opset13.add(y, rng.standard_normal((1, 6, 1, 1)).astype(np.float32)),
        np.full((1, 1, 1, 1), 0.17, np.float32),
    )
    total = opset13.relu(opset13.add(branch, y))
    pooled = opset13.max_pool(total, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    return Model([pooled], [chips]), entry, pooled.get_node()


@pytest.mark.parametrize("count", [1, 3])
def test_a_translated_graph_gives_what_the_graph_gives(count: int, tmp_path: Path) -> None:
    model, entry, end = small_graph()
    writer = OnnxWriter()
    start = writer.add("Transpose", ["rgb"], perm=[0, 3, 1, 2])
    writer.add("Flatten", [Translator(writer, entry, start).name_of(end)], "flat")
    path = tmp_path / "translated.onnx"
    path.write_bytes(writer.model((9, 9, 4), {"flat": 54}))
    maps = np.random.default_rng(1).standard_normal((count, 9, 9, 4)).astype(np.float32)
    original = compile_for_cpu(model)
    wanted = np.concatenate([original(each[None])[0].reshape(1, -1) for each in maps])
    for got in (compile_for_cpu(path)(maps)[0], open_session(path).run(None, {"rgb": maps})[0]):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_biases_and_factors_of_a_graph_become_part_of_its_convolutions() -> None:
    _, entry, end = small_graph()
    writer = OnnxWriter()
    Translator(writer, entry, "maps").name_of(end)
    kinds = [node.op_type for node in writer._nodes]
    assert kinds == ["Conv", "Relu", "Conv", "Concat", "Conv", "Add", "Relu", "MaxPool"]


def test_an_operation_that_is_not_known_is_named() -> None:
    from openvino import opset13

    chips = opset13.parameter([1, 2, 4, 4], np.float32)
    with pytest.raises(WeightsError, match="operation Sigmoid"):
        Translator(OnnxWriter(), chips, "rgb").name_of(opset13.sigmoid(chips))


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_estimator_runs_heads_on_the_embedding_network(engine: str, network, heads) -> None:
    pytest.importorskip(engine)
    estimator = make_estimator("facenet", str(heads), engine, 1, "cpu", "float32")
    chips = random_chips(5, facenets.SIDE)
    told = estimator.estimate(chips)
    features = compile_for_cpu(network)(chips.astype(np.float32))["features"]
    outputs = compile_for_cpu(heads)(features)
    np.testing.assert_allclose(told.age_years, outputs["age"] @ np.arange(101), rtol=1e-4)
    np.testing.assert_allclose(told.female_prob, outputs["gender"][:, 1], atol=1e-5)
    np.testing.assert_allclose(told.ethnicity_probs, outputs["race"], atol=1e-5)
    alone = [estimator.estimate(chips[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(
        np.concatenate([each.age_years for each in alone]), told.age_years, rtol=1e-4
    )
    assert len(estimator.estimate(chips[:0])) == 0


def test_answers_stay_as_they_are_when_the_next_chips_go_in(network, heads) -> None:
    estimator = make_estimator("facenet", str(heads), "openvino", 1, "cpu")
    first, second = random_chips(4, facenets.SIDE), random_chips(4, facenets.SIDE, seed=1)
    collect = estimator.submit(first)
    told = collect()
    before = told.ethnicity_probs.copy()
    estimator.estimate(second)
    np.testing.assert_array_equal(told.ethnicity_probs, before)


def test_without_the_converted_network_the_commands_that_make_it_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facenet, "NETWORK", tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match=r"-r requirements-facenet.txt && python -m estimators"):
        make_embedder("facenet")


def test_a_damaged_network_is_refused_with_the_command_that_makes_it_again(network, heads) -> None:
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match=r"damaged .* python -m estimators.facenet_convert"):
        make_estimator("facenet", str(heads), "openvino", 1, "cpu")


@pytest.mark.parametrize(("reads", "width"), [("features", 7), ("something", facenets.FEATURES)])
def test_heads_of_another_vector_are_refused(reads: str, width, network, tmp_path: Path) -> None:
    heads = facenets.write_heads(tmp_path / "other.onnx", reads, width)
    with pytest.raises(WeightsError, match="cannot run these weights"):
        make_estimator("facenet", str(heads), "openvino", 1, "cpu")


def test_a_network_for_chips_is_no_heads(network) -> None:
    with pytest.raises(WeightsError, match=r"want one input of \(any, width\)"):
        Heads(network)


def test_bfloat16_is_used_only_where_no_precision_is_asked_for(
    network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines import running as engines

    seen = []
    real = engines.compile_for_cpu

    def watch(model, threads=0, bfloat16=False):
        seen.append(bfloat16)
        return real(model, threads)

    monkeypatch.setattr(engines, "compile_for_cpu", watch)
    monkeypatch.setattr(engines, "has_bfloat16", lambda: True)
    for precision in ("auto", "float32"):
        engines.make_engine("openvino", embedding_weights(), 1, "cpu", precision)
    assert seen == [True, False]


def test_embeddings_of_the_live_network_come_with_the_features(network) -> None:
    embedder = make_embedder("facenet", threads=1)
    vectors = embedder.embed(random_chips(3, embedder.input_size))
    shapes = {name: value.shape for name, value in vectors.items()}
    assert shapes == {"embedding": (3, 6), "features": (3, 9)}


def test_dlib_embeds_the_same_person_closer_than_another() -> None:
    folder = Path(__file__).resolve().parent.parent / "samples" / "portraits"
    embedder, detector = make_embedder("dlib"), make_detector("mtcnn", 40, 0, 1)
    vectors = []
    for name in ("joe_biden.jpg", "barack_obama_2012.jpg"):
        picture = cv2.imread(str(folder / name))
        scale = 480 / picture.shape[0]
        picture = cv2.resize(picture, None, fx=scale, fy=scale)
        points = detector.detect(picture).landmarks[:1]
        chip = align(picture, points, detector.landmark_template, embedder.input_size)
        darker = (chip * 0.7).astype(np.uint8)
        vectors.append(embedder.embed(np.concatenate([chip, darker]))["embedding"])
    one, other = vectors
    assert one.shape == (2, 128)
    assert np.linalg.norm(one[0] - one[1]) < 0.5 < np.linalg.norm(one[0] - other[0])


def write_plain(path, shape, output_batch="batch"):
    """A network of one output, the mean of each channel, for pictures of `shape`."""
    from onnx import TensorProto, helper

    axes = [2, 3] if shape[1] == 3 else [1, 2]
    node = helper.make_node("ReduceMean", ["in"], ["out"], axes=axes, keepdims=0)
    graph = helper.make_graph(
        [node],
        "plain",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [output_batch, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("shape", [("n", 8, 8, 3), ("n", 3, 8, 8), (1, 8, 8, 3)])
def test_a_network_of_the_users_own_embeds_whole_batches(shape, tmp_path: Path) -> None:
    path = write_plain(tmp_path / "own.onnx", shape, shape[0])
    embedder = make_embedder(str(path), threads=1, scaling="unit")
    chips = random_chips(3, 8)
    assert embedder.input_size == 8
    np.testing.assert_allclose(
        embedder.embed(chips)["embedding"], chips.mean((1, 2)) / 255, rtol=1e-4
    )


def test_the_scalings_do_what_they_say() -> None:
    chips = random_chips(2, 8)
    white = scaled(chips, "prewhiten")
    np.testing.assert_allclose(white.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(white.std((1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(scaled(chips, "fixed") * 128 + 127.5, chips)
    assert np.isfinite(scaled(np.zeros((1, 8, 8, 3), np.uint8), "prewhiten")).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.onnx", None, "does not exist"),
        ("bad.onnx", b"\x08no network", "is not a network that OpenVINO can run"),
        ("bad.pb", b"no graph", "is not a network that OpenVINO can run"),
        ("weights.bin", b"", "known: facenet, dlib"),
    ],
)
def test_what_is_no_embedding_network_is_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        make_embedder(str(path))


def test_a_network_for_pictures_of_any_size_is_refused(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "any.onnx", ("n", "h", "w", 3))
    with pytest.raises(WeightsError, match="S a number"):
        FileEmbedder(path)


def test_conversion_without_the_package_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert facenet_convert.main([]) == 2
    assert "pip install -r requirements-facenet.txt" in capsys.readouterr().err


def test_another_graph_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.pb"
    path.write_bytes(b"something else")
    assert facenet_convert.main(["--graph", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not FaceNet 20180408-102900" in error
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def graph():
    """The frozen graph of the package, where that is installed."""
    try:
        return facenet_convert.find_graph()
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_real_network_is_converted_for_any_number_of_chips(graph, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "facenet.onnx"
    assert facenet_convert.convert(graph, path) < 1e-5
    weights = embedding_weights(path)
    chips = random_chips(3, 144)
    one, other = OpenVinoEngine(weights), OnnxRuntimeEngine(weights)
    told = one.submit(chips)()
    assert {name: value.shape for name, value in told.items()} == {
        "embedding": (3, 512), "features": (3, 2944),
    }  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(told["embedding"], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(other.submit(chips)()["embedding"], told["embedding"], atol=1e-4)


@pytest.mark.slow
def test_frozen_graphs_and_tflite_files_of_the_users_own_are_read(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        rgb = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "image_batch")
        training = tf.compat.v1.placeholder(tf.bool, [], "phase_train")
        mean = tf.reduce_mean(rgb, [1, 2])
        tf.where(training, tf.zeros_like(mean), mean, name="embeddings")
    (tmp_path / "own.pb").write_bytes(graph.as_graph_def().SerializeToString())
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [
            tf.function(lambda x: tf.reduce_mean(x, [1, 2])).get_concrete_function(
                tf.TensorSpec([1, 8, 8, 3])
            )
        ]
    )
    (tmp_path / "own.tflite").write_bytes(converter.convert())
    chips = random_chips(3, 8)
    for name in ("own.pb", "own.tflite"):
        got = make_embedder(str(tmp_path / name), threads=1, scaling="none").embed(chips)
        np.testing.assert_allclose(got["embedding"], chips.mean((1, 2)), rtol=1e-4)


def test_the_live_program_needs_neither_tensorflow_nor_onnx_for_facenet(network, heads) -> None:
    code = (
        "import sys; from pathlib import Path; from estimators import facenet, make_estimator;"
        f"facenet.NETWORK = Path({str(network)!r});"
        f"make_estimator('facenet', {str(heads)!r}, 'openvino', 1, 'cpu');"
        "assert not {'tensorflow', 'keras', 'onnx', 'dlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=facenet.WEIGHTS_DIR.parent, check=True)


def test_the_engine_tells_of_the_network_what_it_is(network, heads) -> None:
    engine = FaceNetEngine(OpenVinoEngine(embedding_weights(), 1), Heads(heads))
    assert Way(engine.name, engine.device) == Way("openvino", "cpu")
    assert (engine.precision, engine.input_size) == ("float32", facenets.SIDE)


@pytest.mark.parametrize("name", HEADS)
def test_the_shipped_heads_read_what_the_network_gives(name) -> None:
    heads = Heads(find_weights(name, "facenet").path("onnx"))
    assert {"embedding": 512, "features": 2944}[heads.reads] == heads.width
    vectors = np.random.default_rng(0).random((3, heads.width), np.float32)
    told = heads(vectors)
    assert {key: value.shape for key, value in told.items()} == {
        "age": (3, 101), "gender": (3, 2), "race": (3, 5),
    }  # fmt: skip
    for value in told.values():
        np.testing.assert_allclose(value.sum(1), 1, atol=1e-5)


@pytest.mark.data
def test_the_heads_tell_faces_of_the_test_rows_as_well_as_their_card_says(data_dir: Path) -> None:
    if not facenet.NETWORK.is_file():
        pytest.skip("FaceNet's network was not converted")
    chips = load_chips(data_dir / "faces", "utkface", "test")
    chips = chips.take(np.arange(0, len(chips), 12))  # the rows stand in order of age
    estimator = make_estimator("facenet", None, "openvino", 2, "cpu")
    told = estimator.estimate(shrink(chips.images, estimator.input_size))
    assert np.abs(told.age_years - chips.age_low).mean() < 5.2
    assert ((told.female_prob > 0.5) == (chips.female > 0.5)).mean() > 0.92
    assert (told.ethnicity_probs.argmax(1) == chips.race).mean() > 0.8
