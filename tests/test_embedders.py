from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors import make_detector
from errors import WeightsError
from estimators.crops import align
from estimators.dlib_descriptor import DlibEmbedder, installed_file
from estimators.embedders import FileEmbedder, make_embedder, scaled
from structures import Image
from tests.facenets import random_chips

pytest.importorskip("onnx")

Shape = tuple[str | int, str | int, str | int, int]


def portrait_chips() -> Image:
    """The faces of two presidents, each as it is and darker: (4, 150, 150, 3) uint8 RGB."""
    folder = Path(__file__).resolve().parent.parent / "samples" / "portraits"
    detector, chips = make_detector("mtcnn", 40, 0, 1), []
    for name in ("joe_biden.jpg", "barack_obama_2012.jpg"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        scale = 480 / picture.shape[0]
        picture = cv2.resize(picture, None, fx=scale, fy=scale)
        points = detector.detect(picture).landmarks
        chip = align(picture, points[:1], detector.landmark_template, 150)
        chips += [chip, (chip * 0.7).astype(np.uint8)]
    return np.concatenate(chips)


def test_dlib_embeds_the_same_person_closer_than_another() -> None:
    one, one_darker, other, _ = make_embedder("dlib").embed(portrait_chips())["embedding"]
    assert one.shape == (128,)
    assert np.linalg.norm(one - one_darker) < 0.5 < np.linalg.norm(one - other)


def test_the_converted_network_answers_as_dlib_does() -> None:
    import dlib

    chips = np.concatenate([portrait_chips(), random_chips(1, 150)])
    network = dlib.face_recognition_model_v1(str(installed_file()))
    want = [network.compute_face_descriptor(np.ascontiguousarray(chip)) for chip in chips]
    got = DlibEmbedder(threads=1).embed(chips)["embedding"]
    np.testing.assert_allclose(got, np.array(want), atol=1e-4)


@pytest.mark.parametrize("length", [0, 1000, 1_000_000])
def test_a_damaged_file_of_dlibs_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "short.dat"
    path.write_bytes(installed_file().read_bytes()[:length])
    with pytest.raises(WeightsError, match="is damaged; install its package again"):
        DlibEmbedder(path=path)


def write_plain(path: Path, shape: Shape, output_batch: str | int = "batch") -> Path:
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
def test_a_network_of_the_users_own_embeds_whole_batches(shape: Shape, tmp_path: Path) -> None:
    path = write_plain(tmp_path / "own.onnx", shape, shape[0])
    embedder = make_embedder(str(path), threads=1, scaling="unit")
    chips = random_chips(3, 8)
    assert embedder.input_size == 8
    np.testing.assert_allclose(
        embedder.embed(chips)["embedding"], chips.mean((1, 2)) / 255, rtol=1e-4
    )


@pytest.mark.parametrize("batch", ["n", 1])
def test_threads_that_share_an_embedder_get_their_own_vectors(
    batch: str | int, tmp_path: Path
) -> None:
    embedder = make_embedder(str(write_plain(tmp_path / "own.onnx", (batch, 8, 8, 3), batch)), 1)
    chips = random_chips(2, 8)
    alone = [embedder.embed(chip[None])["embedding"] for chip in chips]

    def is_own(k: int) -> bool:
        return np.array_equal(embedder.embed(chips[k][None])["embedding"], alone[k])

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_own, [0, 1] * 300))


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
        ("bad.onnx", b"\x08no network", "is not a network"),
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
