"""Learning the vector that another network makes of a face, beside the labels.

A vector by which people are recognised says more of a face than three labels do, and it exists for
every chip. A dense layer on the features, which the finished network does not have, predicts it.

Reference:
    Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR
    2015, section 2.2: an intermediate answer of the teacher, matched through a layer of its own.
"""

from __future__ import annotations

from typing import Any

from estimators.networks.heads import is_head

OUTPUT = "vector"


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

    It takes targets `(B, 1 + W)`: the row's weight and the vector of `training_data.vectors_of`;
    and `(B, W)`.
    """
    from keras import ops

    def loss(wanted: Any, predicted: Any) -> Any:
        return wanted[:, 0] * ops.sum(ops.square(wanted[:, 1:] - predicted), -1)

    return loss
