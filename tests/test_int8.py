import shutil
from pathlib import Path

import numpy as np
import pytest

from engines.openvino_engine import OpenVinoEngine
from errors import WeightsError
from estimators import weights
from training.tools.int8 import main, quantize


def chips(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.slow
def test_the_int8_file_is_smaller_and_close_to_the_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime.quantization")
    source = tmp_path / "mine.onnx"
    shutil.copy(weights.find_weights(None, "mobilenetv2").path("onnx"), source)
    target = quantize(source, chips(8, 112))
    assert target == tmp_path / "mine.int8.onnx"
    assert target.stat().st_size < source.stat().st_size / 2
    assert sorted(tmp_path.iterdir()) == [target, source]
    exact, coarse = (OpenVinoEngine(path) for path in (source, target))
    images = chips(4, exact.input_size)
    expected = exact.submit(images)()
    for name, value in coarse.submit(images)().items():
        np.testing.assert_allclose(value, expected[name], atol=0.15)


def test_what_is_no_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime.quantization")
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"this is text")
    with pytest.raises(WeightsError, match="not a network"):
        quantize(path, chips(1, 112))
    assert main([str(path), "--data", str(tmp_path), "--set", "mine"]) == 2
    assert capsys.readouterr().err.startswith("int8: no set mine in ")
