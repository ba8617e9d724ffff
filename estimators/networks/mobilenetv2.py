"""MobileNetV2 at 96 pixels; its usual heads: age as 101 classes, gender, ethnicity.

Reference:
    Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018; age as the expectation of a softmax after Rothe et al.
    (DEX), IJCV 2018.
"""

from typing import TYPE_CHECKING

from estimators.networks.backbones import with_weights
from estimators.networks.heads import Heads, add_heads

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 96


def build(
    heads: Heads | None = None,
    backbone_weights: str | None = None,
    width: float = 1.0,
    size: int = INPUT_SIZE,
) -> "keras.Model":
    """Build the network.

    Args:
        heads: what it answers; None = age as expectation, gender, ethnicity.
        backbone_weights: None for random, "imagenet", or a file's path; see `backbones`.
        width: factor on the number of channels; ImageNet's weights exist for 0.35, 0.5,
            0.75, 1, 1.3 and 1.4.
        size: side of the chips in pixels, 32 or more.

    Returns:
        A functional model: (B, 96, 96, 3) float RGB 0..255 -> dict of what `heads` says.
        Scaling to -1..1 is its first layer.

    Raises:
        WeightsError: the backbone's weights cannot be had.
    """
    import keras
    from keras import layers

    def make(weights: str | None) -> keras.Model:
        rgb = keras.Input((size, size, 3), name="rgb")
        scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(rgb)
        return keras.applications.MobileNetV2(
            input_tensor=scaled, include_top=False, weights=weights, pooling="avg", alpha=width
        )

    backbone = with_weights(make, backbone_weights, "MobileNetV2")
    outputs = add_heads(backbone.output, heads or Heads())
    return keras.Model(backbone.inputs[0], outputs, name=f"mobilenetv2_{size}")
