import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest

from engines import Engine, make_engine
from engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from engines.openvino_engine import CompiledNetwork, OpenVinoEngine
from engines.pieces import chip_side, pieces, try_gpu
from errors import EngineError, WeightsError
from estimators import make_estimator, weights

ROOT = Path(__file__).resolve().parent.parent
MODELS = weights.read_manifest()["models"]
# The heads of facenet take vectors: test_facenet.py has them.
FOR_CHIPS = sorted(name for name in MODELS if MODELS[name]["architecture"] != "facenet")


def random_chips(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def chosen(name: str | None, architecture: str = "", kind: str = "onnx") -> Path:
    """The checked file of shipped weights."""
    architecture = architecture or MODELS[name]["architecture"]
    return weights.find_weights(name, architecture).path(kind)


def tensorflow_engine(path: Path, **settings: Any) -> Any:
    pytest.importorskip("tensorflow")
    from engines.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(path, **settings)


def wrong_answers(engine: Engine, calls: int = 60) -> int:
    """How many of the answers of two threads are not those to their own chip."""
    chips = random_chips(2, engine.input_size)
    chips[1] //= 6
    alone = [engine.submit(chip[None])()["age"] for chip in chips]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    wrong: list[int] = []

    def ask_often(k: int) -> None:
        for _ in range(calls):
            if np.abs(engine.submit(chips[k][None])()["age"] - alone[k]).max() > 1e-4:
                wrong.append(k)

    threads = [threading.Thread(target=ask_often, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(wrong)


@pytest.mark.parametrize(
    "name", ["openvino", "onnxruntime", pytest.param("tensorflow", marks=pytest.mark.slow)]
)
def test_threads_that_share_an_engine_get_their_own_answers(name: str) -> None:
    pytest.importorskip(name)
    for architecture in ("mobilenetv2", "ssrnet"):
        files = weights.find_weights(None, architecture)
        assert wrong_answers(make_engine(name, files, 1, "cpu", "float32")) == 0


@pytest.mark.parametrize("pad", [True, False])
def test_padded_batches_of_two_threads_stay_apart(pad: bool) -> None:
    pytest.importorskip("onnxruntime")
    engine = OnnxRuntimeEngine(chosen(None, "ssrnet"), 1, pad=pad)
    assert wrong_answers(engine) == 0


def test_an_answer_stays_as_it_is_when_the_next_chips_go_in() -> None:
    engine = OpenVinoEngine(chosen(None, "ssrnet"), 1)
    collect = engine.submit(random_chips(2, 64))
    before = collect()["age"].copy()
    engine.submit(random_chips(2, 64, seed=1))()
    np.testing.assert_array_equal(collect()["age"], before)


def test_ctrl_c_works_after_a_network_is_gone() -> None:
    code = (
        "import gc, os, signal, threading; from engines.openvino_engine import has_bfloat16;"
        "from estimators import make_estimator; has_bfloat16();"
        "estimator = make_estimator('ssrnet', engine='openvino'); del estimator; gc.collect();"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start();"
        "threading.Event().wait(60)"  # a busy machine needs its time
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stderr.rstrip().endswith("KeyboardInterrupt")
    assert ended.returncode == -signal.SIGINT


def test_a_file_that_is_no_network_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError):
        CompiledNetwork(weights.MANIFEST)
    pytest.importorskip("onnxruntime")
    with pytest.raises(RuntimeError):
        open_session(weights.MANIFEST)


def test_pieces_have_few_lengths_and_give_every_row_once_and_in_order() -> None:
    lengths = set()
    for count in range(1, 150):
        rows = np.arange(count, dtype=np.uint8)[:, None]
        parts = list(pieces(rows, 64))
        lengths |= {len(piece) for piece, _ in parts}
        np.testing.assert_array_equal(np.concatenate([part[:own] for part, own in parts]), rows)
    assert lengths == {1, 2, 4, 8, 16, 32, 64}


def test_what_fails_first_on_a_gpu_is_one_line_with_the_remedy() -> None:
    def call() -> Never:
        raise OSError("libcudnn.so.9\nis missing")

    with pytest.raises(EngineError, match=r"'\.\[gpu\]', or use --device cpu") as caught:
        try_gpu("tensorflow", call)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_onnx_runtime_cannot_use_leaves_the_next_engine_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    def failing(source: str, options: object, providers: list[object]) -> Never:
        raise RuntimeError("CUDA failure 35: driver version is insufficient")

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    with pytest.raises(EngineError, match="cannot use the GPU"):
        OnnxRuntimeEngine(Path("x.onnx"), device="gpu")
    with pytest.raises(WeightsError, match="not a network"):
        OnnxRuntimeEngine(Path("x.onnx"), device="cpu")


@pytest.mark.parametrize("name", FOR_CHIPS)
def test_openvino_and_onnx_runtime_agree_on_every_shipped_model(name: str) -> None:
    pytest.importorskip("onnxruntime")
    path = chosen(name)
    assert_same_outputs(OpenVinoEngine(path), OnnxRuntimeEngine(path), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOR_CHIPS)
def test_openvino_and_tensorflow_agree_on_every_shipped_model(name: str) -> None:
    other = tensorflow_engine(chosen(name, kind="keras"))
    assert_same_outputs(OpenVinoEngine(chosen(name)), other, 1e-4)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_int8_moves_probabilities_by_little(engine: str) -> None:
    pytest.importorskip(engine)
    files = weights.find_weights(None, "mobilenetv2")
    exact = make_engine(engine, files, 0, "cpu", "float32")
    assert_same_outputs(make_engine(engine, files, 0, "cpu", "int8"), exact, 0.15)


def test_padded_pieces_give_what_the_whole_batch_gives() -> None:
    pytest.importorskip("onnxruntime")
    path = chosen(None, "mobilenetv2")
    padded = OnnxRuntimeEngine(path, pad=True)
    assert_same_outputs(padded, OnnxRuntimeEngine(path), 1e-5, chips=5)


@pytest.mark.slow
def test_no_batch_length_is_traced_twice() -> None:
    engine = tensorflow_engine(chosen(None, "ssrnet", "keras"), pad=True)
    collect = [engine.submit(random_chips(n, engine.input_size)) for n in (1, 3, 8, 600)]
    assert [len(each()["age"]) for each in collect] == [1, 3, 8, 600]
    assert engine._forward.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mobilenetv2", "ssrnet"])
def test_half_precision_moves_probabilities_by_little(architecture: str) -> None:
    path = chosen(None, architecture, "keras")
    half = tensorflow_engine(path, precision="float16", pad=True)
    assert_same_outputs(half, tensorflow_engine(path), 0.01, chips=5)


def assert_same_outputs(one: Engine, other: Engine, tolerance: float, chips: int = 4) -> None:
    """Probabilities within `tolerance`; a single value within as much of its size."""
    images = random_chips(chips, one.input_size)
    expected = other.submit(images)()
    for output, value in one.submit(images)().items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(
            value, expected[output], rtol=0, atol=tolerance * max(1, expected[output].max())
        )


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
def test_a_network_that_takes_no_chips_is_refused_in_one_line(
    tmp_path: Path, shape: list[int | None] | None
) -> None:
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
    assert chip_side([(None, 32, 32, 3)], path) == 32
    for shapes in ([], [()], [(None, 32, 32, 3)] * 2, [(None, 32, 32)], [(1, 32, 32, 3)]):
        with pytest.raises(WeightsError, match="got"):
            chip_side(shapes, path)


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


def test_nothing_is_reported_to_the_makers_of_openvino(tmp_path: Path) -> None:
    script = (
        "import sys, engines, openvino.tools.ovc as ovc\n"
        "print(sys.modules['openvino_telemetry'], type(ovc.telemetry).__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "None openvino.tools.ovc.telemetry_stub\n"
    assert list(tmp_path.iterdir()) == []
