"""Any trained Keras network as the backbone: its features, and our heads on top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.pieces import chip_side
from errors import WeightsError
from estimators.networks.backbones import load_keras
from estimators.networks.heads import Heads, add_heads, is_head

if TYPE_CHECKING:
    import keras


def build(heads: Heads | None = None, backbone_weights: str | None = None) -> keras.Model:
    """Build the network: (B, S, S, 3) float RGB 0..255 -> dict of the outputs in `heads`.

    Args:
        heads: its outputs; None = age as expectation, gender, ethnicity.
        backbone_weights: a .keras file that takes (B, S, S, 3) float RGB 0..255 (scaling
            included) and returns features (B, D), or maps (B, H, W, D), which are averaged.
            Of a network that already has heads of ours, the part before them is used.

    Raises:
        WeightsError: no file is given, or not one of this kind.
    """
    import keras
    from keras import layers

    if not backbone_weights:
        raise WeightsError("the architecture transfer needs a file: set backbone=FILE.keras")
    path = Path(backbone_weights)
    model = load_keras(path)
    shapes = [tuple(node.shape) for node in getattr(model, "inputs", None) or ()]
    chip_side(shapes, path)
    features = _features(model, path)
    if len(features.shape) == 4:
        features = layers.GlobalAveragePooling2D(name="pooled")(features)
    outputs = add_heads(features, heads or Heads())
    return keras.Model(model.inputs[0], outputs, name="transfer")


def _features(model: Any, path: Path) -> Any:
    """Return the tensor that the heads are built on."""
    if not isinstance(model.output, dict):
        if not hasattr(model.output, "shape") or len(model.output.shape) not in (2, 4):
            raise WeightsError(f"{path} has no features of the shape (B, D) or (B, H, W, D)")
        return model.output
    firsts = [layer for layer in model.layers if is_head(layer.name)]
    if not firsts or not hasattr(firsts[0].input, "shape"):
        raise WeightsError(f"{path} has several outputs and no heads that could be replaced")
    return firsts[0].input
