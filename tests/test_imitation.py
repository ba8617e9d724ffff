from pathlib import Path
from typing import Any

import numpy as np
import pytest

from structures import Float32, Image
from tests import chip_sets
from training.fitting.imitation import OUTPUT, imitation_loss, with_imitation, without_imitation
from training.fitting.networks import freeze
from training.fitting.training_data import vectors_of


class MeansEmbedder:
    """The vector of a chip: the means of its left half, its right half, and of all."""

    name, input_size = "means", 8

    def __init__(self) -> None:
        self.chips = 0

    def embed(self, chips: Image) -> dict[str, Float32]:
        self.chips += len(chips)
        grey = chips.mean(axis=(1, 3), dtype=np.float32)
        halves = grey[:, :4].mean(1), grey[:, 4:].mean(1), grey.mean(1)
        return {"embedding": np.stack(halves, 1)}


@pytest.fixture
def network() -> Any:
    keras = pytest.importorskip("keras")
    from estimators.networks.heads import Heads, add_heads

    rgb = keras.Input((8, 8, 3), name="rgb")
    features = keras.layers.GlobalAveragePooling2D(name="pool")(
        keras.layers.Conv2D(6, 3, name="conv")(rgb)
    )
    return keras.Model(rgb, add_heads(features, Heads()), name="tiny")


def test_vectors_are_those_of_both_sides_centred_and_of_unit_length(tmp_path: Path) -> None:
    chips, embedder = chip_sets.chips(40), MeansEmbedder()
    vectors = vectors_of(embedder, chips, tmp_path)
    assert vectors.shape == (40, 3) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, 0], vectors[:, 1], atol=1e-4)  # the mirror swaps them
    np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-5)
    assert (vectors**2).sum(1).mean() == pytest.approx(1, rel=1e-4)
    brightness = chips.images.mean(axis=(1, 2, 3))
    assert np.corrcoef(vectors[:, 2], brightness)[0, 1] > 0.99


def test_vectors_are_computed_once_for_the_same_chips(tmp_path: Path) -> None:
    chips, embedder = chip_sets.chips(8), MeansEmbedder()
    first = vectors_of(embedder, chips, tmp_path)
    assert embedder.chips == 16
    np.testing.assert_array_equal(vectors_of(embedder, chips, tmp_path), first)
    assert embedder.chips == 16
    (damaged,) = tmp_path.iterdir()
    vectors_of(embedder, chips.take(np.arange(7, -1, -1)), tmp_path)
    assert embedder.chips == 32
    damaged.write_bytes(b"\x93NUMPY")
    np.testing.assert_array_equal(vectors_of(embedder, chips, tmp_path), first)


def test_the_vector_is_one_more_output_that_the_finished_network_lacks(network: Any) -> None:
    pupil = with_imitation(network, 5)
    chips = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    answers = pupil.predict_on_batch(chips)
    assert answers.pop(OUTPUT).shape == (2, 5)
    finished = without_imitation(pupil)
    assert finished.output.keys() == network.output.keys()
    for name, value in finished.predict_on_batch(chips).items():
        np.testing.assert_allclose(value, answers[name], atol=1e-6)
    assert without_imitation(network) is network


def test_the_vector_is_learnt_while_the_backbone_is_frozen(network: Any) -> None:
    pupil = with_imitation(network, 5)
    freeze(pupil, backbone=True, norms=False)
    assert pupil.get_layer(OUTPUT).trainable
    assert not pupil.get_layer("conv").trainable


def test_who_predicts_nothing_loses_one_on_average(network: Any, tmp_path: Path) -> None:
    vectors = vectors_of(MeansEmbedder(), chip_sets.chips(40), tmp_path)
    wanted = np.hstack([np.ones((40, 1), np.float32), vectors])
    loss = imitation_loss()
    assert np.mean(loss(wanted, np.zeros_like(vectors))) == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(loss(wanted, vectors), 0, atol=1e-6)
    away = loss(wanted, vectors + np.array([3, 0, 4], np.float32))
    np.testing.assert_allclose(away, 25, rtol=1e-4)
