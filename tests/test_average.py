from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.average import main

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., str]:
    keras = pytest.importorskip("keras")

    def save(name: str, kernel: float, units: int = 1) -> str:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, name="head")])
        model.set_weights([np.full((2, units), kernel), np.zeros(units)])
        model.save(tmp_path / name)
        return str(tmp_path / name)

    return save


def test_the_average_lies_in_the_middle(network: Callable[..., str], tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    files = [network("a.keras", 1.0), network("b.keras", 4.0)]
    assert main([*files, "--out", str(tmp_path / "c.keras")]) == 0
    model = keras.saving.load_model(tmp_path / "c.keras", compile=False)
    assert model.predict_on_batch(np.array([[1.0, 1.0]])) == pytest.approx(5.0)


def test_networks_that_are_built_differently_are_refused(
    network: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [network("a.keras", 1.0), network("b.keras", 1.0, units=2)]
    assert main([*files, "--out", str(tmp_path / "c.keras")]) == 2
    assert "b.keras is built differently from" in capsys.readouterr().err
    assert not (tmp_path / "c.keras").exists()


@pytest.mark.parametrize("arguments", [["a.keras"], ["a.keras", "b.keras", "--out", "c.onnx"]])
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments, *([] if "--out" in arguments else ["--out", "c.keras"])])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
