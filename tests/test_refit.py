import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from estimators.networks.heads import Heads
from tests import chip_sets
from training.fitting.objectives import age_targets
from training.fitting.settings import TrainingSettings
from training.refit import features, main

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def network(tmp_path: Path) -> Callable[[Heads], Path]:
    keras = pytest.importorskip("keras")
    from estimators.networks.heads import add_heads

    def save(heads: Heads) -> Path:
        rgb = keras.Input((16, 16, 3), name="rgb")
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(rgb))
        model = keras.Model(rgb, add_heads(keras.layers.Dense(8, "tanh")(pooled), heads))
        model.save(tmp_path / "before.keras")
        return tmp_path / "before.keras"

    return save


def test_the_age_head_learns_and_nothing_else_changes(
    network: Callable[[Heads], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras = pytest.importorskip("keras")
    before, after = network(Heads(age_blur=2)), tmp_path / "after.keras"
    chip_sets.write_set(tmp_path, "small", 80)
    changes = ["sets=small", "batch=32", "epochs=60", "rate=0.03", "held_out=0.2", "draw_by_age=0"]
    changes += ["distance_weight=0.15"]
    command = [str(before), "--data", str(tmp_path), "--out", str(after), "--set", *changes]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("all: ")
    first, last = (float(text) for text in lines[0].split(" ")[1:4:2])
    assert last < 7 and last < first / 2
    chips = chip_sets.images(6).astype(np.float32)[:, :16, :16]
    old, new = (
        keras.saving.load_model(path, compile=False).predict_on_batch(chips)
        for path in (before, after)
    )
    for name in ("gender", "race"):
        np.testing.assert_allclose(new[name], old[name], atol=1e-6)
    ages = np.asarray(new["age"]) @ np.arange(101)
    assert (ages[1::2] > ages[::2] + 20).all()


def test_a_head_of_classes_learns_classes(network: Callable[[Heads], Path], tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    before, after = network(Heads(age="classes7")), tmp_path / "after.keras"
    before.with_suffix(".json").write_text(
        '{"architecture": "transfer", "settings": {"sets": ["a"]}}'
    )
    chip_sets.write_set(tmp_path, "small", 80)
    changes = ["sets=small", "batch=32", "epochs=60", "rate=0.03", "held_out=0.2"]
    command = [str(before), "--data", str(tmp_path), "--out", str(after), "--set", *changes]
    assert main(command) == 0
    chips = chip_sets.images(6).astype(np.float32)[:, :16, :16]
    told = np.asarray(keras.saving.load_model(after, compile=False).predict_on_batch(chips)["age"])
    assert told.argmax(1).tolist() == [1, 6] * 3  # 10-19 and 60-100
    record = json.loads(after.with_suffix(".json").read_text())
    assert record == {"architecture": "transfer", "learnt_from": ["a", "small"]}


def test_features_are_of_chips_and_of_their_mirror_images() -> None:
    keras = pytest.importorskip("keras")
    from estimators.networks.heads import add_heads

    rgb = keras.Input((4, 4, 3), name="rgb")
    model = keras.Model(rgb, add_heads(keras.layers.Flatten()(rgb), Heads()))
    chips = np.random.default_rng(0).integers(0, 255, (300, 4, 4, 3), np.uint8)
    plain, mirrored = features(model, chips).reshape(2, 300, 4, 4, 3)
    np.testing.assert_array_equal(plain, chips)
    np.testing.assert_array_equal(mirrored, chips[:, :, ::-1])


def test_an_age_head_without_a_distribution_is_refused_in_one_line(
    network: Callable[[Heads], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = network(Heads(age="ssr"))
    assert main([str(file), "--data", str(tmp_path), "--out", str(tmp_path / "b.keras")]) == 2
    assert "has no age head with a distribution" in capsys.readouterr().err


def test_a_range_without_an_end_falls_off_and_others_stay_ranges() -> None:
    low, high = np.array([70, 70, 20, 33], np.float32), np.array([100, 79, 29, 33], np.float32)
    plain = age_targets(low, high, 101, TrainingSettings())
    open_ended = age_targets(low, high, 101, replace(TrainingSettings(), open_years=9.0))
    np.testing.assert_array_equal(plain[1:], open_ended[1:])
    assert plain[0].sum() == 31
    assert open_ended[0].sum() == pytest.approx(1)
    assert open_ended[0, :70].sum() == 0
    assert 75 < open_ended[0] @ np.arange(101) < 79
    assert open_ended[0, 70] / open_ended[0, 79] == pytest.approx(np.e)
