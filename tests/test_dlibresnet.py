from pathlib import Path
from typing import Any

import numpy as np
import pytest

from estimators.dlib_descriptor import DlibEmbedder, read_weights
from estimators.networks import dlibresnet
from estimators.networks.backbones import start_from
from estimators.networks.heads import Heads
from estimators.weights import WEIGHTS_DIR
from tests.facenets import random_chips
from training.fitting.networks import build_network, freeze, normalises_features, settle
from training.fitting.settings import read_settings

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def keras() -> Any:
    return pytest.importorskip("keras")


def features(model: Any, chips: np.ndarray) -> np.ndarray:
    """What the backbone has before it normalises its features."""
    import keras

    plain = keras.Model(model.inputs[0], model.get_layer("pooled").output)
    return np.asarray(plain.predict_on_batch(chips.astype(np.float32)))


@pytest.mark.slow
def test_with_dlibs_weights_its_features_make_dlibs_vector() -> None:
    backbone = dlibresnet.build_backbone(150)
    dlibresnet.load_dlib(backbone)
    chips = random_chips(2, 150)
    vectors = features(backbone, chips) @ read_weights()[1]
    np.testing.assert_allclose(vectors, DlibEmbedder(1).embed(chips)["embedding"], atol=1e-4)


@pytest.mark.slow
def test_it_starts_from_dlibs_weights_or_a_files_whatever_the_heads(tmp_path: Path) -> None:
    model = dlibresnet.build(backbone_weights="dlib")
    assert {name: tensor.shape[1] for name, tensor in model.output.items()} == {
        "age": 101,
        "gender": 2,
        "race": 5,
    }
    path = tmp_path / "network.keras"
    model.save(path)
    again = dlibresnet.build(Heads("classes8"), str(path))
    name = "block14_second_conv"
    for one, other in zip(*(m.get_layer(name).get_weights() for m in (model, again)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.get_layer(name).get_weights()[0].any()
    freeze(again, backbone=True, norms=True)
    learning = {layer.name for layer in again.layers if layer.trainable_weights}
    assert learning == {"features_norm", "age_logits", "gender_logits", "race_logits"}


@pytest.mark.slow
def test_features_of_unvaried_chips_are_normalised_before_a_network_is_measured() -> None:
    model = dlibresnet.build(backbone_weights="dlib")
    assert normalises_features(model)
    chips = random_chips(70, 112)
    settle(model, chips)
    wanted = features(model, chips)
    _, _, mean, variance = model.get_layer("features_norm").get_weights()
    np.testing.assert_allclose(mean, wanted.mean(0), rtol=1e-4)
    np.testing.assert_allclose(variance, wanted.var(0), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_training_goes_on_from_the_shipped_network(keras: Any) -> None:
    file = WEIGHTS_DIR / "dlibresnet_fairface.keras"
    settings = read_settings(Path("dlibresnet"), ["backbone=", f"init={file}"])
    shipped = keras.saving.load_model(file, compile=False)
    chips = random_chips(2, 112).astype(np.float32)
    wanted = shipped.predict_on_batch(chips)
    for name, value in build_network(settings).predict_on_batch(chips).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-6)


def test_a_side_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="size must be 103 or more, got 102"):
        dlibresnet.build_backbone(102)


def test_a_start_does_not_bring_its_blur_along(tmp_path: Path, keras: Any) -> None:
    def network(blur: float) -> Any:
        return build_network(
            read_settings(
                Path("mobilenetv2"), ["backbone=", "size=32", "width=0.35", f"age_blur={blur}"]
            )
        )

    network(3).save(tmp_path / "first.keras")
    second = network(1)
    kernel = second.get_layer("age_blur").get_weights()[0]
    start_from(second, tmp_path / "first.keras")
    np.testing.assert_array_equal(second.get_layer("age_blur").get_weights()[0], kernel)
