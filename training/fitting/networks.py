"""The network that settings describe: built, initialised, frozen in part."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from errors import DatasetError
from estimators import networks
from estimators.networks.backbones import start_from
from estimators.networks.heads import FEATURES_NORM, Heads, is_constant, is_head
from structures import Image
from training.fitting.held_out import predict
from training.fitting.imitation import OUTPUT as VECTOR
from training.fitting.settings import TrainingSettings

_SETTLED = 4096  # most chips that the features' normalisation is set by


def build_network(settings: TrainingSettings) -> Any:
    """Build the network of `settings`, with the weights of `backbone` and `init`.

    Raises:
        WeightsError: the weights are missing, or of another architecture.
        DatasetError: no network can be built from the settings.
    """
    try:
        model = _build(settings, settings.heads())
    except ValueError as error:  # such as Keras' about too small a size
        reason = str(error).partition("\n")[0]
        raise DatasetError(f"cannot build {settings.architecture}: {reason}") from error
    if settings.init:
        start_from(model, Path(settings.init))
    return model


def _build(settings: TrainingSettings, heads: Heads) -> Any:
    name = settings.architecture
    if name == "facenet":
        raise ValueError("heads of facenet are trained by python -m training.train_heads")
    network = import_module(f"{networks.__name__}.{name}")
    options: dict[str, Any] = {"size": settings.size} if settings.size else {}
    if name in ("mobilenetv2", "vggface"):
        options["width"] = settings.width
    elif name == "ssrnet":
        filters = [2 * max(1, round(16 * settings.width))] * 4
        options = network.WIDE if settings.wide else {"filters": filters}
    return network.build(heads, settings.backbone or None, **options)


def layers_of(model: Any) -> Iterator[Any]:
    """Yield all layers, including those of models within the model."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from layers_of(layer)
        else:
            yield layer


def freeze(model: Any, backbone: bool, norms: bool, share: float = 0.0) -> None:
    """Set which layers are trained; a compiled model must be compiled again.

    Args:
        model: the network.
        backbone: whether the layers below the heads are frozen.
        norms: whether their batch normalisations keep the statistics they came with.
        share: of the layers below the heads, from the input on, that are frozen in any case.
            If maps are large, their gradients are much of the time of a step.
    """
    import keras

    below = [layer for layer in layers_of(model) if not _is_answer(layer.name)]
    first = {id(layer) for layer in below[: round(share * len(below))]}
    for layer in layers_of(model):
        norm = norms and isinstance(layer, keras.layers.BatchNormalization)
        learns = _is_answer(layer.name) or not (backbone or norm or id(layer) in first)
        layer.trainable = learns and not is_constant(layer.name)


def _is_answer(layer_name: str) -> bool:
    return is_head(layer_name) or layer_name in (VECTOR, FEATURES_NORM)


@contextlib.contextmanager
def computing_in(model: Any, precision: str) -> Iterator[None]:
    """Compute the backbone's maps in `precision`; afterwards in float32 again.

    Weights stay float32, as do the scaling of pixels and the heads. A file saved after this
    has float32 everywhere.
    """
    import keras

    if precision == "float32":
        yield
        return
    maps = [layer for layer in layers_of(model) if _gives_maps(layer)]
    for layer in maps:
        layer.dtype_policy = keras.DTypePolicy(precision)
    try:
        yield
    finally:
        for layer in maps:
            layer.dtype_policy = keras.DTypePolicy("float32")


def _gives_maps(layer: Any) -> bool:
    import keras

    if isinstance(layer, keras.layers.InputLayer | keras.layers.Rescaling) or is_head(layer.name):
        return False
    return len(getattr(layer.output, "shape", ())) == 4


def make_optimizer(settings: TrainingSettings, frozen: bool) -> Any:
    """Return the optimizer for the stage with the backbone frozen, or for the other."""
    import keras

    rate = settings.frozen_rate or settings.rate if frozen else settings.rate
    common: dict[str, Any] = {"learning_rate": rate, "global_clipnorm": settings.clip or None}
    if settings.ema:
        common |= {"use_ema": True, "ema_momentum": settings.ema}
    if settings.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(weight_decay=settings.decay, **common)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    elif settings.optimizer == "adam":
        optimizer = keras.optimizers.Adam(**common)
    else:
        optimizer = keras.optimizers.SGD(momentum=0.9, nesterov=True, **common)
    if settings.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # `fit` would replace the current weights by the averaged ones whenever it returns.
    optimizer.finalize_variable_values = lambda variables: None
    return optimizer


def normalises_features(model: Any) -> bool:
    """Whether `model` has a normalisation that `settle` sets."""
    return any(layer.name == FEATURES_NORM for layer in model.layers)


def settling(count: int) -> slice:
    """Return which of `count` chips to give to `settle`: evenly spread, as many as it needs."""
    return slice(None, None, math.ceil(count / _SETTLED))


def settle(model: Any, images: Image) -> None:
    """Set the statistics of the features' normalisation to those of unvaried chips.

    While a network learns, they follow features of varied chips, and lag behind weights that
    change fast; a mean of networks has none of its own. `images` are (N, S, S, 3) uint8 RGB.

    Reference:
        Wu, Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3.
    """
    import keras

    norm = model.get_layer(FEATURES_NORM)
    features = predict(keras.Model(model.inputs[0], {"features": norm.input}), images)["features"]
    scale, shift, *_ = norm.get_weights()
    norm.set_weights([scale, shift, features.mean(axis=0), features.var(axis=0)])


def average(optimizer: Any, variables: list[Any]) -> None:
    """Replace weights by their moving average, if the optimizer keeps one."""
    type(optimizer).finalize_variable_values(optimizer, variables)
