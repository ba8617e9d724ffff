"""Weights for the part of a network below its heads: from ImageNet or from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from errors import WeightsError
from estimators.networks.heads import Heads, add_heads, is_constant, is_head

_ENDINGS = (".keras", ".h5")


def on_application(
    kind: str, size: int, heads: Heads | None, backbone_weights: str | None, **settings: Any
) -> Any:
    """Build heads on a network of `keras.applications` that scales pixels to -1..1 itself.

    It maps (B, size, size, 3) float RGB 0..255 -> dict of the outputs in `heads`.

    Args:
        kind: the network's name there.
        size: side of the chips in pixels.
        heads: its outputs; None = age as expectation, gender, ethnicity.
        backbone_weights: see `with_weights`, also for errors.
        settings: more arguments of the network.
    """
    import keras
    from keras import layers

    def make(weights: str | None) -> Any:
        rgb = keras.Input((size, size, 3), name="rgb")
        scaled = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(rgb)
        return getattr(keras.applications, kind)(
            input_tensor=scaled, include_top=False, weights=weights, pooling="avg", **settings
        )

    backbone = with_weights(make, backbone_weights, kind)
    outputs = add_heads(backbone.output, heads or Heads())
    return keras.Model(backbone.inputs[0], outputs, name=f"{kind.lower()}_{size}")


def with_weights(make: Callable[[str | None], Any], weights: str | None, name: str) -> Any:
    """Build a backbone and load its weights.

    Args:
        make: builds it, given None for random weights or "imagenet".
        weights: None, "imagenet" (downloaded and cached by Keras), or a file: a .keras file of
            a network with the same layers, such as one trained here, or an .h5 file of the
            backbone alone, as `keras.applications` publishes them ("no top").
        name: of the network, for messages.

    Raises:
        WeightsError: no internet, no such file, or a file of another network.
        ValueError: ImageNet has none for this width or size.
    """
    if weights != "imagenet":
        model = make(None)
        if weights:
            load_backbone(model, Path(weights), name)
        return model
    try:
        return make("imagenet")
    except ValueError:  # a width or size for which there are none
        raise
    except Exception as error:  # Keras raises a bare Exception where it cannot download
        raise WeightsError(
            f"cannot get the ImageNet weights of {name} (does this machine have internet?); "
            "give the path of their .h5 or a .keras file in place of imagenet"
        ) from error


def load_backbone(model: Any, path: Path, name: str) -> None:
    """Load a backbone from a file, see `with_weights`; WeightsError if it does not fit."""
    if not path.is_file() or path.suffix not in _ENDINGS:
        raise WeightsError(f"backbone weights {path} are no existing .keras or .h5 file")
    if path.suffix == ".h5":
        try:
            model.load_weights(path)
        except Exception as error:  # h5py's and Keras' own, of many types
            raise WeightsError(f"{path} does not hold the weights of a {name}") from error
        return
    missing = copy_layers(load_keras(path), model.layers)
    if missing:
        raise WeightsError(
            f"{path} holds another network than {name}: nothing fits {_few(missing)}"
        )


def load_keras(path: Path) -> Any:
    """Load a .keras file; WeightsError if it is missing or not a Keras model."""
    import keras

    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist; check the path")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # zipfile's, json's, h5py's and Keras' own
        raise WeightsError(f"{path} is not a Keras model that can be loaded") from error


def copy_layers(source: Any, layers: Iterable[Any]) -> list[str]:
    """Copy weights to the layers of the same name and shapes; return the names that got none."""
    there = {layer.name: layer.get_weights() for layer in source.layers}
    missing = []
    for layer in layers:
        want = [tuple(weight.shape) for weight in layer.weights]
        found = there.get(layer.name, [])
        if [weight.shape for weight in found] == want:
            layer.set_weights(found)
        else:
            missing.append(layer.name)
    return missing


def start_from(model: Any, path: Path) -> list[str]:
    """Load the weights of a trained network; WeightsError if the backbones differ.

    Returns the layers of differing heads, left as built.
    """
    learnt = [layer for layer in model.layers if not is_constant(layer.name)]
    missing = copy_layers(load_keras(path), learnt)
    foreign = [name for name in missing if not is_head(name)]
    if foreign:
        raise WeightsError(
            f"{path} is of another architecture: it has nothing that fits {_few(foreign)}"
        )
    return missing


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} layers more" if len(names) > 3 else "")
