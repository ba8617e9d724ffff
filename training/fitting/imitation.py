"""Learning the vector that another network makes of a face, beside the labels.

A vector by which people are recognised says more of a face than three labels do, and it exists for
every chip. A dense layer on the features, which the finished network does not have, predicts it.

Reference:
    Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR
    2015, section 2.2: an intermediate answer of the teacher, matched through a layer of its own.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from estimators.embedders import Embedder
from estimators.networks.heads import is_head
from training.chips import Chips, shrink
from training.result_files import writing

log = logging.getLogger(__name__)
OUTPUT = "vector"
_BATCH = 32


def vectors_of(embedder: Embedder, chips: Chips, digest: str, cache: Path) -> NDArray[np.float32]:
    """Return the vector of each chip, (N, W): of it and its mirror image, averaged.

    They are centred, and scaled to a mean square length of 1. `cache` is the folder that keeps
    them as computed, in a file of this embedder and these chips, which have `digest`.
    """
    kept = cache / f"vectors-{embedder.name}-{digest[:12]}.npy"
    try:
        vectors = np.load(kept, allow_pickle=False)
    except (OSError, ValueError) as error:
        if kept.exists():
            log.warning("%s cannot be read (%s); computing the vectors again", kept, error)
        vectors = _embed(embedder, chips.images)
        with writing(kept) as beside, beside.open("wb") as file:
            np.save(file, vectors, allow_pickle=False)
    vectors = vectors - vectors.mean(0)
    return np.asarray(vectors / np.sqrt((vectors**2).sum(1).mean()), np.float32)


def _embed(embedder: Embedder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = []
    for start in tqdm(range(0, len(images), _BATCH), "computing vectors", disable=None):
        chips = shrink(images[start : start + _BATCH], embedder.input_size)
        views = (chips, np.ascontiguousarray(chips[:, :, ::-1]))
        parts.append(np.mean([embedder.embed(view)["embedding"] for view in views], axis=0))
    return np.concatenate(parts)


def with_imitation(model: Any, width: int) -> Any:
    """Return `model` with one more output, `vector` (B, width), on the features of its heads."""
    import keras

    first = next(layer for layer in model.layers if is_head(layer.name))
    predicted = keras.layers.Dense(width, kernel_initializer="zeros", name=OUTPUT, dtype="float32")(
        first.input
    )
    return keras.Model(model.inputs[0], {**model.output, OUTPUT: predicted}, name=model.name)


def without_imitation(model: Any) -> Any:
    """Return the network without that output; `model` itself where there is none."""
    import keras

    if OUTPUT not in model.output:
        return model
    outputs = {name: value for name, value in model.output.items() if name != OUTPUT}
    return keras.Model(model.inputs[0], outputs, name=model.name)


def imitation_loss() -> Any:
    """Return the loss of the vector: its squared distance, 1 on average for one that says nothing.

    It takes targets `(B, 1 + W)`: the row's weight and the vector of `vectors_of`; and `(B, W)`.
    """
    from keras import ops

    def loss(wanted: Any, predicted: Any) -> Any:
        return wanted[:, 0] * ops.sum(ops.square(wanted[:, 1:] - predicted), -1)

    return loss
