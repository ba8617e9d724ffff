"""EfficientNet-Lite0 at 112 pixels; default heads: age as 101 classes, gender, ethnicity.

EfficientNet-B0 for devices without a GPU: no squeeze-and-excitation, ReLU6 instead of swish.

Reference:
    Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML
    2019, table 1; the Lite variants: R. Liu, "Higher accuracy on vision models with
    EfficientNet-Lite", TensorFlow blog, 2020. Age as the expectation of a softmax after
    Rothe et al. (DEX), IJCV 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import WeightsError
from estimators.networks.backbones import load_backbone
from estimators.networks.heads import Heads, add_heads
from estimators.weights import WEIGHTS_DIR

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 112
FEATURES = 1280
IMAGENET = WEIGHTS_DIR / "cache" / "efficientnetlite0_imagenet.keras"
# Stages of inverted bottlenecks: blocks, kernel, stride of the first, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32
_EPSILON = 1e-3


def build(
    heads: Heads | None = None, backbone_weights: str | None = None, size: int = INPUT_SIZE
) -> keras.Model:
    """Build the network: (B, size, size, 3) float RGB 0..255 -> dict of the outputs in `heads`.

    Scaling to about -1..1 is its first layer.

    Args:
        heads: its outputs; None = age as expectation, gender, ethnicity.
        backbone_weights: None for random, a .keras file with the same layers, or "imagenet":
            the file that `python -m estimators.efficientnetlite0_convert` makes.
        size: side of the chips in pixels, 32 or more.

    Raises:
        WeightsError: the backbone's weights cannot be loaded.
    """
    import keras

    backbone = build_backbone(size)
    if backbone_weights:
        imagenet = backbone_weights == "imagenet"
        path = imagenet_file() if imagenet else Path(backbone_weights)
        load_backbone(backbone, path, "EfficientNet-Lite0")
    outputs = add_heads(backbone.output, heads or Heads())
    return keras.Model(backbone.inputs[0], outputs, name=f"efficientnetlite0_{size}")


def imagenet_file(path: Path = IMAGENET) -> Path:
    """Return the converted ImageNet weights; WeightsError if they do not exist."""
    if not path.is_file():
        raise WeightsError(
            "the ImageNet weights of EfficientNet-Lite0 do not exist yet; make them once with: "
            "python -m estimators.efficientnetlite0_convert"
        )
    return path


def build_backbone(size: int = INPUT_SIZE) -> keras.Model:
    """Build the network below the heads, with random weights.

    It maps (B, size, size, 3) float RGB 0..255 to features (B, 1280).

    Raises:
        ValueError: the size is below 32.
    """
    import keras
    from keras import layers

    if size < 32:
        raise ValueError(f"size must be 32 or more, got {size}")
    rgb = keras.Input((size, size, 3), name="rgb")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(rgb)
    x = layers.Conv2D(_STEM, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = _relu6(_norm(x, "stem"), "stem")
    number = 0
    for blocks, kernel, stride, expansion, channels in STAGES:
        for k in range(blocks):
            number += 1
            name = f"block{number:02d}"
            x = _bottleneck(x, kernel, stride if k == 0 else 1, expansion, channels, name)
    x = layers.Conv2D(FEATURES, 1, use_bias=False, name="top_conv")(x)
    x = _relu6(_norm(x, "top"), "top")
    features = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(rgb, features, name="efficientnetlite0_backbone")


def _bottleneck(x: Any, kernel: int, stride: int, expansion: int, channels: int, name: str) -> Any:
    """Add an inverted bottleneck on maps (B, H, W, C); with their sum if the shape stays."""
    from keras import layers

    before = x
    if expansion > 1:
        wide = expansion * x.shape[-1]
        x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _relu6(_norm(x, f"{name}_expand"), f"{name}_expand")
    # "same" with a stride of 2 pads more below and on the right, as the published weights need.
    x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depth_conv")(x)
    x = _relu6(_norm(x, f"{name}_depth"), f"{name}_depth")
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project")
    if stride == 1 and before.shape[-1] == channels:
        x = layers.Add(name=f"{name}_sum")([before, x])
    return x


def _norm(x: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_norm")(x)


def _relu6(x: Any, name: str) -> Any:
    from keras import layers

    return layers.ReLU(6.0, name=f"{name}_relu")(x)
