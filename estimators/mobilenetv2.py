"""MobileNetV2 with three heads: age as 101 classes, gender, ethnicity.

Reference:
    Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018; age as the expectation of a softmax after Rothe et al.
    (DEX), IJCV 2018.
"""

from typing import TYPE_CHECKING

from structures import AGE_BINS, ETHNICITIES

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 96


def build(backbone_weights: str | None = None) -> "keras.Model":
    """Build the network.

    Args:
        backbone_weights: None for random, "imagenet", or a weight file's path, as
            `keras.applications` takes it.

    Returns:
        A functional model: (B, 96, 96, 3) float RGB 0..255 -> dict of `age`
        (B, 101), `gender` (B, 2) = (male, female) and `race` (B, 5) probabilities.
        Scaling to -1..1 is its first layer.
    """
    import keras
    from keras import layers

    rgb = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="rgb")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(rgb)
    backbone = keras.applications.MobileNetV2(
        input_tensor=scaled, include_top=False, weights=backbone_weights, pooling="avg"
    )
    heads = {"age": AGE_BINS, "gender": 2, "race": len(ETHNICITIES)}
    outputs = {
        name: layers.Dense(classes, activation="softmax", name=name, dtype="float32")(
            backbone.output
        )
        for name, classes in heads.items()
    }
    return keras.Model(rgb, outputs)
