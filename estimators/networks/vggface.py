"""The 16 layers of VGG-Face, with three dense heads: age, gender, ethnicity.

Thirteen convolutions in five blocks and two dense layers of 4096, whose output describes
the face; each head then has a dense layer of its own (`Heads.hidden`).

Reference:
    Parkhi, Vedaldi, Zisserman, "Deep Face Recognition", BMVC 2015, table 3, network A;
    Simonyan, Zisserman, "Very Deep Convolutional Networks", ICLR 2015, column D.
    Differs: the mean colour is subtracted and channels stay RGB; dropout is a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from estimators.networks.backbones import with_weights
from estimators.networks.heads import Heads, add_heads, make_dropout

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 224

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
_DENSE = 4096
# Mean colours (R, G, B) of the images that the published weights were trained on.
_FACES_MEAN = (129.186, 104.762, 93.594)
_IMAGENET_MEAN = (123.68, 116.779, 103.939)


def build(
    heads: Heads | None = None,
    backbone_weights: str | None = None,
    width: float = 1.0,
    size: int = INPUT_SIZE,
    dropout: float = 0.5,
) -> keras.Model:
    """Build the network: (B, size, size, 3) float RGB 0..255 -> dict of the outputs in `heads`.

    Subtracting the mean colour is its first layer.

    Args:
        heads: its outputs; None = age as expectation, gender, ethnicity, each behind a dense
            layer of 256.
        backbone_weights: None for random, "imagenet" (VGG16's, at full width and 224
            pixels), or a file's path; see `backbones`.
        width: factor on all widths; 1 is the published network of 134 million parameters.
        size: side of the chips in pixels, 32 or more.
        dropout: share of each dense layer dropped in training.

    Raises:
        WeightsError: the backbone's weights cannot be loaded.
    """
    import keras

    def make(weights: str | None) -> keras.Model:
        if not weights:
            return _backbone(width, size, dropout, _FACES_MEAN)
        if (width, size) != (1.0, INPUT_SIZE):
            raise ValueError(f"VGG16's weights want width 1 and size 224, got {width}, {size}")
        published = keras.applications.VGG16(weights="imagenet")
        return _take_weights(_backbone(width, size, dropout, _IMAGENET_MEAN), published)

    backbone = with_weights(make, backbone_weights, "VGG-Face")
    outputs = add_heads(backbone.output, heads or Heads(hidden=256))
    return keras.Model(backbone.inputs[0], outputs, name=f"vggface_{size}")


def _backbone(
    width: float, size: int, dropout: float, mean_rgb: tuple[float, float, float]
) -> keras.Model:
    """Return the model from chips to `(B, 4096 * width)` features."""
    import keras
    from keras import layers

    def wide(channels: int) -> int:
        return max(1, round(channels * width))

    rgb = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1.0, offset=[-value for value in mean_rgb], name="less_mean")(rgb)
    for block, (channels, depth) in enumerate(_BLOCKS, start=1):
        for i in range(1, depth + 1):
            x = layers.Conv2D(
                wide(channels),
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"conv{block}_{i}",
            )(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flat")(x)
    for name in ("fc6", "fc7"):
        x = layers.Dense(wide(_DENSE), "relu", kernel_initializer="he_normal", name=name)(x)
        x = make_dropout(dropout, f"{name}_dropout")(x)
    return keras.Model(rgb, x, name="vggface")


def _take_weights(model: Any, published: Any) -> Any:
    """Copy VGG16's weights, layer by layer: the same shapes in the same order."""
    ours = [layer for layer in model.layers if layer.weights]
    theirs = [layer for layer in published.layers if layer.weights][: len(ours)]
    for mine, other in zip(ours, theirs, strict=True):
        kernel, bias = other.get_weights()
        if mine.name == "conv1_1":
            kernel = kernel[:, :, ::-1]  # theirs takes BGR
        mine.set_weights([kernel, bias])
    return model
