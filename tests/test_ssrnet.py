from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import DatasetError
from training.chips import join, load_chips, shrink
from training.fitting.batches import augment
from training.labels import age_interval

# Keras converts TensorFlow's variables in a way that NumPy 2 no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL: dict[str, Any] = {"filters": (4, 4, 4, 4), "fusion_filters": 4, "hidden": 4}


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model(keras: Any) -> Any:
    from estimators.networks import ssrnet

    keras.utils.set_random_seed(3)
    return ssrnet.build(**SMALL)


def random_chips(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def answers(model: Any, chips: np.ndarray) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in model(chips.astype(np.float32)).items()}


def test_the_default_has_the_published_size(keras: Any) -> None:
    from estimators.networks import ssrnet

    assert 40_000 < ssrnet.build().count_params() < 50_000
    assert ssrnet.build(**ssrnet.WIDE).count_params() < 200_000


def test_outputs_have_shapes_and_ranges_that_the_estimator_expects(model: Any) -> None:
    out = answers(model, random_chips(5))
    assert out["age"].shape == (5, 1)
    assert out["gender"].shape == (5, 2)
    assert np.isfinite(out["age"]).all()
    assert ((out["gender"] >= 0) & (out["gender"] <= 1)).all()
    np.testing.assert_allclose(out["gender"].sum(1), 1, atol=1e-6)


def test_a_batch_equals_one_by_one(model: Any) -> None:
    chips = random_chips(4)
    together = answers(model, chips)
    for i in range(4):
        alone = answers(model, chips[i : i + 1])
        np.testing.assert_allclose(alone["age"][0], together["age"][i], atol=1e-4)
        np.testing.assert_allclose(alone["gender"][0], together["gender"][i], atol=1e-6)


def test_stages_refine_the_value_as_in_a_sum_by_hand(keras: Any) -> None:
    from estimators.networks.heads import soft_stagewise_regression

    rows = [
        # p, eta, delta of three stages with bins 0, 1, 2
        ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0], 0.0),
        ([0.5, 0.25, 0.25], [0.1, -0.2, 0.0], 0.5),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 0.5], -0.5),
    ]
    stages = [
        (keras.ops.array([p]), keras.ops.array([eta]), keras.ops.array([[delta]]))
        for p, eta, delta in rows
    ]
    first = 1 / 3
    second = (0.5 * 0.1 + 0.25 * 0.8 + 0.25 * 2) / (3 * 3 * 1.5)
    third = 2.5 / (3 * 3 * 1.5 * 3 * 0.5)
    value = np.asarray(soft_stagewise_regression(stages))
    np.testing.assert_allclose(value, [[first + second + third]], rtol=1e-6)


def test_certain_stages_without_shift_spell_the_age_in_base_three(keras: Any) -> None:
    from estimators.networks.heads import soft_stagewise_regression

    digits = (2, 0, 1)
    zero = keras.ops.zeros((1, 1))
    stages = [(keras.ops.one_hot([d], 3), keras.ops.zeros((1, 3)), zero) for d in digits]
    value = np.asarray(soft_stagewise_regression(stages))
    np.testing.assert_allclose(value * 27, [[2 * 9 + 0 * 3 + 1]], rtol=1e-6)


def test_a_saved_network_answers_as_before(model: Any, keras: Any, tmp_path: Path) -> None:
    chips = random_chips(3)
    model.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    for name, value in answers(model, chips).items():
        np.testing.assert_allclose(answers(again, chips)[name], value, atol=1e-5)


@pytest.mark.parametrize("filters", [(32, 32, 32), (32, 32, 32, 31), (0, 8, 8, 8)])
def test_odd_widths_are_refused(keras: Any, filters: tuple[int, ...]) -> None:
    from estimators.networks import ssrnet

    with pytest.raises(ValueError, match="four positive even filters, got"):
        ssrnet.build(filters=filters)


def test_augmented_chips_keep_count_and_dtype_and_differ() -> None:
    chips = random_chips(6, 112)
    before = chips.copy()
    out = augment(chips, 64, np.random.default_rng(0))
    assert out.shape == (6, 64, 64, 3)
    assert out.dtype == np.uint8
    assert len({chip.tobytes() for chip in out}) == 6
    np.testing.assert_array_equal(chips, before)


def test_augmentation_repeats_with_the_same_seed() -> None:
    chips = random_chips(4, 112)
    one, other = (augment(chips, 64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_without_strength_augmentation_only_resizes_and_mirrors() -> None:
    ramp = np.linspace(0, 255, 112, dtype=np.float32)
    chip = np.repeat(np.broadcast_to(ramp, (112, 112))[..., None], 3, 2).astype(np.uint8)
    plain = shrink(chip[None], 64)[0].astype(int)
    for out in augment(np.stack([chip] * 8), 64, np.random.default_rng(0), 0.0).astype(int):
        nearest = min(np.abs(out - plain).max(), np.abs(out - plain[:, ::-1]).max())
        assert nearest <= 2


def test_age_ranges_are_read_and_the_open_one_ends_at_one_hundred() -> None:
    assert age_interval("20", "29") == (20, 29)
    assert age_interval("0", "2") == (0, 2)
    assert age_interval("70", "") == (70, 100)


@pytest.mark.parametrize("texts", [("29", "20"), ("", "9"), ("old", ""), ("-1", "3")])
def test_broken_age_ranges_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError):
        age_interval(*texts)


def test_unknown_and_missing_sets_are_named(tmp_path: Path) -> None:
    (tmp_path / "utkface.tar").write_bytes(b"")
    with pytest.raises(DatasetError, match="there: utkface"):
        load_chips(tmp_path, "imdb", "train")
    with pytest.raises(DatasetError, match=r"cannot read the table .*utkface.csv: No such file"):
        load_chips(tmp_path, "utkface", "train")


@pytest.mark.slow
@pytest.mark.data
def test_both_real_sets_are_read_with_their_labels(data_dir: Path) -> None:
    fairface = load_chips(data_dir / "faces", "fairface", "train", 40)
    utkface = load_chips(data_dir / "faces", "utkface", "test", 40)
    both = join([fairface, utkface])
    assert both.images.shape == (80, 112, 112, 3)
    assert (fairface.age_low < fairface.age_high).all()
    assert (utkface.age_low == utkface.age_high).all()
    assert set(both.female) == {0.0, 1.0}
    assert both.race.min() >= 0
    assert both.race.max() <= 4


def test_other_heads_than_its_own_are_refused(keras: Any) -> None:
    from estimators.networks import ssrnet
    from estimators.networks.heads import Heads

    with pytest.raises(ValueError, match="age by ssr and gender only, got"):
        ssrnet.build(Heads(ethnicity=False))


@pytest.mark.data
@pytest.mark.slow
def test_the_network_that_is_shipped_is_taken_further(
    keras: Any, data_dir: Path, tmp_path: Path
) -> None:
    from training.train import main

    changes = ["sets=utkface", "limit=80", "batch=16", "epochs=1", "workers=0"]
    arguments = ["ssrnet_finetune", "--data", str(data_dir / "faces"), "--out", str(tmp_path)]
    assert main([*arguments, "--set", *changes]) == 0
    assert keras.saving.load_model(tmp_path / "ssrnet_finetune.keras").count_params() > 150_000
