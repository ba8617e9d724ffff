"""InceptionV3 at 140 pixels, with two heads (age, gender) or three (and ethnicity).

Reference:
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
    Computer Vision", CVPR 2016.
"""

from typing import TYPE_CHECKING

from estimators.networks.backbones import with_weights
from estimators.networks.heads import Heads, add_heads

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 140


def build(
    heads: Heads | None = None,
    backbone_weights: str | None = None,
    size: int = INPUT_SIZE,
) -> "keras.Model":
    """Build the network.

    Args:
        heads: what it answers; None = age as expectation, gender, ethnicity.
        backbone_weights: None for random, "imagenet", or a file's path; see `backbones`.
        size: side of the chips in pixels, 75 or more.

    Returns:
        A functional model: (B, 140, 140, 3) float RGB 0..255 -> dict of what `heads` says;
        22 million parameters. Scaling to -1..1 is its first layer.

    Raises:
        WeightsError: the backbone's weights cannot be had.
    """
    import keras
    from keras import layers

    def make(weights: str | None) -> keras.Model:
        rgb = keras.Input((size, size, 3), name="rgb")
        scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(rgb)
        return keras.applications.InceptionV3(
            input_tensor=scaled, include_top=False, weights=weights, pooling="avg"
        )

    backbone = with_weights(make, backbone_weights, "InceptionV3")
    outputs = add_heads(backbone.output, heads or Heads())
    return keras.Model(backbone.inputs[0], outputs, name=f"inceptionv3_{size}")
