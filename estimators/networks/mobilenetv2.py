"""MobileNetV2 at 96 pixels; its usual heads: age as 101 classes, gender, ethnicity.

Reference:
    Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018; age as the expectation of a softmax after Rothe et al.
    (DEX), IJCV 2018.
"""

from typing import TYPE_CHECKING

from estimators.networks.backbones import on_application
from estimators.networks.heads import Heads

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 96


def build(
    heads: Heads | None = None,
    backbone_weights: str | None = None,
    width: float = 1.0,
    size: int = INPUT_SIZE,
) -> "keras.Model":
    """Build the network; see `on_application`.

    Args:
        heads: its outputs; None = age as expectation, gender, ethnicity.
        backbone_weights: None for random, "imagenet", or the path of a file.
        width: factor on the number of channels; ImageNet's weights exist for 0.35, 0.5,
            0.75, 1, 1.3 and 1.4.
        size: side of the chips in pixels, 32 or more.
    """
    return on_application("MobileNetV2", size, heads, backbone_weights, alpha=width)
