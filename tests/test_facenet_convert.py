import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.onnx_writer import OnnxWriter
from engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from engines.openvino_engine import CompiledNetwork, OpenVinoEngine
from errors import WeightsError
from estimators.facenet import embedding_weights
from training.tools import facenet_convert
from training.tools.frozen_graph import Translator

pytest.importorskip("onnx")


def small_graph() -> tuple[Any, Any, Any]:
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
    path.write_bytes(writer.model("rgb", ("batch", 9, 9, 4), {"flat": ("batch", 54)}))
    maps = np.random.default_rng(1).standard_normal((count, 9, 9, 4)).astype(np.float32)
    original = CompiledNetwork(model)
    wanted = np.stack([original.first_view(each[None]).flatten() for each in maps])
    on_openvino = CompiledNetwork(path)(maps)["flat"]
    for got in (on_openvino, open_session(path).run(None, {"rgb": maps})[0]):
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


def test_conversion_without_the_package_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert facenet_convert.main([]) == 2
    assert "pip install '.[facenet]'" in capsys.readouterr().err


def test_another_graph_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.pb"
    path.write_bytes(b"something else")
    assert facenet_convert.main(["--graph", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not FaceNet 20180408-102900" in error
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture(scope="module")
def graph() -> Path:
    """The frozen graph of the package, where that is installed."""
    try:
        return facenet_convert.find_graph()
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_real_network_is_converted_for_any_number_of_chips(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "facenet.onnx"
    assert facenet_convert.convert(graph, path) < 1e-5
    checked = embedding_weights(path).path("onnx")
    chips = np.random.default_rng(0).integers(0, 256, (3, 144, 144, 3), np.uint8)
    one, other = OpenVinoEngine(checked), OnnxRuntimeEngine(checked)
    told = one.submit(chips)()
    assert {name: value.shape for name, value in told.items()} == {
        "embedding": (3, 512), "features": (3, 2944),
    }  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(told["embedding"], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(other.submit(chips)()["embedding"], told["embedding"], atol=1e-4)
