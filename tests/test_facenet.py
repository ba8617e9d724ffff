import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engines.choose import Way
from engines.openvino_engine import CompiledNetwork, OpenVinoEngine
from errors import WeightsError
from estimators import ChipEstimator, facenet, make_estimator
from estimators.embedders import make_embedder
from estimators.facenet import FaceNetEngine, FaceNetHeads, embedding_weights
from estimators.weights import WEIGHTS_DIR, find_weights, read_manifest
from tests import facenets
from tests.facenets import random_chips
from training.chips import load_chips, shrink

pytest.importorskip("onnx")

MODELS = read_manifest()["models"]
HEADS = sorted(name for name in MODELS if MODELS[name]["architecture"] == "facenet")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny network in the place of FaceNet's."""
    path = facenets.write_network(tmp_path / "cache" / "network.onnx")
    monkeypatch.setattr(facenet, "NETWORK", path)
    return path


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return facenets.write_heads(tmp_path / "heads.onnx", "features", facenets.FEATURES)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_estimator_runs_heads_on_the_embedding_network(
    engine: str, network: Path, heads: Path
) -> None:
    pytest.importorskip(engine)
    estimator = make_estimator("facenet", str(heads), engine, 1, "cpu", "float32")
    chips = random_chips(5, facenets.SIDE)
    told = estimator.estimate(chips)
    features = CompiledNetwork(network)(chips.astype(np.float32))["features"]
    outputs = CompiledNetwork(heads)(features)
    np.testing.assert_allclose(told.age_years, outputs["age"] @ np.arange(101), rtol=1e-4)
    np.testing.assert_allclose(told.female_prob, outputs["gender"][:, 1], atol=1e-5)
    assert told.ethnicity_probs is not None
    np.testing.assert_allclose(told.ethnicity_probs, outputs["race"], atol=1e-5)
    alone = [estimator.estimate(chips[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(
        np.concatenate([each.age_years for each in alone]), told.age_years, rtol=1e-4
    )
    assert len(estimator.estimate(chips[:0])) == 0


def test_answers_stay_as_they_are_when_the_next_chips_go_in(network: Path, heads: Path) -> None:
    estimator = make_estimator("facenet", str(heads), "openvino", 1, "cpu")
    assert isinstance(estimator, ChipEstimator)
    first, second = random_chips(4, facenets.SIDE), random_chips(4, facenets.SIDE, seed=1)
    collect = estimator.submit(first)
    told = collect()
    assert told.ethnicity_probs is not None
    before = told.ethnicity_probs.copy()
    estimator.estimate(second)
    np.testing.assert_array_equal(told.ethnicity_probs, before)


def test_without_the_converted_network_the_commands_that_make_it_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facenet, "NETWORK", tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match=r"'\.\[facenet\]' && python -m estimators"):
        make_embedder("facenet")


def test_a_damaged_network_is_refused_with_the_command_that_makes_it_again(
    network: Path, heads: Path
) -> None:
    network.write_bytes(network.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match=r"damaged .* python -m estimators.facenet_convert"):
        make_estimator("facenet", str(heads), "openvino", 1, "cpu")


@pytest.mark.parametrize(("reads", "width"), [("features", 7), ("something", facenets.FEATURES)])
def test_heads_of_another_vector_are_refused(
    reads: str, width: int, network: Path, tmp_path: Path
) -> None:
    heads = facenets.write_heads(tmp_path / "other.onnx", reads, width)
    with pytest.raises(WeightsError, match="cannot run these weights"):
        make_estimator("facenet", str(heads), "openvino", 1, "cpu")


def test_a_network_for_chips_is_no_heads(network: Path) -> None:
    with pytest.raises(WeightsError, match=r"want one input of \(any, width\)"):
        FaceNetHeads(network)


def test_threads_that_share_heads_get_the_answers_to_their_own_vectors(heads: Path) -> None:
    network = FaceNetHeads(heads)
    vectors = np.random.default_rng(0).random((2, 1, facenets.FEATURES), np.float32)
    alone = [network(each)["age"] for each in vectors]

    def is_own(k: int) -> bool:
        return np.array_equal(network(vectors[k])["age"], alone[k])

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_own, [0, 1] * 300))


def test_bfloat16_is_for_openvino_where_no_precision_is_asked_for(network: Path) -> None:
    assert embedding_weights().bfloat16
    assert not find_weights(None, "mobilenetv2").bfloat16


def test_embeddings_of_the_live_network_come_with_the_features(network: Path) -> None:
    embedder = make_embedder("facenet", threads=1)
    vectors = embedder.embed(random_chips(3, embedder.input_size))
    shapes = {name: value.shape for name, value in vectors.items()}
    assert shapes == {"embedding": (3, 6), "features": (3, 9)}


def test_the_live_program_needs_neither_tensorflow_nor_onnx_for_facenet(
    network: Path, heads: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from estimators import facenet, make_estimator;"
        f"facenet.NETWORK = Path({str(network)!r});"
        f"make_estimator('facenet', {str(heads)!r}, 'openvino', 1, 'cpu');"
        "assert not {'tensorflow', 'keras', 'onnx', 'dlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=WEIGHTS_DIR.parent, check=True)


def test_the_engine_tells_of_the_network_what_it_is(network: Path, heads: Path) -> None:
    engine = FaceNetEngine(OpenVinoEngine(network, 1), FaceNetHeads(heads))
    assert Way(engine.name, engine.device) == Way("openvino", "cpu")
    assert (engine.precision, engine.input_size) == ("float32", facenets.SIDE)


@pytest.mark.parametrize("name", HEADS)
def test_the_shipped_heads_read_what_the_network_gives(name: str) -> None:
    heads = FaceNetHeads(find_weights(name, "facenet").path("onnx"))
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
    assert told.ethnicity_probs is not None
    assert np.abs(told.age_years - chips.age_low).mean() < 5.2
    assert ((told.female_prob > 0.5) == (chips.female > 0.5)).mean() > 0.92
    assert (told.ethnicity_probs.argmax(1) == chips.race).mean() > 0.8
