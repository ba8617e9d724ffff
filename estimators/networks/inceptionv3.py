"""InceptionV3 at 140 pixels: 22 million parameters.

Reference:
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
    Computer Vision", CVPR 2016.
"""

from typing import TYPE_CHECKING

from estimators.networks.backbones import on_application
from estimators.networks.heads import Heads

if TYPE_CHECKING:
    import keras

INPUT_SIZE = 140


def build(
    heads: Heads | None = None, backbone_weights: str | None = None, size: int = INPUT_SIZE
) -> "keras.Model":
    """Build the network for chips of `size`, 75 pixels or more; see `on_application`."""
    return on_application("InceptionV3", size, heads, backbone_weights)
