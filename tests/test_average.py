import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.chip_sets import write_set
from training.average import main
from training.chips import load_chips

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


@pytest.mark.parametrize(("known", "told"), [(2, ["a", "b", "c"]), (1, None)])
def test_the_average_learnt_from_what_both_did(
    network: Callable[..., str], tmp_path: Path, known: int, told: list[str] | None
) -> None:
    files = [network("a.keras", 1.0), network("b.keras", 4.0)]
    for file, sets in list(zip(files, (["a", "b"], ["b", "c"]), strict=True))[:known]:
        record = {"architecture": "transfer", "learnt_from": sets, "spread_scale": 1.3}
        Path(file).with_suffix(".json").write_text(json.dumps(record))
    assert main([*files, "--out", str(tmp_path / "mean.keras")]) == 0
    record = json.loads((tmp_path / "mean.json").read_text())
    assert record == {"architecture": "transfer", "learnt_from": told}


def test_networks_that_are_built_differently_are_refused(
    network: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [network("a.keras", 1.0), network("b.keras", 1.0, units=2)]
    assert main([*files, "--out", str(tmp_path / "c.keras")]) == 2
    assert "b.keras is built differently from" in capsys.readouterr().err
    assert not (tmp_path / "c.keras").exists()


def test_the_features_of_the_average_are_normalised_by_chips(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    for name, constant in (("a", 0.0), ("b", 2.0)):
        model = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.BatchNormalization(name="features_norm"),
            ]
        )
        model.set_weights([np.full(3, constant)] * 4)
        model.save(tmp_path / f"{name}.keras")
    write_set(tmp_path, "fairface", 40)
    files = [str(tmp_path / f"{name}.keras") for name in "ab"]
    out = tmp_path / "c.keras"
    assert main([*files, "--out", str(out), "--data", str(tmp_path), "--sets", "fairface"]) == 0
    scale, _, mean, variance = keras.saving.load_model(out, compile=False).get_weights()
    chips = load_chips(tmp_path, "fairface", "train").images.mean((1, 2))
    np.testing.assert_allclose(scale, 1)
    np.testing.assert_allclose(mean, chips.mean(0), rtol=1e-4)
    np.testing.assert_allclose(variance, chips.var(0), rtol=1e-3)


def test_chips_for_a_network_without_such_a_normalisation_are_refused(
    network: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path, "fairface", 40)
    files = [network("a.keras", 1.0), network("b.keras", 4.0)]
    data = ["--data", str(tmp_path), "--sets", "fairface"]
    assert main([*files, "--out", str(tmp_path / "c.keras"), *data]) == 2
    assert "leave out --data" in capsys.readouterr().err
    assert not (tmp_path / "c.keras").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.keras"],
        ["a.keras", "b.keras", "--out", "c.onnx"],
        ["a.keras", "b.keras", "--data", "chips"],
        ["a.keras", "b.keras", "--sets", "fairface"],
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments, *([] if "--out" in arguments else ["--out", "c.keras"])])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
