from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from numpy.typing import NDArray

from errors import DatasetError, WeightsError
from estimators.networks.heads import AGE_HEADS, Heads, is_head
from tests import chip_sets
from training.fitting.networks import build_network, freeze, layers_of
from training.fitting.settings import CONFIGS, TrainingSettings, read_settings
from training.train_heads import HeadsData, build

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).resolve().parent.parent
TINY = TrainingSettings(architecture="vggface", width=1 / 64, size=32)


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def answers(model: Any, chips: NDArray[np.uint8]) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in model.predict_on_batch(chips.astype(np.float32)).items()}


@pytest.mark.parametrize("age", AGE_HEADS)
@pytest.mark.parametrize("ethnicity", [True, False])
def test_heads_are_what_the_settings_say(keras: Any, age: str, ethnicity: bool) -> None:
    model = build_network(replace(TINY, age=age, ethnicity=ethnicity, hidden=3, dropout=0.1))
    chips = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    out = answers(model, chips)
    widths = {name: value.shape[1] for name, value in out.items()}
    assert widths == Heads(age, ethnicity).widths()
    for value in out.values():
        assert np.isfinite(value).all()
        if value.shape[1] > 1:
            np.testing.assert_allclose(value.sum(1), 1, atol=1e-5)


def test_unknown_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"age head must be one of expectation, .*, got 'years'"):
        Heads("years")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_published_settings_file_builds_its_network(
    keras: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    settings = read_settings(path)
    if settings.architecture == "facenet":
        with pytest.raises(DatasetError, match=r"trained by python -m training\.train_heads"):
            build_network(settings)
        rows = np.arange(4)
        views = np.ones((1, 4, 8), np.float16)
        data = HeadsData(chip_sets.chips(4), views, learnt=rows, held_out=rows)
        heads = build(settings, data)
        widths = {name: tensor.shape[1] for name, tensor in heads.output.items()}
        assert widths == settings.heads().widths()
        return
    if settings.backbone in ("dlib", "imagenet"):
        settings = replace(settings, backbone="")
    model = build_network(settings)
    side = {
        "mobilenetv2": 96,
        "dlibresnet": 112,
        "efficientnetlite0": 112,
        "inceptionv3": 140,
        "ssrnet": 64,
        "vggface": 224,
    }
    assert model.input_shape[1] == side[settings.architecture]
    outputs = {name: tuple(tensor.shape) for name, tensor in model.output.items()}
    assert outputs == {k: (None, width) for k, width in settings.heads().widths().items()}


def test_a_frozen_backbone_leaves_the_heads_to_learn(keras: Any) -> None:
    model = build_network(replace(TINY, hidden=3))
    freeze(model, backbone=True, norms=False)
    learning = {layer.name for layer in layers_of(model) if layer.trainable_weights}
    assert learning == {
        f"{k}_{part}" for k in ("age", "gender", "race") for part in ("hidden", "logits")
    }
    freeze(model, backbone=False, norms=True)
    assert len(model.trainable_weights) == len(model.weights)
    freeze(model, backbone=False, norms=True, share=0.5)
    learning = {layer.name for layer in layers_of(model) if layer.trainable_weights}
    below = [layer.name for layer in layers_of(model) if not is_head(layer.name)]
    assert not learning & set(below[: len(below) // 2])
    assert {"fc7", "age_hidden", "race_logits"} <= learning


def test_blurred_ages_cannot_heap_up_and_the_blur_is_never_learnt(keras: Any) -> None:
    sharp, blurred = (build_network(replace(TINY, age_blur=sd)) for sd in (0.0, 3.0))
    for model in (sharp, blurred):
        logits = model.get_layer("age_logits")
        kernel, bias = logits.get_weights()
        logits.set_weights([0 * kernel, np.where(np.arange(101) == 29, 50, 0) + 0 * bias])
    chips = np.zeros((1, 32, 32, 3), np.uint8)
    assert answers(sharp, chips)["age"][0, 29] == pytest.approx(1)
    probs = answers(blurred, chips)["age"][0]
    gauss = np.exp(-0.5 * ((np.arange(101) - 29) / 3) ** 2)
    np.testing.assert_allclose(probs, gauss / gauss.sum(), atol=1e-6)
    freeze(blurred, backbone=False, norms=False)
    learning = {layer.name for layer in layers_of(blurred) if layer.trainable_weights}
    assert "age_blur" not in learning
    assert "age_logits" in learning


def test_a_backbone_is_taken_from_the_file_of_a_network_with_other_heads(
    keras: Any, tmp_path: Path
) -> None:
    path = tmp_path / "first.keras"
    first = build_network(replace(TINY, age="classes7", ethnicity=False))
    first.save(path)
    second = build_network(replace(TINY, backbone=str(path)))
    third = build_network(replace(TINY, init=str(path)))
    transferred = build_network(TrainingSettings(architecture="transfer", backbone=str(path)))
    for name in ("conv1_1", "fc7"):
        want = first.get_layer(name).get_weights()[0]
        for model in (second, third, transferred):
            np.testing.assert_array_equal(model.get_layer(name).get_weights()[0], want)
    gender = first.get_layer("gender_logits").get_weights()[0]
    assert (third.get_layer("gender_logits").get_weights()[0] == gender).all()
    assert (second.get_layer("gender_logits").get_weights()[0] != gender).any()


@pytest.mark.slow
def test_wrong_backbones_are_named_in_one_line(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "tiny.keras"
    build_network(TINY).save(own)
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "text.keras").write_text("no weights")
    wrong = {
        "nowhere.keras": "no existing .keras or .h5 file",
        "text.h5": "does not hold the weights of a VGG-Face",
        "text.keras": "is not a Keras model",
    }
    for name, reason in wrong.items():
        with pytest.raises(WeightsError, match=reason):
            build_network(replace(TINY, backbone=str(tmp_path / name)))
    with pytest.raises(WeightsError, match=r"holds another network .* conv1_1, conv1_2"):
        build_network(replace(TINY, width=1 / 32, backbone=str(own)))
    with pytest.raises(WeightsError, match="needs a file"):
        build_network(TrainingSettings(architecture="transfer"))
    with pytest.raises(DatasetError, match="cannot build inceptionv3: "):
        build_network(TrainingSettings(architecture="inceptionv3", size=40))


@pytest.mark.parametrize(
    "architecture",
    ["mobilenetv2", *(pytest.param(n, marks=pytest.mark.slow) for n in ("inceptionv3", "vggface"))],
)
def test_without_internet_imagenet_is_one_line_that_names_the_file(
    keras: Any, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_internet(*args: object, **kwargs: object) -> Never:
        raise Exception("URL fetch failure on ...: None -- [Errno -2] Name or service not known")

    for module in ("mobilenet_v2", "inception_v3", "vgg16"):
        source = f"keras.src.applications.{module}.file_utils.get_file"
        monkeypatch.setattr(source, no_internet)
    settings = TrainingSettings(architecture=architecture, backbone="imagenet")
    with pytest.raises(WeightsError, match=r"ImageNet weights of .* \.keras file") as caught:
        build_network(settings)
    assert "\n" not in str(caught.value)


def test_imagenet_weights_for_a_size_that_has_none_are_refused(keras: Any) -> None:
    for architecture, width in (("mobilenetv2", 0.9), ("vggface", 0.5)):
        settings = TrainingSettings(architecture=architecture, backbone="imagenet", width=width)
        with pytest.raises(DatasetError, match=f"cannot build {architecture}: "):
            build_network(settings)


@pytest.mark.slow
def test_the_shipped_network_is_a_start_for_fine_tuning(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    model = build_network(read_settings(Path("mobilenetv2_finetune")))
    shipped = keras.saving.load_model("weights/mobilenetv2_fairface.keras", compile=False)
    chips = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    for name, value in answers(shipped, chips).items():
        np.testing.assert_allclose(answers(model, chips)[name], value, atol=1e-6)
    with pytest.raises(WeightsError, match="of another architecture"):
        build_network(replace(TINY, init="weights/mobilenetv2_fairface.keras"))
